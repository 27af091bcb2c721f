package channel_test

import (
	"errors"
	"fmt"
	"reflect"
	"testing"
	"testing/synctest"
	"time"

	"tsubame/signal/channel"
	"tsubame/signal/session"
	"tsubame/signal/webhook"
)

// From the first who comes to the end of the session, in the order in which it happened.
func TestASessionFromItsFirstConnectionToItsEnd(t *testing.T) {
	a := &app{}
	withApp(t, a, func(c *channel.Config) { c.SessionGrace = 10 * time.Second }, func(t *testing.T, r *rig) {
		x := r.named("room", "sendrecv", "x")
		y := r.named("room", "recvonly", "y")
		a.hears(t, "session.created room", "connection.created room x 1", "connection.created room y 2")
		x.leave()
		a.hears(t, "connection.destroyed room x 1")
		pass(time.Minute)
		y.leave()
		a.hears(t, "connection.destroyed room y 0")
		pass(10*time.Second - time.Nanosecond)
		a.hears(t)
		pass(time.Nanosecond)
		a.hears(t, "session.destroyed room")
		a.look(func() {
			first, last, log := a.sessions[0], a.sessions[1], a.logs[0]
			if first.SessionID == "" || last.SessionID != first.SessionID || log.SessionID != first.SessionID || a.events[0].SessionID != first.SessionID {
				t.Errorf("sessions %+v", a.sessions)
			}
			if d := last.Destroyed.Sub(last.Created); d < 70*time.Second || d > 71*time.Second || !log.Destroyed.Equal(last.Destroyed) {
				t.Errorf("it lasted %v", d)
			}
			if last.TotalConnections != 2 || last.MaxConnections != 2 || log.TotalConnections != 2 || log.MaxConnections != 2 {
				t.Errorf("%+v", last)
			}
			if len(last.Connections) != 2 || last.Connections[0].ClientID != "x" || last.Connections[1].Destroyed.Sub(last.Connections[1].Created) < time.Minute {
				t.Errorf("connections %+v", last.Connections)
			}
		})
		if n, _ := r.registry.Counts(); n != 0 {
			t.Errorf("%d channels are left", n)
		}
	})
}

func TestWhoComesBackInTimeFindsTheSession(t *testing.T) {
	a := &app{}
	withApp(t, a, func(c *channel.Config) { c.SessionGrace = 10 * time.Second }, func(t *testing.T, r *rig) {
		x, first := r.join("room", "recvonly", `,"client_id":"x"`)
		x.leave()
		pass(9 * time.Second)
		x, second := r.join("room", "recvonly", `,"client_id":"x"`)
		if second.SessionID != first.SessionID {
			t.Error("there is another session")
		}
		x.leave()
		pass(9 * time.Second) // its time begins anew
		a.hears(t, "session.created room", "connection.created room x 1", "connection.destroyed room x 0",
			"connection.created room x 1", "connection.destroyed room x 0")
		pass(time.Second)
		synctest.Wait()
		_, third := r.join("room", "recvonly", `,"client_id":"x"`)
		if third.SessionID == first.SessionID {
			t.Error("a session came back")
		}
		a.hears(t, "session.destroyed room", "session.created room", "connection.created room x 1")
		a.look(func() {
			if e := a.sessions[1]; e.TotalConnections != 2 || e.MaxConnections != 1 {
				t.Errorf("%+v", e)
			}
		})
	})
}

// Without anybody to tell, and without grace, as with both: the id is of one session.
func TestSessionsHaveTheirGraceWithoutAnApplicationToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRigOf(t, func(c *channel.Config) {
			c.SessionGrace = time.Second
			c.Session.PingInterval, c.Session.PongTimeout = 1000*time.Hour, 1000*time.Hour
		})
		c, first := r.join("room", "recvonly", "")
		c.leave()
		c, second := r.join("room", "recvonly", "")
		c.leave()
		pass(time.Second)
		synctest.Wait()
		_, third := r.join("room", "recvonly", "")
		if first.SessionID != second.SessionID || third.SessionID == first.SessionID {
			t.Errorf("%s %s %s", first.SessionID, second.SessionID, third.SessionID)
		}
	})
}

// Those who come while the application thinks about the session wait; it is asked once.
func TestJoinsWaitForTheSession(t *testing.T) {
	a := &app{sessionDelay: 2 * time.Second}
	withApp(t, a, nil, func(t *testing.T, r *rig) {
		began := time.Now()
		var all []*client
		for range 20 {
			all = append(all, r.connect("room", "recvonly", ""))
		}
		gone := r.connect("room", "recvonly", "")
		synctest.Wait()
		gone.peer.Deliver(session.Vanished{})
		<-gone.peer.Done()
		for _, c := range all {
			c.expect("offer")
		}
		if d := time.Since(began); d != 2*time.Second {
			t.Errorf("after %v", d)
		}
		a.look(func() {
			if a.questions != 1 {
				t.Errorf("asked %d times", a.questions)
			}
		})
		r.join("other", "recvonly", "")
	})
}

