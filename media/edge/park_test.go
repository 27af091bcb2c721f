package edge

import (
	"errors"
	"io"
	"runtime"
	"testing"
	"time"

	piondtls "github.com/pion/dtls/v3"

	"tsubame/media/rtcp"
	"tsubame/media/srtp"
)

// meet takes a peer through a real handshake, keys included.
func meet(t *testing.T, change func(*Config)) (*peer, *wire, *piondtls.Conn) {
	t.Helper()
	r := newRig(t, 1, change)
	p := r.open(0, pathA)
	r.deliver(0, pathA, p.check(true))
	w := newWire()
	client := p.handshakeOver(w)
	t.Cleanup(func() { _ = client.Close() })
	state, ok := client.ConnectionState()
	if !ok {
		t.Fatal("no state")
	}
	profile := srtp.AEAD_AES_128_GCM
	m, err := state.ExportKeyingMaterial("EXTRACTOR-dtls_srtp", nil, 2*(profile.KeyLen()+profile.SaltLen()))
	if err != nil {
		t.Fatal(err)
	}
	p.session, err = srtp.NewSession(srtp.Keys{
		Profile: profile, LocalKey: m[:16], RemoteKey: m[16:32], LocalSalt: m[32:44], RemoteSalt: m[44:56],
	})
	if err != nil {
		t.Fatal(err)
	}
	return p, w, client
}

// carryUntil brings records both ways until cond holds.
func (p *peer) carryUntil(w *wire, what string, cond func() bool) {
	p.r.t.Helper()
	for end := time.Now().Add(20 * time.Second); !cond(); runtime.Gosched() {
		p.carry(w)
		if time.Now().After(end) {
			p.r.t.Fatalf("not within 20 s: %s", what)
		}
	}
}

func (p *peer) parked() bool { return p.r.p.dtls.Stats().Parked == 1 }

func TestTheFirstReportParksTheEndpoint(t *testing.T) {
	p, w, client := meet(t, nil)
	report := p.rtcp(rtcp.AppendRR(nil, 1, nil))
	forged := append([]byte(nil), report...)
	forged[len(forged)-5] ^= 1
	p.r.deliver(0, p.key, forged)
	if l := p.r.p.shards[0].live[p.c.index]; l.Heard || l.parked || p.parked() {
		t.Fatal("parked by a packet that is not the peer's")
	}
	p.r.deliver(0, p.key, report)
	p.carryUntil(w, "parked", p.parked)
	if p.r.p.Counters()["dtls_parked"] != 1 {
		t.Error("dtls_parked is not 1")
	}

	go func() { _ = client.Close() }()
	p.carryUntil(w, "closed", func() bool { return len(p.events) == 2 })
	if e := p.events[1]; e != (Event{Kind: Closed, Reason: ReasonDTLSClosed}) {
		t.Errorf("%v", e)
	}
	if n := p.r.p.Counters()["dtls_resumed"]; n != 1 {
		t.Errorf("dtls_resumed %d, want 1", n)
	}
	p.r.p.dtls.Wait()
}

func TestMediaParksTheEndpointAndOurFarewellIsSaid(t *testing.T) {
	p, w, client := meet(t, nil)
	p.publish(videoIn)
	p.r.settle()
	p.r.deliver(0, p.key, p.rtp(1000, 1, 3000, vp8(true, 1)))
	p.carryUntil(w, "parked", p.parked)
	read := make(chan error, 1)
	go func() {
		_, err := client.Read(make([]byte, 1))
		read <- err
	}()
	p.c.Close()
	p.carryUntil(w, "farewell", func() bool { return len(read) == 1 })
	if err := <-read; !errors.Is(err, io.EOF) {
		t.Errorf("the client read %v, not the end", err)
	}
	p.r.p.dtls.Wait()
}

func TestNoParkingKeepsEndpoints(t *testing.T) {
	p, w, client := meet(t, func(c *Config) { c.NoParking = true })
	p.r.deliver(0, p.key, p.rtcp(rtcp.AppendRR(nil, 1, nil)))
	l := p.r.p.shards[0].live[p.c.index]
	if !l.Heard || !l.parked {
		t.Fatal("the report was not taken")
	}
	go func() { _ = client.Close() }()
	p.carryUntil(w, "closed", func() bool { return len(p.events) == 2 })
	if s := p.r.p.dtls.Stats(); s.Parked != 0 || s.Resumed != 0 {
		t.Errorf("%+v", s)
	}
	p.r.p.dtls.Wait()
}
