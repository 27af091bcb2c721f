package channel_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"tsubame/signal/channel"
)

// updated runs a test of connection.updated under a virtual clock.
func updated(t *testing.T, interval time.Duration, f func(*testing.T, *rig)) {
	synctest.Test(t, func(t *testing.T) {
		f(t, newRigOf(t, func(c *channel.Config) {
			c.UpdatedInterval = interval
			c.Session.PingInterval, c.Session.PongTimeout = 1000*time.Hour, 1000*time.Hour
		}))
	})
}

// pass lets virtual time pass; nobody waits for it.
func pass(d time.Duration) { <-time.After(d) }

// drain returns what came in so far, once nothing moves any more.
func (c *client) drain() []message {
	synctest.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	out := c.inbox[c.next:]
	c.next = len(c.inbox)
	return out
}

func TestWhoIsAloneHearsFullMinutes(t *testing.T) {
	updated(t, time.Minute, func(t *testing.T, r *rig) {
		c, _ := r.join("room", "sendrecv", `,"signaling_notify_metadata":{"a":1}`)
		for minute := 1; minute <= 3; minute++ {
			pass(time.Minute - time.Nanosecond)
			if m := c.drain(); len(m) != 0 {
				t.Fatalf("too early: %+v", m)
			}
			pass(time.Nanosecond)
			m := c.drain()
			if len(m) != 1 || m[0].Event != "connection.updated" || m[0].ConnectionID != c.id || m[0].Minutes == nil || *m[0].Minutes != minute ||
				m[0].Total != 1 || m[0].SendRecv != 1 || m[0].SessionID == "" || m[0].Metadata != nil || m[0].Data != nil {
				t.Fatalf("minute %d: %+v", minute, m)
			}
		}
	})
}

// Whoever leaves is told of by how long it was there, not by how long the channel was.
func TestMinutesAreThoseSinceTheConnectionWasEstablished(t *testing.T) {
	updated(t, time.Hour, func(t *testing.T, r *rig) {
		watcher, _ := r.join("room", "recvonly", "")
		pass(3 * time.Minute)
		slow := r.connect("room", "sendonly", "")
		o := slow.expect("offer")
		pass(59 * time.Second)
		slow.answer("answer", o.SDP)
		if own := slow.expect("connection.created"); *own.Minutes != 0 || own.Total != 2 {
			t.Errorf("created: %+v", own)
		}
		watcher.answer("re-answer", watcher.expect("re-offer").SDP)
		pass(3*time.Minute - time.Nanosecond)
		slow.leave()
		if m := watcher.expect("connection.created"); *m.Minutes != 0 || m.Total != 2 || m.SendOnly != 1 || m.RecvOnly != 1 {
			t.Errorf("created: %+v", m)
		}
		watcher.expect("re-offer")
		if m := watcher.expect("connection.destroyed"); *m.Minutes != 2 || m.Total != 1 || m.SendOnly != 0 || m.RecvOnly != 1 {
			t.Errorf("destroyed: %+v", m)
		}
	})
}

func TestEverybodyHearsOfEverybodyOnceAnInterval(t *testing.T) {
	updated(t, time.Minute, func(t *testing.T, r *rig) {
		var all []*client
		for i := range 10 {
			c, _ := r.join("room", "recvonly", fmt.Sprintf(`,"bundle_id":"b%d"`, i/2))
			all = append(all, c)
		}
		other, _ := r.join("other", "recvonly", "")
		for _, c := range all {
			c.drain()
		}
		pass(time.Minute)
		for _, c := range all {
			c.drain() // the first interval is one of transition
		}
		other.drain()
		pass(time.Minute)
		for i, c := range all {
			heard := map[string]int{}
			for _, m := range c.drain() {
				if m.Event != "connection.updated" || m.Total != 10 {
					t.Errorf("got %+v", m)
				}
				heard[m.ConnectionID]++
			}
			for j, o := range all {
				want := 1
				if i/2 == j/2 && i != j {
					want = 0 // of one bundle
				}
				if heard[o.id] != want {
					t.Errorf("%d heard of %d %d times, not %d", i, j, heard[o.id], want)
				}
			}
		}
		if m := other.drain(); len(m) != 1 || m[0].ConnectionID != other.id {
			t.Errorf("in another channel: %+v", m)
		}
	})
}

func TestUpdatesAreSpreadOverTheInterval(t *testing.T) {
	updated(t, time.Minute, func(t *testing.T, r *rig) {
		const n = 60
		for range n {
			r.join("room", "recvonly", "")
		}
		watcher, _ := r.join("room", "recvonly", "")
		watcher.drain()
		pass(time.Minute)
		watcher.drain()
		most, total := 0, 0
		for range 60 {
			pass(time.Second)
			k := len(watcher.drain())
			most, total = max(most, k), total+k
		}
		if total != n+1 || most > 3 {
			t.Errorf("%d in all, %d in one second", total, most)
		}
	})
}

