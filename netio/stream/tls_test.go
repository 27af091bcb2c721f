package stream

import (
	"bytes"
	"crypto/tls"
	"io"
	"testing"

	"tsubame/netio/flow"
	"tsubame/netio/mmsg"
	"tsubame/netio/stream/certtest"
)

// certificate is one that nobody trusts.
func certificate(t *testing.T) tls.Certificate {
	t.Helper()
	return certtest.New(t).Issue(t, "turn.example.com").TLS(t)
}

func TestStreamOverTLSWorksBothWaysAndSaysGoodbye(t *testing.T) {
	h := newHome()
	c, p := tcpPair(t)
	s := h.serve(t, tls.Server(c, &tls.Config{Certificates: []tls.Certificate{certificate(t)}}), nil, flow.TURNStream, Config{})
	peer := tls.Client(p, &tls.Config{InsecureSkipVerify: true})
	var want []byte
	for range 100 {
		write(t, peer, binding)
	}
	for i, f := range h.frames(t, s, 100) {
		if !bytes.Equal(f, binding) {
			t.Fatalf("frame %d: %x", i, f)
		}
	}
	for i := range 60 {
		f := numbered(i, 1000)
		if !s.Send(mmsg.Video, f) {
			t.Fatal("refused")
		}
		want = append(want, f...)
	}
	s.Flush()
	s.Close()
	got, err := io.ReadAll(peer)
	if err != nil { // without close_notify it would be ErrUnexpectedEOF
		t.Error(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%d bytes arrived of %d", len(got), len(want))
	}
	h.ended(t, Closed)
}

// Row TURN-09.
func TestReaderThatStopsOverTLSIsClosed(t *testing.T) {
	h := newHome()
	c, p := tcpPair(t)
	cfg := short()
	cfg.FirstFrame, cfg.IdleTimeout = patience, patience
	s := h.serve(t, tls.Server(c, &tls.Config{Certificates: []tls.Certificate{certificate(t)}}), nil, flow.TURNStream, cfg)
	peer := tls.Client(p, &tls.Config{InsecureSkipVerify: true})
	write(t, peer, binding)
	h.frames(t, s, 1)
	until(t, "the peer to be closed", func() bool {
		for s.Send(mmsg.Control, make([]byte, 1000)) {
		}
		s.Flush()
		return s.Reason() != running
	})
	h.ended(t, Stalled)
}