func TestASessionThatFailsRefusesWhoWaits(t *testing.T) {
	a := &app{sessionDelay: time.Second, session: func(n int) (*webhook.SessionAnswer, error) {
		if n == 1 {
			return nil, errors.New("status 500")
		}
		return &webhook.SessionAnswer{}, nil
	}}
	withApp(t, a, func(c *channel.Config) { c.SessionGrace = time.Minute }, func(t *testing.T, r *rig) {
		x, y := r.connect("room", "recvonly", ""), r.connect("room", "recvonly", "")
		x.expectClosed(4490, "SESSION-WEBHOOK-ERROR")
		y.expectClosed(4490, "SESSION-WEBHOOK-ERROR")
		synctest.Wait()
		if n, _ := r.registry.Counts(); n != 0 {
			t.Errorf("%d channels are left", n)
		}
		// The next one asks anew, about another session.
		r.join("room", "recvonly", "")
		a.look(func() {
			if a.questions != 2 || a.sessions[0].SessionID == a.sessions[1].SessionID || len(a.logs) != 0 {
				t.Errorf("sessions %+v", a.sessions)
			}
		})
	})
}

// busy is the error of hooks that did not ask.
type busy struct{ reason string }

func (b busy) Error() string       { return "busy" }
func (b busy) CloseReason() string { return b.reason }

func TestASessionThatCouldNotBeAskedForSaysWhy(t *testing.T) {
	for reason, want := range map[string]string{"SERVER-BUSY": "SERVER-BUSY", "": "SESSION-WEBHOOK-ERROR"} {
		a := &app{session: func(int) (*webhook.SessionAnswer, error) { return nil, fmt.Errorf("wrapped: %w", busy{reason}) }}
		withApp(t, a, nil, func(t *testing.T, r *rig) {
			r.connect("room", "recvonly", "").expectClosed(4490, want)
		})
	}
}

// The application has a session, so that it hears of its end.
func TestASessionThatNobodyWaitedForIsDestroyed(t *testing.T) {
	a := &app{sessionDelay: 2 * time.Second}
	withApp(t, a, nil, func(t *testing.T, r *rig) {
		c := r.connect("room", "recvonly", `,"client_id":"x"`)
		synctest.Wait()
		c.peer.Deliver(session.Vanished{})
		<-c.peer.Done()
		pass(2 * time.Second)
		a.hears(t, "session.created room", "connection.failed room x 0", "session.destroyed room")
		a.look(func() {
			if e := a.sessions[1]; e.TotalConnections != 0 || e.MaxConnections != 0 || len(e.Connections) != 0 {
				t.Errorf("%+v", e)
			}
		})
	})
}

func TestASessionHasNoMoreConnectionsThanItMay(t *testing.T) {
	a := &app{session: func(int) (*webhook.SessionAnswer, error) { return &webhook.SessionAnswer{MaxConnections: 2}, nil }}
	withApp(t, a, nil, func(t *testing.T, r *rig) {
		r.join("room", "recvonly", "")
		half := r.connect("room", "recvonly", "") // counts though it is not established
		half.expect("offer")
		r.connect("room", "recvonly", "").expectClosed(4490, "CONNECTION-LIMIT")
		half.leave()
		r.join("room", "recvonly", "")
		r.connect("room", "sendonly", "").expectClosed(4490, "CONNECTION-LIMIT")
	})
	// Nor at once.
	withApp(t, a, nil, func(t *testing.T, r *rig) {
		var all []*client
		for range 10 {
			all = append(all, r.connect("room", "recvonly", ""))
		}
		synctest.Wait()
		in := 0
		for _, c := range all {
			select {
			case <-c.peer.Done():
				c.expectClosed(4490, "CONNECTION-LIMIT")
			default:
				in++
			}
		}
		if in != 2 {
			t.Errorf("%d are in", in)
		}
	})
}

func TestASessionIsUpdatedEachInterval(t *testing.T) {
	a := &app{session: func(int) (*webhook.SessionAnswer, error) {
		return &webhook.SessionAnswer{SessionMetadata: []byte(`{"m":1}`), GroupID: "group"}, nil
	}, auth: func(*webhook.AuthRequest, string) channel.Verdict {
		return channel.Verdict{Answer: &webhook.AuthAnswer{Allowed: true, EventMetadata: []byte(`"e"`)}}
	}}
	withApp(t, a, func(c *channel.Config) { c.SessionUpdated = time.Minute }, func(t *testing.T, r *rig) {
		x := r.named("room", "sendonly", "x")
		y := r.named("room", "recvonly", "y")
		half := r.connect("room", "recvonly", `,"client_id":"half"`)
		half.expect("offer")
		y.leave()
		a.hears(t, "session.created room", "connection.created room x 1", "connection.created room y 2", "connection.destroyed room y 1")
		pass(time.Minute)
		a.hears(t, "session.updated room")
		pass(time.Minute)
		a.hears(t, "session.updated room")
		x.leave()
		synctest.Wait()
		half.leave()
		a.hears(t, "connection.destroyed room x 0", "connection.failed room half 0", "session.destroyed room")
		a.look(func() {
			e := a.sessions[1]
			if e.MaxConnections != 2 || e.TotalConnections != 2 || string(e.SessionMetadata) != `{"m":1}` || e.GroupID != "group" || len(e.Connections) != 1 {
				t.Errorf("%+v", e)
			}
			want := webhook.Media{Audio: true, AudioCodecType: "OPUS", Video: true, VideoCodecType: "VP8"}
			if c := e.Connections[0]; c.ClientID != "x" || c.Media != want || string(c.EventMetadata) != `"e"` || !c.Destroyed.IsZero() || c.Created.IsZero() {
				t.Errorf("%+v", c)
			}
			if a.sessions[0].SessionMetadata != nil || string(a.logs[0].SessionMetadata) != `{"m":1}` || a.logs[0].GroupID != "group" {
				t.Errorf("created %+v, log %+v", a.sessions[0], a.logs[0])
			}
		})
		pass(time.Hour)
		a.hears(t)
	})
}

