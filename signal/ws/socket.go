package ws

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/coder/websocket"

	"tsubame/signal/session"
	"tsubame/signal/sora"
)

// The sizes of a socket's buffers. Messages are far apart, so small ones will do; what is
// longer goes past them. A pong or a close frame fits into the one for writing.
const (
	readBuffer  = 1 << 10
	writeBuffer = 160
)

// Hijack implements http.Hijacker. It exchanges the buffers of net/http, 8 KiB together,
// for small ones, unless the client has sent something already.
func (s *hijackSpy) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := http.NewResponseController(s.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	s.conn = conn
	if rw.Reader.Buffered() == 0 {
		rw.Reader = bufio.NewReaderSize(conn, readBuffer)
	}
	s.out = &outlet{conn: conn, timeout: s.timeout}
	rw.Writer = bufio.NewWriterSize(s.out, writeBuffer)
	return conn, rw, nil
}

// begin takes the first message and starts the session. False: there is none, and the socket
// is closed.
func (s *socket) begin() bool {
	machine := s.handler.registry.NewSession(time.Now())
	machine.SetBearer(s.bearer)
	s.bearer = ""
	e, frame, ok := s.first(machine)
	if !ok {
		return false
	}
	actions := machine.Handle(nil, time.Now(), e)
	if _, ok := e.(session.Message); ok {
		s.handler.registry.Signaling(machine, frame)
	}
	if machine.State() == session.Closed {
		s.refuse(machine, actions)
		return false
	}
	s.handler.room.leave(s.raw)
	s.out = newTransport(s.conn, s.outlet, s.handler.cfg.SendQueueBytes)
	s.peer = s.handler.registry.Start(machine, actions, s.out, s.remote)
	return true
}

// serve reads until the socket is closed. Messages are far apart, and there are thousands
// who wait for one: what becomes of it is done on another goroutine, whose stack goes with
// it, so that the stack of this one stays small.
func (s *socket) serve() {
	for s.next() {
	}
	<-s.out.written
}

// next reads a message and hands it to the session. False: there is no more to read, or the
// session has ended.
func (s *socket) next() (more bool) {
	frame, reason, gone := s.receive()
	if reason == "" && !gone {
		if m, ok := sora.DecodeAnswer(frame); ok {
			s.log(frame)
			s.recycle()
			return s.peer.Deliver(session.Message{Message: m})
		}
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		e := eventOf(frame, reason, gone)
		if m, ok := e.(session.Message); ok && m.Type != sora.TypePong {
			s.log(frame)
		}
		more = s.peer.DeliverHere(e) && !gone
	}()
	<-done
	s.recycle()
	return more
}

// log has a message logged.
func (s *socket) log(frame []byte) {
	if s.handler.registry.LogsSignaling() {
		s.peer.Signaling(frame)
	}
}

// first waits for the first message. A client may open several sockets and close all but
// one without a word, which is no fault.
// The frame is valid until the next one is read.
func (s *socket) first(machine *session.Session) (e session.Event, frame []byte, ok bool) {
	closed := make(chan struct{})
	deadline := time.AfterFunc(time.Until(machine.Deadline()), func() {
		defer close(closed)
		s.refuse(machine, machine.Handle(nil, machine.Deadline(), session.Tick{}))
	})
	frame, reason, gone := s.receive()
	e = eventOf(frame, reason, gone)
	if !deadline.Stop() {
		<-closed // the machine is the timer's until here
		return nil, nil, false
	}
	if gone {
		s.conn.CloseNow()
		return nil, nil, false
	}
	return e, frame, true
}

// refuse closes a socket whose session ended with its first event.
func (s *socket) refuse(machine *session.Session, actions []session.Action) {
	for _, a := range actions {
		c, ok := a.(session.Close)
		if !ok {
			continue
		}
		s.handler.registry.Refused(machine, c)
		if c.Code == session.CodeError {
			s.handler.faults.Log("connect refused", "remote", s.remote, "code", c.Code, "reason", c.Reason, "detail", c.Detail)
		}
		s.conn.Close(websocket.StatusCode(c.Code), c.Reason)
	}
}

// eventOf decodes a message. Reason says why a frame is none; gone, that no more will come.
func eventOf(frame []byte, reason string, gone bool) session.Event {
	if gone {
		return session.Vanished{}
	}
	if reason != "" {
		return session.Malformed{Reason: reason}
	}
	m, err := sora.Decode(frame)
	if err != nil {
		e := &sora.Error{Reason: sora.ReasonInvalidJSON}
		errors.As(err, &e)
		return session.Malformed{Reason: e.Reason, Detail: e.Detail}
	}
	return session.Message{Message: m}
}

// receive reads the next message, which is valid until recycle.
func (s *socket) receive() (frame []byte, reason string, gone bool) {
	kind, r, err := s.conn.Reader(context.Background())
	if err != nil {
		return nil, "", true
	}
	if kind != websocket.MessageText {
		// The next message can be read, and the close frame answered, only behind this one.
		_, err := io.Copy(io.Discard, r)
		return nil, ReasonBinaryFrame, err != nil
	}
	frame, err = s.readAll(r)
	return frame, "", err != nil
}
