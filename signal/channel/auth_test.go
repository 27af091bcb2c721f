package channel_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tsubame/signal/channel"
	"tsubame/signal/session"
	"tsubame/signal/sora"
	"tsubame/signal/webhook"
)

func TestAnApplicationThatIsSlowKeepsNobodyElseWaiting(t *testing.T) {
	a := &app{authDelay: func(channelID string) time.Duration {
		if channelID == "slow" {
			return 2 * time.Second
		}
		return 0
	}}
	withApp(t, a, nil, func(t *testing.T, r *rig) {
		var slow []*client
		for range 50 {
			slow = append(slow, r.connect("slow", "recvonly", ""))
		}
		began := time.Now()
		r.join("quick", "recvonly", "")
		if d := time.Since(began); d > 100*time.Millisecond {
			t.Errorf("a join elsewhere took %v", d)
		}
		for _, c := range slow {
			c.expect("offer")
		}
		if d := time.Since(began); d != 2*time.Second {
			t.Errorf("the slow ones took %v", d)
		}
	})
}

func TestTheApplicationIsToldWhoIsThere(t *testing.T) {
	a := &app{}
	withApp(t, a, nil, func(t *testing.T, r *rig) {
		r.join("room", "sendrecv", "")
		r.join("room", "recvonly", "")
		r.join("other", "sendonly", "")
		half := r.connect("room", "recvonly", "")
		half.expect("offer")
		r.join("room", "sendonly", `,"metadata":{"access_token":"tok"}`)
		a.look(func() {
			if got, want := a.requests[4].Counts, (webhook.Counts{Total: 2, SendRecv: 1, RecvOnly: 1}); got != want {
				t.Errorf("counts %+v", got)
			}
			if a.tokens[4] != "tok" || a.tokens[0] != "" {
				t.Errorf("tokens %q", a.tokens)
			}
		})
	})
}

func TestADeniedClientHearsWhyAndTheApplicationToo(t *testing.T) {
	a := &app{auth: func(*webhook.AuthRequest, string) channel.Verdict {
		return channel.Verdict{Reason: "PLEASE-PAY", Detail: "the webhook said so"}
	}}
	withApp(t, a, nil, func(t *testing.T, r *rig) {
		c := r.connect("room", "recvonly", "")
		c.expectClosed(4490, "PLEASE-PAY")
		a.hears(t, "connection.failed room - 0")
		a.look(func() {
			if a.failed[0] != "PLEASE-PAY: the webhook said so" {
				t.Errorf("failed with %q", a.failed)
			}
		})
		// The application's texts are without end: they share a counter.
		n := r.registry.Counters()
		if n["signal_closed_4490_AUTHENTICATION-DENIED"] != 1 || n["signal_closed_4490_PLEASE-PAY"] != 0 {
			t.Errorf("counted %v", n)
		}
	})
}

func TestAnAuthenticationEndsWithItsClient(t *testing.T) {
	a := &app{authDelay: func(string) time.Duration { return time.Hour }}
	withApp(t, a, nil, func(t *testing.T, r *rig) {
		c := r.connect("room", "recvonly", "")
		synctest.Wait()
		c.peer.Deliver(session.Vanished{})
		<-c.peer.Done()
		a.look(func() {
			if a.cancelled != 1 {
				t.Errorf("%d cancelled", a.cancelled)
			}
		})
	})
}

func TestAnAuthenticationThatIsNotAnsweredEnds(t *testing.T) {
	a := &app{authDelay: func(string) time.Duration { return time.Hour }}
	withApp(t, a, nil, func(t *testing.T, r *rig) {
		began := time.Now()
		c := r.connect("room", "recvonly", "")
		c.expectClosed(4490, "AUTHENTICATION-INTERNAL-ERROR")
		if d := time.Since(began); d != 7*time.Second {
			t.Errorf("after %v", d)
		}
	})
}

// deaf is an application that goes on with a question whose client has gone.
type deaf struct {
	*app
	done []func(channel.Verdict)
}

// Row SIG-08.
func TestWhoComesAndGoesDoesNotAskWithoutEnd(t *testing.T) {
	a := &app{}
	d := &deaf{app: a}
	withApp(t, a, func(c *channel.Config) { c.Hooks, c.MaxJoining = d, 3 }, func(t *testing.T, r *rig) {
		for range 3 {
			c := r.connect("room", "recvonly", "")
			synctest.Wait()
			c.peer.Deliver(session.Vanished{})
			<-c.peer.Done()
		}
		if n := r.registry.Joining(); n != 3 {
			t.Errorf("%d are joining", n)
		}
		r.connect("room", "recvonly", "").expectClosed(4490, "SERVER-BUSY")
		for _, done := range d.done {
			done(channel.Verdict{Reason: "LATE"})
		}
		synctest.Wait() // who was refused is forgotten behind its close
		if n := r.registry.Joining(); n != 0 {
			t.Errorf("%d are joining in the end", n)
		}
	})
}

// Whoever has been waiting for the application for longer than others take to join still counts.
func TestAuthenticationsCountUntilTheyAreAnswered(t *testing.T) {
	a := &app{authDelay: func(string) time.Duration { return 6 * time.Second }}
	withApp(t, a, func(c *channel.Config) { c.MaxJoining, c.JoiningFor = 1, time.Second }, func(t *testing.T, r *rig) {
		first := r.connect("room", "recvonly", "")
		pass(5 * time.Second)
		r.connect("room", "recvonly", "").expectClosed(4490, "SERVER-BUSY")
		first.expect("offer")
		r.connect("room", "recvonly", "").expect("offer")
	})
}

