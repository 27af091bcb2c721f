package stream

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"math/big"
	"testing"
	"time"

	"tsubame/netio/flow"
	"tsubame/netio/mmsg"
)

// certificate is one that nobody signed.
func certificate(t *testing.T) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
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