// What was in a channel is told before what will be, however soon the next ones come.
func TestTheEndOfASessionIsToldBeforeTheNextOne(t *testing.T) {
	a := &app{}
	withApp(t, a, nil, func(t *testing.T, r *rig) {
		for range 50 {
			c, _ := r.join("room", "recvonly", "")
			c.leave()
		}
		synctest.Wait()
		state := "destroyed"
		for i, line := range a.lines {
			switch line {
			case "session.created room":
				if state != "destroyed" {
					t.Fatalf("line %d: %s", i, line)
				}
				state = "created"
			case "session.destroyed room":
				if state != "created" {
					t.Fatalf("line %d: %s", i, line)
				}
				state = "destroyed"
			}
		}
		if len(a.sessions) < 2 || !reflect.DeepEqual(a.lines[len(a.lines)-1], "session.destroyed room") {
			t.Errorf("%d events of sessions", len(a.sessions))
		}
	})
}

func TestAServerThatEndsWaitsForNoGraceAndNoAnswer(t *testing.T) {
	a := &app{sessionDelay: time.Second}
	withApp(t, a, func(c *channel.Config) { c.SessionGrace = time.Hour }, func(t *testing.T, r *rig) {
		c := r.named("room", "recvonly", "x")
		c.leave()
		r.named("other", "recvonly", "y")
		r.connect("third", "recvonly", `,"client_id":"z"`)
		synctest.Wait()
		began := time.Now()
		r.close()
		if d := time.Since(began); d != 0 {
			t.Errorf("it took %v", d)
		}
		a.look(func() {
			destroyed := map[string]bool{}
			for _, e := range a.sessions {
				if e.Type == webhook.SessionDestroyed {
					destroyed[e.ChannelID] = true
				}
			}
			if !reflect.DeepEqual(destroyed, map[string]bool{"room": true, "other": true, "third": true}) {
				t.Errorf("destroyed %v", destroyed)
			}
		})
		pass(time.Second) // the answer comes to nobody
	})
}

func TestChannelsThatWaitForTheirEndAreBounded(t *testing.T) {
	a := &app{}
	withApp(t, a, func(c *channel.Config) { c.SessionGrace = time.Hour }, func(t *testing.T, r *rig) {
		r.registry.SetMaxIdling(2)
		for i := range 5 {
			c, _ := r.join(fmt.Sprint("room", i), "recvonly", "")
			c.leave()
		}
		synctest.Wait()
		if n, _ := r.registry.Counts(); n != 2 {
			t.Errorf("%d channels wait", n)
		}
		// One that is taken up again makes room.
		c, _ := r.join("room0", "recvonly", "")
		d, _ := r.join("another", "recvonly", "")
		d.leave()
		synctest.Wait()
		if n, _ := r.registry.Counts(); n != 3 {
			t.Errorf("%d channels", n)
		}
		c.leave()
	})
}

func TestWhatIsNewFollowsANewConfiguration(t *testing.T) {
	a := &app{}
	var cfg channel.Config
	withApp(t, a, func(c *channel.Config) { c.SessionUpdated, c.ConnectionUpdated, cfg = time.Minute, time.Minute, *c }, func(t *testing.T, r *rig) {
		x := r.named("room", "recvonly", "x")
		cfg.Session.Allow.ClientID, cfg.SessionUpdated, cfg.ConnectionUpdated, cfg.Hooks, cfg.Notify = false, 0, 0, nil, false
		cfg.SessionGrace = time.Second
		r.registry.Reconfigure(cfg)
		r.connect("room", "recvonly", `,"client_id":"y"`).expectClosed(4490, "CLIENT-ID-NOT-ALLOWED")
		quiet := r.connect("room", "recvonly", "")
		quiet.answer("answer", quiet.expect("offer").SDP)
		pass(time.Hour)
		if m := quiet.drain(); len(m) != 0 {
			t.Errorf("heard %+v", m)
		}
		x.leave()
		quiet.leave()
		pass(time.Second)
		a.look(func() {
			updated := 0
			for _, line := range a.lines {
				if line == "session.updated room" || line == "connection.updated room x 2" {
					updated++
				}
			}
			if last := a.lines[len(a.lines)-1]; last != "session.destroyed room" || updated != 0 {
				t.Errorf("heard %q", a.lines)
			}
		})
	})
}
