package bot

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"tsubame/media/param"
)

var loopback = netip.MustParseAddrPort("127.0.0.1:0")

func TestPairsAreArranged(t *testing.T) {
	r := newRig(t)
	r.candidates = 3
	var arranged []Path
	cfg := r.config(SendOnly)
	cfg.LocalAddrs = []netip.AddrPort{loopback, loopback}
	cfg.Arrange = func(paths []Path) []Path {
		if len(paths) != 6 {
			t.Errorf("%d pairs of 2 sockets and 3 candidates", len(paths))
		}
		slices.Reverse(paths)
		arranged = slices.Clone(paths[:5])
		return paths[:5]
	}
	b := r.call(cfg)
	until(t, "all pairs are validated", func() bool {
		return !slices.ContainsFunc(b.Paths(), func(p Path) bool { return !p.Validated })
	})
	same := func(a, b Path) bool { return a.Local == b.Local && a.Remote == b.Remote }
	if !slices.EqualFunc(b.Paths(), arranged, same) {
		t.Errorf("%v, arranged %v", b.Paths(), arranged)
	}
}

func TestMediaFlowsBeforeALateNomination(t *testing.T) {
	r := newRig(t)
	cfg := r.config(SendOnly)
	cfg.NominateAfter = 300 * time.Millisecond
	b := r.call(cfg)
	p := r.peer(b)
	if slices.ContainsFunc(b.Paths(), func(p Path) bool { return p.Selected }) {
		t.Error("nominated at once")
	}
	until(t, "it is nominated", func() bool {
		n := 0
		r.look(func() { n = p.nominations })
		return n > 0 && b.Paths()[0].Selected
	})
}

func TestRoamingToANewSocket(t *testing.T) {
	r := newRig(t)
	viewer := r.call(r.config(RecvOnly))
	cfg := r.config(SendOnly)
	cfg.LocalAddrs = []netip.AddrPort{loopback}
	b := r.call(cfg)
	until(t, "pictures came", func() bool { return received(viewer, param.Video).Frames > 10 })
	socket, err := b.AddSocket(loopback)
	if err != nil {
		t.Fatal(err)
	}
	index := func() int {
		return slices.IndexFunc(b.Paths(), func(p Path) bool { return p.Socket == socket && p.Validated })
	}
	until(t, "the new path is validated", func() bool { return index() >= 0 })
	if err := b.Nominate(index()); err != nil {
		t.Fatal(err)
	}
	until(t, "it is selected", func() bool { return b.Paths()[index()].Selected })
	if err := b.CloseSocket(0); err != nil {
		t.Fatal(err)
	}
	frames := received(viewer, param.Video).Frames
	until(t, "pictures go on", func() bool { return received(viewer, param.Video).Frames > frames+25 })
	if s := received(viewer, param.Video); s.Shifts != 0 || s.BadPayload != 0 {
		t.Errorf("%+v", s)
	}
	if b.Nominate(99) == nil || b.CloseSocket(0) == nil {
		t.Error("what does not exist was taken")
	}
}

func TestAnswersFromElsewhereAreNotTaken(t *testing.T) {
	r := newRig(t)
	r.candidates, r.other = 2, true
	b := dial(t, r.config(SendOnly))
	until(t, "answers from the wrong address were counted", func() bool { return b.Stats().ICE.Asymmetric >= 4 })
	if b.Stats().ICE.Answers != 0 {
		t.Error("taken")
	}
}

// stuck waits a little and wants the bot not to be connected.
func stuck(t *testing.T, b *Bot) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
	defer cancel()
	err := b.WaitConnected(ctx)
	if err == nil {
		t.Fatal("connected")
	}
	return err
}

