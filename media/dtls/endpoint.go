package dtls

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	piondtls "github.com/pion/dtls/v3"
	"github.com/pion/dtls/v3/pkg/protocol/extension"
	"github.com/pion/dtls/v3/pkg/protocol/handshake"
)

const (
	// alertGrace is how long a handshake may go on after a fatal plaintext alert. The
	// alert proves nothing, so it ends nothing; but a peer that has really given up need
	// not keep its place until the deadline.
	alertGrace = 2 * time.Second

	// finishedWindow is how long after the handshake a client may still ask for our last
	// flight by repeating its own. It bounds what the library can be made to keep by
	// somebody who holds the keys: lateRate datagrams of one small record a second.
	finishedWindow = 20 * time.Second

	// lateRate is how many datagrams a second a live session may hand to the library.
	// One close_notify is all that a session needs.
	lateRate = 16

	// maxResendInterval is the slowest pace at which a lost last flight is repeated.
	maxResendInterval = time.Second
)

// Endpoint is the DTLS end of one connection. See Server for who may call what.
type Endpoint struct {
	server *Server
	id     uint64
	sink   Sink
	source netip.Prefix

	ctx      context.Context // ends the handshake, with the reason as its cause
	cancel   context.CancelCauseFunc
	timer    *time.Timer
	deadline time.Time

	phase   atomic.Uint32 // a phase: moved on by the library's goroutines, read by Feed
	alerted atomic.Bool   // a fatal plaintext alert came during the handshake

	mu      sync.Mutex // guards what follows
	stage   stage
	closing bool            // Close was called
	pipe    *pipe           // to the library; nil while parked
	saved   *piondtls.State // while parked
	pending [][]byte        // what came in the middle of parking or waking

	// Owned by who calls Feed.
	admitted  int // bytes
	liveSince time.Time
	second    time.Time // start of the second that late counts
	late      int

	// Owned by who sends: the library does so under a lock.
	resendAt       time.Time
	resendInterval time.Duration
}

// Feed takes a datagram of DTLS records from the peer, at any time, and reports whether
// anything in it was worth passing on. It copies what it keeps and never blocks; when the
// endpoint is behind, the oldest datagram makes room. All that is left out is counted.
func (e *Endpoint) Feed(datagram []byte) bool {
	if e.isOver() {
		e.drop(DropClosed, 1)
		return false
	}
	if len(datagram) > maxDatagram {
		e.drop(DropOversize, 1)
		return false
	}
	ph := e.currentPhase()
	records, v := admit(nil, datagram, ph)
	for reason, n := range v.drops {
		if n > 0 {
			e.drop(reason, int(n))
		}
	}
	if v.fatal && ph < phaseLive {
		e.heardAlert()
	}
	if len(records) == 0 {
		return false
	}
	if ph >= phaseLive {
		if !e.allowLate() {
			e.drop(DropRate, 1)
			return false
		}
	} else if e.admitted += len(records); e.admitted > maxAdmitted {
		e.cancel(ErrFlooded)
		e.drop(DropBomb, 1)
		return false
	}
	return e.pass(records)
}

// pass gives records to the library, which is woken for them if need be.
func (e *Endpoint) pass(records []byte) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	switch e.stage {
	case stageOpen:
		if n := e.pipe.push(records); n > 0 {
			e.drop(DropOldest, n)
		}
		return true
	case stageWaking, stageParking:
		if len(e.pending) >= queueLength {
			e.drop(DropRate, 1)
			return false
		}
		e.pending = append(e.pending, records)
		return true
	case stageParked:
		if !e.server.takeWake() {
			e.drop(DropRate, 1)
			return false
		}
		e.wake(records)
		return true
	}
	e.drop(DropClosed, 1)
	return false
}

func (e *Endpoint) drop(reason, n int) { e.server.stats.dropped[reason].Add(uint64(n)) }

// isOver reports whether there is nothing left to feed.
func (e *Endpoint) isOver() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.closing || e.stage == stageEnded || e.stage == stageOpen && e.pipe.isHung()
}

// Close ends the endpoint: a handshake fails with ErrClosed, a live session says
// close_notify, a parked one too. Its goroutines end soon after. It never blocks and may be
// repeated.
func (e *Endpoint) Close() {
	e.cancel(ErrClosed)
	e.mu.Lock()
	defer e.mu.Unlock()
	first := !e.closing
	e.closing = true
	switch {
	case e.stage == stageOpen:
		e.pipe.hangUp()
	case e.stage == stageParked && first:
		e.server.waking.Add(1) // to say goodbye: not an attacker's to cause
		e.wake()
	}
}

// currentPhase returns the phase, with the window for a repeated Finished closed in time.
func (e *Endpoint) currentPhase() phase {
	ph := phase(e.phase.Load())
	if ph == phaseLive {
		now := time.Now()
		if e.liveSince.IsZero() {
			e.liveSince = now
		}
		if now.Sub(e.liveSince) > finishedWindow {
			return phaseSettled
		}
	}
	return ph
}

// allowLate counts one more datagram of a live session against lateRate.
func (e *Endpoint) allowLate() bool {
	if now := time.Now(); now.Sub(e.second) >= time.Second {
		e.second, e.late = now, 0
	}
	e.late++
	return e.late <= lateRate
}

// heardAlert brings the deadline near, once.
func (e *Endpoint) heardAlert() {
	if e.alerted.Swap(true) || time.Until(e.deadline) <= alertGrace {
		return
	}
	e.timer.Reset(alertGrace)
}

