package channel_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"tsubame/signal/channel"
	"tsubame/signal/session"
	"tsubame/signal/webhook"
)

// The application hears of a connection before other clients do: what it decides upon that may
// not come too late.
func TestTheApplicationHearsBeforeOthersDo(t *testing.T) {
	a := &app{}
	withApp(t, a, nil, func(t *testing.T, r *rig) {
		watcher := r.named("room", "recvonly", "watcher")
		order := make(chan string, 10)
		watcher.mu.Lock()
		watcher.onSend = func(m message) {
			if m.Event == "connection.created" && m.ConnectionID != watcher.id {
				a.mu.Lock()
				order <- strings.Join(a.lines, ", ")
				a.mu.Unlock()
			}
		}
		watcher.mu.Unlock()
		r.named("room", "recvonly", "x")
		if got := <-order; !strings.HasSuffix(got, "connection.created room x 2") {
			t.Errorf("others heard when it had heard %q", got)
		}
	})
}

func TestEventsOfAConnectionSayWhatItIs(t *testing.T) {
	a := &app{auth: func(*webhook.AuthRequest, string) channel.Verdict {
		return channel.Verdict{Answer: &webhook.AuthAnswer{Allowed: true, EventMetadata: []byte(`{"e":1}`), BundleID: "bundle"}}
	}}
	withApp(t, a, func(c *channel.Config) { c.ConnectionUpdated = time.Minute }, func(t *testing.T, r *rig) {
		x, _ := r.join("room", "sendrecv", `,"client_id":"x","sora_client":"Sora Python SDK 2025.5.0","audio":{"bit_rate":64},"video":{"codec_type":"AV1","bit_rate":300}`)
		r.plane.Conn(0).Count(webhook.LocalStats{Received: webhook.Traffic{Bytes: 1000}, Sent: webhook.Traffic{Bytes: 30},
			ICE: webhook.ICEDurations{Checking: 40 * time.Millisecond, Disconnected: time.Second}})
		r.plane.Conn(0).Notify(channel.MediaEvent{Kind: channel.MediaMoved, TCP: true})
		pass(150 * time.Second)
		x.deliver(`{"type":"disconnect","reason":"WEBSOCKET-ONERROR"}`)
		x.expectClosed(1000, "TYPE-DISCONNECT")
		a.hears(t, "session.created room", "connection.created room x 1", "connection.updated room x 1", "connection.updated room x 1",
			"connection.destroyed room x 0", "session.destroyed room")
		a.look(func() {
			media := webhook.Media{Audio: true, AudioCodecType: "OPUS", AudioBitRate: 64, Video: true, VideoCodecType: "AV1", VideoBitRate: 300}
			for i, e := range a.events {
				if e.ChannelID != "room" || e.SessionID != a.sessions[0].SessionID || e.ConnectionID != x.id || e.BundleID != "bundle" ||
					e.Role.String() != "sendrecv" || e.Media != media || string(e.EventMetadata) != `{"e":1}` || e.Minutes != min(i, 2) || e.Created.IsZero() {
					t.Errorf("%d: %+v", i, e)
				}
			}
			if e := a.events[0]; e.TURNTransportType != "udp" || e.Reason != "" {
				t.Errorf("created %+v", e)
			}
			e := a.events[3]
			if e.Reason != "TYPE-DISCONNECT" || e.TypeDisconnectReason != "WEBSOCKET-ONERROR" || e.TURNTransportType != "tcp" ||
				e.ReceivedBytes != 1000 || e.SentBytes != 30 || e.ICE.Checking != 40*time.Millisecond || e.ICE.Disconnected != time.Second {
				t.Errorf("destroyed %+v", e)
			}
			if d := e.Destroyed.Sub(e.Created); d < 150*time.Second || d > 151*time.Second {
				t.Errorf("it lasted %v", d)
			}
			l := a.ended[0]
			if len(a.ended) != 1 || l.ConnectionID != x.id || l.DestroyedReason != "TYPE-DISCONNECT" || l.SignalingTerminateReason != "WEBSOCKET-ONERROR" ||
				l.Client.SoraClient != "Sora Python SDK 2025.5.0" || l.Media != media || l.LocalStats.Sent.Bytes != 30 || !l.Destroyed.Equal(e.Destroyed) ||
				l.SessionID != e.SessionID || l.TURNTransportType != "tcp" {
				t.Errorf("log %+v", a.ended)
			}
		})
	})
}

// While a connection lives its counts are a bit old; those of its end are not.
func TestTheLastCountIsTold(t *testing.T) {
	for _, mute := range []bool{false, true} {
		a := &app{}
		withApp(t, a, nil, func(t *testing.T, r *rig) {
			r.plane.Mute = mute
			half := r.connect("room", "recvonly", `,"client_id":"half"`)
			half.expect("offer")
			c := r.named("room", "recvonly", "x")
			for i := range 2 {
				r.plane.Conn(i).CountLast(webhook.LocalStats{Received: webhook.Traffic{Bytes: 77}, Sent: webhook.Traffic{Bytes: 7}})
			}
			began := time.Now()
			half.leave()
			c.leave()
			if d := time.Since(began); mute != (d == 400*time.Millisecond) || !mute && d != 0 {
				t.Errorf("leaving took %v", d) // a shard in trouble holds nobody up for long
			}
			a.look(func() {
				for _, e := range a.events[1:] {
					if e.ReceivedBytes != 77 || e.SentBytes != 7 {
						t.Errorf("%s: %d and %d bytes", e.Type, e.ReceivedBytes, e.SentBytes)
					}
				}
				if len(a.events) != 3 || a.ended[0].LocalStats.Received.Bytes != 77 {
					t.Errorf("%d events, log %+v", len(a.events), a.ended)
				}
			})
		})
	}
}

