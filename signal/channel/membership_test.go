package channel_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tsubame/signal/channel"
	"tsubame/signal/offer/offertest"
	"tsubame/signal/session"
)

func TestCountsAreByRole(t *testing.T) {
	r := newRig(t)
	r.join("room", "sendrecv", "")
	r.join("room", "sendonly", "")
	r.join("room", "recvonly", "")
	r.join("other", "recvonly", "")
	v, own := r.join("room", "recvonly", "")
	if own.Total != 4 || own.SendRecv != 1 || own.SendOnly != 1 || own.RecvOnly != 2 || *own.Minutes != 0 || len(own.Data) != 3 {
		t.Errorf("own created: %+v", own)
	}
	w, _ := r.join("room", "sendonly", "")
	v.leave()
	for {
		m := w.expect("notify")
		if m.Event == "connection.destroyed" {
			if m.ConnectionID != v.id || m.Total != 4 || m.SendOnly != 2 || m.RecvOnly != 1 {
				t.Errorf("destroyed: %+v", m)
			}
			break
		}
	}
}

func TestWhoIsNotEstablishedIsNotThere(t *testing.T) {
	r := newRig(t)
	half := r.connect("room", "sendrecv", "")
	half.expect("offer")
	c, own := r.join("room", "sendrecv", "")
	if own.Total != 1 || len(own.Data) != 0 {
		t.Errorf("own created: %+v", own)
	}
	half.leave()
	d, _ := r.join("room", "sendonly", "")
	c.expect("re-offer")
	if m := c.expect("connection.created"); m.ConnectionID != d.id {
		t.Errorf("got %+v: whoever was never there cannot leave", m)
	}
}

func TestOneBundleDoesNotKnowItself(t *testing.T) {
	r := newRig(t)
	a, _ := r.join("room", "sendrecv", `,"bundle_id":"us"`)
	b, own := r.join("room", "sendrecv", `,"bundle_id":"us"`)
	if own.Total != 2 || len(own.Data) != 0 {
		t.Errorf("own created: %+v", own)
	}
	c, own := r.join("room", "sendrecv", `,"bundle_id":"them"`)
	if own.Total != 3 || len(own.Data) != 2 {
		t.Errorf("own created: %+v", own)
	}
	for _, x := range []*client{a, b} {
		x.answer("re-answer", x.expect("re-offer").SDP)
		if m := x.expect("connection.created"); m.ConnectionID != c.id {
			t.Errorf("got %+v", m)
		}
	}
	eventually(t, "a receives c, and nothing of b", func() bool { _, subs, _ := r.plane.Conn(0).Snapshot(); return len(subs) == 2 })
	_, subs, _ := r.plane.Conn(0).Snapshot()
	for _, s := range subs {
		if s.CNAME != c.id {
			t.Errorf("a receives %s", s.CNAME)
		}
	}
	b.leave()
	c.leave()
	a.expect("re-offer")
	if m := a.expect("connection.destroyed"); m.ConnectionID != c.id {
		t.Errorf("got %+v", m)
	}
}

func TestSessionIDLivesAsLongAsTheChannelHasSomebody(t *testing.T) {
	r := newRig(t)
	a, first := r.join("room", "recvonly", "")
	b, second := r.join("room", "recvonly", "")
	if first.SessionID == "" || first.SessionID != second.SessionID {
		t.Errorf("session ids %q and %q", first.SessionID, second.SessionID)
	}
	a.leave()
	_, third := r.join("room", "recvonly", "")
	if third.SessionID != first.SessionID {
		t.Errorf("session id became %q", third.SessionID)
	}
	b.leave()
	r.close()
	r2 := newRig(t)
	c, one := r2.join("room", "recvonly", "")
	c.leave()
	eventually(t, "the channel is gone", func() bool { n, _ := r2.registry.Counts(); return n == 0 })
	if _, two := r2.join("room", "recvonly", ""); two.SessionID == one.SessionID {
		t.Error("a new channel has the old session id")
	}
}

func TestNotificationsCanBeOffButStreamsAreNot(t *testing.T) {
	r := newRigWith(t, false)
	a := r.connect("room", "recvonly", "")
	a.answer("answer", a.expect("offer").SDP)
	b := r.connect("room", "sendonly", "")
	b.answer("answer", b.expect("offer").SDP)
	a.answer("re-answer", a.expect("re-offer").SDP)
	eventually(t, "a receives b", func() bool { _, s, _ := r.plane.Conn(0).Snapshot(); return len(s) == 2 })
}

func TestNewcomersReceiveWhoIsThere(t *testing.T) {
	r := newRig(t)
	p, _ := r.join("room", "sendonly", "")
	r.join("room", "recvonly", "")
	_, subs, _ := r.plane.Conn(1).Snapshot()
	if len(subs) != 2 || subs[0].CNAME != p.id {
		t.Errorf("subscriptions %+v", subs)
	}
	// And a sender receives nobody.
	r.join("room", "sendonly", "")
	if _, subs, _ := r.plane.Conn(2).Snapshot(); len(subs) != 0 {
		t.Errorf("a sender receives %+v", subs)
	}
}

func TestASlowReaderIsEnded(t *testing.T) {
	r := newRig(t)
	a, _ := r.join("room", "recvonly", "")
	a.mu.Lock()
	a.full = true
	a.mu.Unlock()
	r.join("room", "sendonly", "")
	a.expectClosed(4490, "SLOW-READER")
}