// expire is the timer's function.
func (e *Endpoint) expire() {
	if e.alerted.Load() {
		e.cancel(ErrAlert)
	} else {
		e.cancel(ErrTimeout)
	}
}

// send is where the library's datagrams go, on its goroutines, one at a time.
func (e *Endpoint) send(datagram []byte) {
	switch datagram[0] {
	case typeHandshake:
		e.phase.CompareAndSwap(uint32(phaseHello), uint32(phaseFlight))
	case typeChangeCipherSpec:
		// Our last flight. The library sends it again for every Finished that it gets,
		// at whatever pace the peer likes; we do so at ours.
		now := time.Now()
		if now.Before(e.resendAt) {
			e.server.stats.heldBack.Add(1)
			return
		}
		e.resendInterval = min(max(2*e.resendInterval, e.server.cfg.FlightInterval), maxResendInterval)
		e.resendAt = now.Add(e.resendInterval)
	}
	e.sink.Records(e.id, datagram)
}

// run is the endpoint's goroutine until the end of the handshake.
func (e *Endpoint) run(p *pipe) {
	conn, result, err := e.handshake(p)
	e.timer.Stop()
	e.server.release(e.source)
	if err != nil {
		e.failed(err)
		return
	}
	e.server.stats.established.Add(1)
	e.phase.Store(uint32(phaseLive))
	e.sink.Done(e.id, result, nil)
	// On a stack of its own: that of the handshake is deep, and would stay so while it waits.
	e.server.running.Go(func() { e.serve(conn, p) })
}

// serve carries a session until it ends or is parked.
func (e *Endpoint) serve(conn *piondtls.Conn, p *pipe) {
	// A reader of the library that met the end of the pipe before the handshake was complete
	// has ended without a word to Read, which would wait for ever. A muted pipe was hung up
	// after it.
	if !p.isHung() || p.isMuted() {
		drain(conn)
	}
	if p.isMuted() && e.park(conn, p) {
		return
	}
	// Says close_notify unless the peer has ended the session.
	_ = conn.Close()
	e.gone()
}

// gone reports the end of a session, unless Close was its cause.
func (e *Endpoint) gone() {
	e.mu.Lock()
	e.stage, e.pending = stageEnded, nil
	closing := e.closing
	e.mu.Unlock()
	if !closing {
		e.sink.Closed(e.id)
	}
}

// failed counts, logs and reports the end of a handshake.
func (e *Endpoint) failed(err error) {
	e.server.stats.failed.Add(1)
	if errors.Is(err, ErrTimeout) || errors.Is(err, ErrAlert) {
		e.server.stats.timedOut.Add(1)
	}
	e.mu.Lock()
	e.stage = stageEnded
	e.mu.Unlock()
	e.server.cfg.Log.Debug("dtls handshake failed", "id", e.id, "error", err)
	e.sink.Done(e.id, Result{}, err)
}

// handshake runs the handshake; if it fails, nothing is left of it when this returns.
func (e *Endpoint) handshake(p *pipe) (*piondtls.Conn, Result, error) {
	srtpChosen := false // touched by the handshake's goroutine alone
	conn, err := piondtls.ServerWithOptions(p, pipeAddr{}, append(e.server.options[:len(e.server.options):len(e.server.options)],
		piondtls.WithServerHelloMessageHook(func(m handshake.MessageServerHello) handshake.Message {
			srtpChosen = hasSRTP(m.Extensions)
			return &m
		}),
		piondtls.WithVerifyConnection(func(*piondtls.State) error {
			// Without use_srtp the library would finish a handshake that is no use.
			if !srtpChosen {
				return ErrNoSRTP
			}
			return nil
		}),
	)...)
	if err != nil {
		_ = p.Close()
		return nil, Result{}, fmt.Errorf("dtls: %w", err)
	}
	result, err := e.finish(conn)
	if err != nil {
		_ = conn.Close()
		if cause := context.Cause(e.ctx); cause != nil {
			err = cause
		}
		return nil, Result{}, err
	}
	return conn, result, nil
}

// finish waits for the handshake and takes from it what the connection needs.
func (e *Endpoint) finish(conn *piondtls.Conn) (Result, error) {
	if err := conn.HandshakeContext(e.ctx); err != nil {
		return Result{}, fmt.Errorf("dtls: %w", err)
	}
	state, ok := conn.ConnectionState()
	if !ok || len(state.PeerCertificates) == 0 {
		return Result{}, errors.New("dtls: handshake without a peer certificate")
	}
	profile, _ := conn.SelectedSRTPProtectionProfile()
	keys, err := exportKeys(profile, &state)
	if err != nil {
		return Result{}, err
	}
	return Result{Keys: keys, PeerCertificate: state.PeerCertificates[0]}, nil
}

// hasSRTP reports whether our ServerHello answers a use_srtp extension.
func hasSRTP(extensions []extension.Extension) bool {
	for _, x := range extensions {
		if x.TypeValue() == extension.UseSRTPTypeValue {
			return true
		}
	}
	return false
}

// drain reads until the session ends. What it reads are warnings and errors of single
// records, which mean nothing here; the gate lets no application data in.
func drain(conn *piondtls.Conn) {
	var b [1]byte
	for {
		if _, err := conn.Read(b[:]); errors.Is(err, io.EOF) {
			return
		}
	}
}