func TestReasonsOfAnEndAreTold(t *testing.T) {
	for want, end := range map[string]func(*rig, *client){
		"VANISHED": func(_ *rig, c *client) { c.peer.Deliver(session.Vanished{}) },
		"CONSENT-LOST": func(r *rig, c *client) {
			r.plane.Conn(0).Notify(channel.MediaEvent{Kind: channel.MediaClosed, Reason: session.MediaConsentLost})
		},
		"INVALID-JSON":       func(_ *rig, c *client) { c.peer.Deliver(session.Malformed{Reason: "INVALID-JSON"}) },
		"LIFETIME-EXPIRED":   func(_ *rig, c *client) { pass(time.Hour) },
		"UNEXPECTED-MESSAGE": func(_ *rig, c *client) { c.deliver(`{"type":"answer","sdp":"x"}`) },
	} {
		a := &app{}
		withApp(t, a, func(c *channel.Config) { c.Session.Defaults.Lifetime = time.Hour }, func(t *testing.T, r *rig) {
			c := r.named("room", "recvonly", "x")
			end(r, c)
			<-c.peer.Done()
			a.look(func() {
				if e := a.events[len(a.events)-1]; e.Type != webhook.ConnectionDestroyed || e.Reason != want || e.TypeDisconnectReason != "" {
					t.Errorf("%s: %+v", want, e)
				}
				if l := a.ended[0]; l.DestroyedReason != want || l.SignalingTerminateReason != want {
					t.Errorf("%s: %+v", want, l)
				}
			})
		})
	}
}

func TestWhoeverIsNeverEstablishedHasFailed(t *testing.T) {
	a := &app{}
	withApp(t, a, func(c *channel.Config) { c.MaxConnections = 3; c.Session.AnswerTimeout = time.Minute }, func(t *testing.T, r *rig) {
		r.plane.MaxConns = 2
		r.named("room", "recvonly", "there")
		r.connect("room", "recvonly", `,"client_id":"slow"`)
		synctest.Wait()
		r.connect("room", "recvonly", `,"client_id":"crowd"`).expectClosed(4490, "SERVER-FULL") // media is full
		r.plane.MaxConns = 0
		pass(time.Second)
		r.connect("room", "recvonly", `,"client_id":"waits"`)
		synctest.Wait()
		r.connect("room", "recvonly", `,"client_id":"refused"`).expectClosed(4490, "SERVER-FULL") // too many sessions
		pass(time.Minute)
		a.hears(t, "session.created room", "connection.created room there 1", "connection.failed room crowd 1", "connection.failed room refused 1",
			"connection.failed room slow 1", "connection.failed room waits 1")
		a.look(func() {
			if got := strings.Join(a.failed, " "); got != "SERVER-FULL SERVER-FULL ANSWER-TIMEOUT-ERROR ANSWER-TIMEOUT-ERROR" {
				t.Errorf("failed with %s", got)
			}
			if len(a.ended) != 0 {
				t.Errorf("log %+v", a.ended)
			}
			for _, e := range a.events[1:] {
				if e.SessionID != "" || e.ConnectionID == "" || e.EventMetadata != nil {
					t.Errorf("%+v", e)
				}
			}
		})
	})
}

// Sessions that transports refuse before they are started.
func TestRefusedConnectsHaveFailedToo(t *testing.T) {
	for _, legacy := range []bool{false, true} {
		a := &app{}
		withApp(t, a, func(c *channel.Config) { c.LegacySignalingError = legacy }, func(t *testing.T, r *rig) {
			r.named("room", "recvonly", "there")
			s := r.registry.NewSession(time.Now())
			for _, action := range s.Handle(nil, time.Now(), connectMessage(t, `{"type":"connect","role":"sendonly","channel_id":"room","simulcast":true}`)) {
				r.registry.Refused(s, action.(session.Close))
			}
			s = r.registry.NewSession(time.Now())
			for _, action := range s.Handle(nil, time.Now(), session.Malformed{Reason: "INVALID-JSON", Detail: "here"}) {
				r.registry.Refused(s, action.(session.Close))
			}
			want := []string{"session.created room", "connection.created room there 1", "connection.failed room - 1"}
			if legacy {
				want = append(want, "connection.failed  - 0")
			}
			a.hears(t, want...)
			a.look(func() {
				if a.failed[0] != "SIMULCAST-NOT-SUPPORTED" || legacy && (a.failed[1] != "INVALID-JSON: here" || len(a.events[2].ConnectionID) != 26) {
					t.Errorf("failed with %q", a.failed)
				}
			})
			if n := r.registry.Counters()["signal_closed_4490_INVALID-JSON"]; n != 1 {
				t.Errorf("%d counted", n)
			}
		})
	}
}