func TestWrongCredentialsGetNoAnswer(t *testing.T) {
	r := newRig(t)
	for _, change := range []func(*Config){
		func(c *Config) { c.WrongUfrag = true },
		func(c *Config) { c.WrongPassword = true },
	} {
		cfg := r.config(SendOnly)
		change(&cfg)
		b := dial(t, cfg)
		if err := stuck(t, b); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		until(t, "checks are repeated", func() bool { return b.Stats().ICE.Checks >= 2 })
		if s := b.Stats().ICE; s.Answers != 0 {
			t.Errorf("%+v", s)
		}
		p := r.peer(b)
		until(t, "the rig refused them", func() bool {
			refused := 0
			r.look(func() { refused = p.refused })
			return refused > 0
		})
	}
}

func TestRoleConflictIsCounted(t *testing.T) {
	r := newRig(t)
	r.roleError = true
	b := dial(t, r.config(SendOnly))
	until(t, "487 came", func() bool { return b.Stats().ICE.RoleErrors > 0 })
}

func TestWrongFingerprintInTheAnswer(t *testing.T) {
	r := newRig(t)
	cfg := r.config(SendOnly)
	cfg.WrongFingerprint = true
	b := dial(t, cfg)
	p := r.peer0()
	until(t, "the rig noticed", func() bool {
		var err error
		r.look(func() { err = p().dtlsError })
		return err != nil
	})
	until(t, "and ended the session", func() bool { return b.Stats().DTLSClosed || b.Err() != nil })
}

// peer0 returns the first peer when there is one.
func (r *rig) peer0() func() *peer {
	until(r.t, "a peer joined", func() bool {
		n := 0
		r.look(func() { n = len(r.peers) })
		return n > 0
	})
	return func() *peer { return r.peers[0] }
}

// Row DTLS-05. In the role of the client.
func TestServerWithAnotherCertificateIsRefused(t *testing.T) {
	r := newRig(t)
	r.impostor = true
	b := dial(t, r.config(SendOnly))
	if err := b.WaitConnected(within(t)); !errors.Is(err, ErrBadFingerprint) {
		t.Fatal(err)
	}
}

func TestSilentAfterClientHello(t *testing.T) {
	r := newRig(t)
	cfg := r.config(SendOnly)
	cfg.SilentAfterClientHello = true
	cfg.DTLSMTU = 100
	b := dial(t, cfg)
	p := r.peer0()
	records := func() (n int) {
		r.look(func() { n = p().records })
		return n
	}
	until(t, "the ClientHello came", func() bool { return records() >= 2 })
	stuck(t, b)
	before := records()
	stuck(t, b)
	r.look(func() {
		if n := p().records; n != before {
			t.Errorf("%d datagrams after %d", n, before)
		}
		if p().dtlsDone {
			t.Error("the handshake ended")
		}
	})
	until(t, "ICE goes on", func() bool { return b.Stats().ICE.Answers >= 2 })
}

func TestClientHelloInPieces(t *testing.T) {
	r := newRig(t)
	cfg := r.config(SendOnly)
	cfg.DTLSMTU = 80
	b := r.call(cfg)
	p := r.peer(b)
	r.look(func() {
		if p.records < 4 {
			t.Errorf("%d datagrams", p.records)
		}
	})
}

func TestConfigIsChecked(t *testing.T) {
	for name, cfg := range map[string]Config{
		"no URL":     {Channel: "c", Role: SendRecv},
		"no channel": {URL: "ws://127.0.0.1:1/", Role: SendRecv},
		"no role":    {URL: "ws://127.0.0.1:1/", Channel: "c"},
		"no server":  {URL: "ws://127.0.0.1:1/", Channel: "c", Role: SendRecv},
	} {
		if _, err := Dial(within(t), cfg); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestSocketsAreOpenedByTheConfig(t *testing.T) {
	r := newRig(t)
	cfg := r.config(SendOnly)
	opened := 0
	cfg.Listen = func(network string, local *net.UDPAddr) (*net.UDPConn, error) {
		opened++
		return net.ListenUDP(network, local)
	}
	r.call(cfg)
	if opened != 1 {
		t.Errorf("%d sockets", opened)
	}
}