// Beyond a bound of members each hears of itself only.
func TestInALargeChannelUpdatesAreOnesOwn(t *testing.T) {
	updated(t, time.Minute, func(t *testing.T, r *rig) {
		var all []*client
		for range channel.MaxUpdatedToAll + 1 {
			c, _ := r.join("room", "recvonly", "")
			all = append(all, c)
		}
		pass(time.Minute)
		for _, c := range all {
			c.drain()
		}
		pass(time.Minute)
		for i, c := range all {
			if m := c.drain(); len(m) != 1 || m[0].ConnectionID != c.id || m[0].Event != "connection.updated" {
				t.Fatalf("%d: %d messages", i, len(m))
			}
		}
		all[0].leave()
		pass(time.Second)
		watcher := all[1]
		watcher.drain()
		pass(time.Minute)
		if m := watcher.drain(); len(m) != channel.MaxUpdatedToAll {
			t.Errorf("at the bound: %d messages", len(m))
		}
	})
}

func TestWhoLeftIsNotUpdated(t *testing.T) {
	updated(t, time.Minute, func(t *testing.T, r *rig) {
		a, _ := r.join("room", "recvonly", "")
		b, _ := r.join("room", "recvonly", "")
		half := r.connect("room", "recvonly", "") // never established
		half.expect("offer")
		b.leave()
		a.drain()
		pass(10 * time.Minute)
		for _, m := range a.drain() {
			if m.ConnectionID != a.id && m.Event == "connection.updated" {
				t.Errorf("got %+v", m)
			}
		}
	})
}

func TestUpdatesCanBeOff(t *testing.T) {
	for name, edit := range map[string]func(*channel.Config){
		"no interval": func(c *channel.Config) {},
		"no notify":   func(c *channel.Config) { c.UpdatedInterval, c.Notify = time.Minute, false },
	} {
		synctest.Test(t, func(t *testing.T) {
			r := newRigOf(t, func(c *channel.Config) {
				c.Session.PingInterval, c.Session.PongTimeout = 1000*time.Hour, 1000*time.Hour
				edit(c)
			})
			c := r.connect("room", "recvonly", "")
			c.answer("answer", c.expect("offer").SDP)
			pass(time.Second)
			c.drain()
			pass(time.Hour)
			if m := c.drain(); len(m) != 0 {
				t.Errorf("%s: %+v", name, m)
			}
		})
	}
}

func TestJoiningSessionsAreBounded(t *testing.T) {
	r := newRigOf(t, func(c *channel.Config) { c.MaxJoining = 2 })
	r.plane.Manual = true
	a := r.connect("room", "recvonly", "")
	b := r.connect("room", "recvonly", "")
	r.connect("room", "recvonly", "").expectClosed(4490, "SERVER-BUSY")
	a.answer("answer", a.expect("offer").SDP)
	if n := r.registry.Joining(); n != 2 {
		t.Errorf("%d are joining", n)
	}
	b.expect("offer")
	for i := range 2 { // that of b is of no use before its answer
		r.plane.Conn(i).Notify(channel.MediaEvent{Kind: channel.MediaEstablished})
	}
	a.expect("connection.created")
	if n := r.registry.Joining(); n != 1 || r.registry.Counters()["signal_joining"] != 1 {
		t.Errorf("%d are joining", n)
	}
	b.leave()
	eventually(t, "nobody is joining", func() bool { return r.registry.Joining() == 0 })
	a.leave()
	eventually(t, "nobody is there", func() bool { _, n := r.registry.Counts(); return n == 0 })
	if n := r.registry.Joining(); n != 0 {
		t.Errorf("%d are joining", n)
	}
}

// Sessions whose clients do not answer keep nobody out for long.
//
// Row SIG-08.
func TestWhoTakesTooLongIsNotCountedAsJoining(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRigOf(t, func(c *channel.Config) { c.MaxJoining, c.JoiningFor = 2, 0 })
		var silent []*client
		for range 2 {
			silent = append(silent, r.connect("room", "recvonly", ""))
		}
		pass(5*time.Second - time.Nanosecond)
		r.connect("room", "recvonly", "").expectClosed(4490, "SERVER-BUSY")
		pass(time.Nanosecond)
		if n := r.registry.Joining(); n != 0 {
			t.Errorf("%d are joining", n)
		}
		r.join("room", "recvonly", "")
		late := silent[0]
		late.answer("answer", late.expect("offer").SDP)
		late.expect("connection.created")
		silent[1].expect("offer")
		silent[1].leave()
		if n := r.registry.Joining(); n != 0 {
			t.Errorf("%d are joining in the end", n)
		}
	})
}