func TestARefusedTrackOfItsOwnIsLogged(t *testing.T) {
	var out bytes.Buffer
	r := newRigOf(t, func(c *channel.Config) { c.Log = slog.New(slog.NewTextHandler(&out, nil)) })
	c := r.connect("room", "sendonly", `,"client_id":"phone"`)
	o := c.expect("offer")
	c.sdp.Decline = map[string]bool{}
	for _, s := range offertest.Sections(o.SDP) {
		c.sdp.Decline[s.MID] = s.Kind == "video"
	}
	c.answer("answer", o.SDP)
	c.expect("connection.created")
	if n := r.registry.Counters()["signal_own_track_refused"]; n != 1 {
		t.Errorf("counted %d times", n)
	}
	r.close()
	for _, want := range []string{`level=WARN msg="own track refused" channel_id=room`, "client_id=phone", "remote=192.0.2.1", "detail=VP8"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %s in %s", want, out.String())
		}
	}
}

func TestVanishingIsNoticed(t *testing.T) {
	r := newRig(t)
	a, _ := r.join("room", "recvonly", "")
	b, _ := r.join("room", "recvonly", "")
	a.expect("connection.created")
	b.peer.Deliver(session.Vanished{})
	b.expectClosed(0, "VANISHED")
	if m := a.expect("connection.destroyed"); m.ConnectionID != b.id {
		t.Errorf("got %+v", m)
	}
	if b.peer.Deliver(session.Vanished{}) {
		t.Error("an ended session takes events")
	}
}

func TestNoRoomForATrack(t *testing.T) {
	r := newRig(t)
	r.plane.MaxTracks = 1
	c := r.connect("room", "sendonly", "")
	c.answer("answer", c.expect("offer").SDP)
	c.expectClosed(4490, "SERVER-FULL")
}

func TestCloseEndsEverybodyAndRefusesTheNext(t *testing.T) {
	r := newRig(t)
	a, _ := r.join("room", "sendrecv", "")
	b, _ := r.join("other", "recvonly", "")
	half := r.connect("room", "sendonly", "")
	half.expect("offer")
	r.close()
	for _, c := range []*client{a, b, half} {
		c.expectClosed(1000, "SHUTDOWN")
	}
	r.connect("room", "sendonly", "").expectClosed(1000, "SHUTDOWN")
}

// Sessions in every stage: none is forgotten, and each is told why it ends.
func TestCloseInTheMiddleOfAStorm(t *testing.T) {
	r := newRig(t)
	var calls atomic.Int64
	visit := func(i int) bool {
		c := r.connect(fmt.Sprint("room", i%3), []string{"sendrecv", "sendonly", "recvonly"}[i%7%3], "")
		for m, ok := c.read(); ok; m, ok = c.read() {
			switch {
			case m.Type == "offer":
				c.answer("answer", m.SDP)
			case m.Type == "re-offer":
				c.answer("re-answer", m.SDP)
			case m.Data != nil: // its own connection.created
				if calls.Add(1); i%4 != 0 {
					c.deliver(`{"type":"disconnect"}`)
				}
			}
		}
		<-c.peer.Done()
		if c.code != 1000 || c.reason != "SHUTDOWN" && c.reason != "TYPE-DISCONNECT" {
			t.Errorf("closed by %d %s", c.code, c.reason)
		}
		return c.reason != "SHUTDOWN"
	}
	var all sync.WaitGroup
	for w := range 30 {
		all.Go(func() {
			for i := w; visit(i); i += 30 {
			}
		})
	}
	eventually(t, "the storm is on", func() bool { return calls.Load() > 100 })
	r.close()
	all.Wait()
}

func TestCloseReturnsInTime(t *testing.T) {
	r := newRig(t)
	a, _ := r.join("room", "sendonly", "")
	stuck := make(chan struct{})
	a.mu.Lock()
	a.block = stuck
	a.mu.Unlock()
	r.join("room", "recvonly", "")
	eventually(t, "the session hangs", func() bool { a.mu.Lock(); defer a.mu.Unlock(); return len(a.inbox) == 3 })
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	if err := r.registry.Close(ctx); !errors.Is(err, channel.ErrNotInTime) {
		t.Errorf("close: %v", err)
	}
	close(stuck)
}

// Joins and leaves of one channel race: it must neither be lost nor kept.
func TestJoinsRaceWithTheEndOfTheirChannel(t *testing.T) {
	r := newRig(t)
	var all sync.WaitGroup
	for i := range 8 {
		all.Add(1)
		go func() {
			defer all.Done()
			for j := range 60 {
				c := r.connect(fmt.Sprint("room", i%2), "recvonly", "")
				if o, ok := c.read(); !ok || o.Type != "offer" {
					t.Errorf("join %d/%d: %+v", i, j, o)
					return
				}
				c.deliver(`{"type":"disconnect"}`)
				<-c.peer.Done()
			}
		}()
	}
	all.Wait()
	eventually(t, "every channel is gone", func() bool { c, s := r.registry.Counts(); return c == 0 && s == 0 })
}

// 1,000 joins and leaves leave nothing behind; TestMain looks for goroutines.
func TestAThousandJoinsAndLeaves(t *testing.T) {
	r := newRig(t)
	r.join("room", "sendonly", "")
	for range 1000 {
		c, _ := r.join("room", "recvonly", "")
		c.leave()
	}
	eventually(t, "one session is left", func() bool { c, s := r.registry.Counts(); return c == 1 && s == 1 })
	if n := r.plane.OpenConns(); n != 1 {
		t.Errorf("%d media connections", n)
	}
}