func TestMessagesAreLogged(t *testing.T) {
	a := &app{}
	withApp(t, a, func(c *channel.Config) {
		c.LogSignaling = true
		c.Session.PingInterval = time.Second
	}, func(t *testing.T, r *rig) {
		if !r.registry.LogsSignaling() {
			t.Fatal("nothing is logged")
		}
		frame := []byte(`{"type":"connect","role":"recvonly","channel_id":"room","metadata":{"access_token":"hush","n":1}}`)
		c := &client{t: t, news: make(chan struct{}, 1)}
		s := r.registry.NewSession(time.Now())
		actions := s.Handle(nil, time.Now(), connectMessage(t, string(frame)))
		r.registry.Signaling(s, frame)
		c.peer = r.registry.Start(s, actions, c, "")
		o := c.expect("offer")
		c.peer.Signaling([]byte(`{"type":"answer","sdp":"a=ice-pwd:hush\r\n"}`))
		c.answer("answer", o.SDP)
		c.expect("connection.created")
		pass(10 * time.Second)
		a.look(func() {
			kinds := ""
			for _, m := range a.messages {
				kind, _, _ := strings.Cut(m, `,`)
				kinds += kind + "; "
			}
			want := `recv room 26 {"type":"connect"; send room 26 {"type":"offer"; recv room 26 {"type":"answer"; send room 26 {"type":"notify"; `
			if kinds != want {
				t.Errorf("logged %s", kinds)
			}
		})
	})
	b := &app{}
	withApp(t, b, nil, func(t *testing.T, r *rig) {
		r.named("room", "recvonly", "x")
		b.look(func() {
			if len(b.messages) != 0 || r.registry.LogsSignaling() {
				t.Errorf("logged %s", b.messages)
			}
		})
	})
}

// Whatever comes and goes at once, in many channels: each channel's story makes sense.
func TestEventsOfEveryChannelAreInOrder(t *testing.T) {
	a := &app{sessionDelay: 20 * time.Millisecond, authDelay: func(channelID string) time.Duration {
		return time.Duration(channelID[len(channelID)-1]-'0') * time.Millisecond
	}}
	withApp(t, a, func(c *channel.Config) { c.SessionGrace, c.ConnectionUpdated = 5*time.Millisecond, 3*time.Millisecond }, func(t *testing.T, r *rig) {
		var all sync.WaitGroup
		for i := range 200 {
			all.Go(func() {
				room := fmt.Sprint("room", i%8)
				pass(time.Duration(i/8) * time.Millisecond)
				c := r.connect(room, "recvonly", fmt.Sprintf(`,"client_id":"c%d"`, i))
				if i%5 == 0 {
					pass(time.Duration(i%7) * time.Millisecond)
					c.peer.Deliver(session.Vanished{})
					<-c.peer.Done()
					return
				}
				o, ok := c.read()
				if !ok {
					return
				}
				c.answer("answer", o.SDP)
				pass(time.Duration(i%11) * time.Millisecond)
				c.deliver(`{"type":"disconnect"}`)
				<-c.peer.Done()
			})
		}
		all.Wait()
		pass(time.Second)
		synctest.Wait()
		stories := map[string][]string{}
		for _, line := range a.lines {
			room := strings.Fields(line)[1]
			stories[room] = append(stories[room], line)
		}
		if len(stories) != 8 {
			t.Fatalf("%d channels", len(stories))
		}
		for room, story := range stories {
			if problem := tells(story); problem != "" {
				t.Errorf("%s: %s in\n%s", room, problem, strings.Join(story, "\n"))
			}
		}
		if len(a.ended) == 0 || len(a.failed) == 0 || len(a.ended)+len(a.failed) != 200 {
			t.Errorf("%d ended, %d failed", len(a.ended), len(a.failed))
		}
	})
}

// tells returns what is wrong in a channel's story; empty: nothing.
func tells(story []string) string {
	in, live := map[string]bool{}, false
	for _, line := range story {
		f := strings.Fields(line)
		switch f[0] {
		case webhook.SessionCreated:
			if live {
				return "a second session"
			}
			live = true
		case webhook.SessionDestroyed:
			if !live || len(in) > 0 {
				return "a session ends that has not begun, or has somebody"
			}
			live = false
		case webhook.ConnectionCreated:
			if in[f[2]] || !live {
				return line
			}
			in[f[2]] = true
		case webhook.ConnectionUpdated, webhook.ConnectionDestroyed:
			if !in[f[2]] {
				return line
			}
			if f[0] == webhook.ConnectionDestroyed {
				delete(in, f[2])
			}
		}
		if f[0] != webhook.ConnectionFailed && strings.HasPrefix(f[0], "connection") && f[3] != fmt.Sprint(len(in)) {
			return "the count in " + line
		}
	}
	if live || len(in) > 0 {
		return "no end"
	}
	return ""
}