// All that webhooks hand out about notifications, as others see it.
func TestMetadataOfBothSidesIsShown(t *testing.T) {
	a := &app{auth: func(r *webhook.AuthRequest, _ string) channel.Verdict {
		return channel.Verdict{Answer: &webhook.AuthAnswer{Allowed: true, NotifyMetadata: []byte(`{"by":"app"}`), NotifyMetadataExt: []byte(`{"ext":1}`),
			EventMetadata: []byte(`"secret"`)}}
	}}
	withApp(t, a, func(c *channel.Config) { c.Session.Defaults.NotifyMetadataExt = true }, func(t *testing.T, r *rig) {
		first, _ := r.join("room", "recvonly", `,"signaling_notify_metadata":{"by":"self"}`)
		second, own := r.join("room", "recvonly", `,"signaling_notify_metadata":2`)
		shown := func(what string, m message, authn string) {
			t.Helper()
			if string(m.Metadata) != authn || string(m.Authz) != `{"by":"app"}` || string(m.Ext) != `{"ext":1}` {
				t.Errorf("%s: %s %s %s", what, m.Metadata, m.Authz, m.Ext)
			}
		}
		shown("own", own, "2")
		shown("list", own.Data[0], `{"by":"self"}`)
		shown("created", first.expect("connection.created"), "2")
		second.leave()
		shown("destroyed", first.expect("connection.destroyed"), "2")
	})
}

func TestWhoIsNotToldOfOthersIsStillTold(t *testing.T) {
	a := &app{auth: func(r *webhook.AuthRequest, _ string) channel.Verdict {
		return channel.Verdict{Answer: &webhook.AuthAnswer{Allowed: true, Notify: map[string]sora.Flag{"on": sora.True, "off": sora.False}[r.ClientID]}}
	}}
	for _, byDefault := range []bool{true, false} {
		withApp(t, a, func(c *channel.Config) { c.Notify, c.UpdatedInterval = byDefault, time.Minute }, func(t *testing.T, r *rig) {
			off := r.connect("room", "recvonly", `,"client_id":"off"`)
			off.answer("answer", off.expect("offer").SDP)
			synctest.Wait()
			on, own := r.join("room", "recvonly", `,"client_id":"on"`)
			if own.Total != 2 || len(own.Data) != 1 {
				t.Errorf("own: %+v", own)
			}
			pass(2 * time.Minute)
			if m := off.drain(); len(m) != 0 {
				t.Errorf("who is not to be told heard %+v", m)
			}
			if m := on.drain(); len(m) < 2 {
				t.Errorf("the other heard %+v", m)
			}
			off.leave()
			on.expect("connection.destroyed")
		})
	}
}

func TestHowAClientReachesUsIsAskedFor(t *testing.T) {
	a := &app{auth: func(r *webhook.AuthRequest, _ string) channel.Verdict {
		return channel.Verdict{Answer: &webhook.AuthAnswer{Allowed: true, TURNFQDN: r.ClientID}}
	}}
	var asked session.Reach
	withApp(t, a, func(c *channel.Config) {
		c.TURNURLs = func() []string { return []string{"turn:usual"} }
		c.Reach = func(to session.Reach) ([]string, []string) {
			asked = to
			return []string{"1 1 udp 1 198.51.100.9 3478 typ host"}, []string{"turn:" + to.TURNFQDN}
		}
	}, func(t *testing.T, r *rig) {
		if o := r.connect("room", "recvonly", "").expect("offer"); !strings.Contains(string(o.Config), "turn:usual") {
			t.Errorf("offer %s", o.Config)
		}
		o := r.connect("room", "recvonly", `,"client_id":"special"`).expect("offer")
		if asked.TURNFQDN != "special" || !strings.Contains(string(o.Config), "turn:special") || !strings.Contains(o.SDP, "198.51.100.9") {
			t.Errorf("offer %s, asked %+v", o.Config, asked)
		}
	})
}

func TestStatisticsGoToWhoWantsThem(t *testing.T) {
	for _, all := range []bool{false, true} {
		a := &app{auth: func(r *webhook.AuthRequest, _ string) channel.Verdict {
			f := map[bool]sora.Flag{true: sora.True}[r.ClientID == "wanted"]
			return channel.Verdict{Answer: &webhook.AuthAnswer{Allowed: true, RTCStats: f, StatsExporter: f}}
		}}
		withApp(t, a, func(c *channel.Config) {
			c.StatsWanted = all
			c.Session.PingInterval, c.Session.StatsInterval = time.Second, time.Second
		}, func(t *testing.T, r *rig) {
			for _, id := range []string{"wanted", "other"} {
				c := r.named("room", "recvonly", id)
				c.expect("ping")
				c.deliver(`{"type":"pong","stats":[{"id":"` + id + `"}]}`)
			}
			a.look(func() {
				want := map[bool]int{false: 1, true: 2}[all]
				if len(a.stats) != want || a.exported != 1 || string(a.stats[0].RTCStats) != `[{"id":"wanted"}]` || a.stats[0].SessionID == "" || a.stats[0].ClientID != "wanted" {
					t.Errorf("statistics %+v", a.stats)
				}
			})
		})
	}
}

// Authenticate implements channel.Hooks.
func (d *deaf) Authenticate(_ context.Context, _ *webhook.AuthRequest, _ string, done func(channel.Verdict)) {
	d.done = append(d.done, done)
}
