package dtls

import (
	"context"
	"time"

	piondtls "github.com/pion/dtls/v3"
)

// Parking.
//
// A session of media alone has nothing to say by DTLS between the handshake and the farewell,
// and keeps four goroutines and two dozen kilobytes for it. Park lets go of all that but the
// session's state, of less than two kilobytes. A record from the peer that may be a farewell,
// or Close, wakes it: a new connection of the library is made of the state. If the record was
// not genuine, the session is parked again.
//
// A record's nonce is its sequence number, so no number may ever be used twice (RFC 5288
// section 3). Each connection of the library has a pipe of its own, which Park mutes for good
// *before* the state is taken. The library counts a record before it writes it, so whatever
// got past the mute has a number below the state's; and each state wakes one connection at
// most.
//
// Only who has decrypted media of the peer may park: it shows that the peer has got our
// Finished, after which alone a client has keys to send with (RFC 5764 section 4.1). A
// Finished that the peer repeats later is a straggler of the network, which needs no answer
// and gets none.

const (
	// wakeTime is how long a woken session waits for the rest of what it was woken for. A
	// farewell ends it at once, so what waits is what somebody else has sent: he can wake
	// a session once in this time, at the cost of a few microseconds.
	wakeTime = time.Second

	// maxWaking bounds the sessions that records have woken and nobody has ended, at about
	// 25 kB each. Beyond it records of parked sessions are dropped (DropRate): a true
	// farewell among them is found out by the loss of consent.
	maxWaking = 1024
)

// stage is what becomes of an endpoint's records.
type stage uint8

const (
	stageOpen    stage = iota // there is a connection of the library
	stageWaking               // it is being made of the state; records wait
	stageParking              // it is on its way out; records wait
	stageParked               // only the state is there
	stageEnded
)

// Park frees what a session needs for more than its farewell. The caller has decrypted media
// of the peer. It reports whether the endpoint is parked or will be: it is not during the
// handshake, and not after its end. It never blocks and may be repeated.
func (e *Endpoint) Park() bool {
	if phase(e.phase.Load()) < phaseLive {
		return false
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.stage == stageOpen && !e.closing {
		e.stage = stageParking
		e.phase.Store(uint32(phaseSettled)) // a repeated Finished wakes nobody
		e.pipe.mute()
		e.pipe.hangUp()
	}
	return e.stage != stageEnded && !e.closing
}

// park takes the state of a connection whose pipe is mute, and ends the connection. It
// returns false if the peer has ended the session.
func (e *Endpoint) park(conn *piondtls.Conn, p *pipe) bool {
	if p.left() {
		return false
	}
	state, ok := conn.ConnectionState()
	if !ok {
		return false
	}
	state.PeerCertificates = nil // long verified
	_ = conn.Close()             // in silence

	e.mu.Lock()
	defer e.mu.Unlock()
	records := append(p.rest(), e.pending...)
	e.pending = nil
	e.stage, e.saved, e.pipe = stageParked, &state, nil
	e.server.stats.parked.Add(1)
	switch {
	case e.closing:
		e.server.waking.Add(1)
		e.wake()
	case len(records) > 0:
		if e.server.takeWake() {
			e.wake(records...)
		} else {
			e.drop(DropRate, len(records))
		}
	}
	return true
}

// wake makes a connection of the state, and gives it these records. The lock is held.
func (e *Endpoint) wake(records ...[]byte) {
	state, p := e.saved, newPipe(e.send)
	e.stage, e.saved, e.pipe, e.pending = stageWaking, nil, p, records
	e.server.stats.parked.Add(-1)
	e.server.stats.resumed.Add(1)
	e.server.running.Go(func() { e.resume(state, p) })
}

// resume is the goroutine of a woken session.
func (e *Endpoint) resume(state *piondtls.State, p *pipe) {
	defer e.server.waking.Add(-1)
	conn, err := piondtls.ResumeWithOptions(state, p, pipeAddr{},
		piondtls.WithLoggerFactory(quiet{}), piondtls.WithMTU(mtu))
	if err == nil {
		err = conn.HandshakeContext(context.Background()) // of which nothing is left to do
	}
	if err != nil { // the state is one that we took, and nothing was read yet: it cannot be
		e.server.cfg.Log.Error("dtls session not resumed", "id", e.id, "error", err)
		_ = p.Close()
		e.gone()
		return
	}
	e.mu.Lock()
	e.stage = stageOpen
	closing := e.closing
	for _, b := range e.pending {
		p.push(b)
	}
	e.pending = nil
	e.mu.Unlock()
	if closing { // it was woken to say goodbye, or is as good as that
		_ = conn.Close()
		e.gone()
		return
	}
	again := time.AfterFunc(e.server.wakeTime, func() { e.Park() })
	defer again.Stop()
	e.serve(conn, p)
}

// takeWake reserves a place among the woken.
func (s *Server) takeWake() bool {
	if s.waking.Add(1) > maxWaking {
		s.waking.Add(-1)
		return false
	}
	return true
}
