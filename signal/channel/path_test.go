package channel_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tsubame/signal/channel"
)

// ufrag returns our ICE user fragment in an offer.
func ufrag(m message) string {
	_, rest, _ := strings.Cut(m.SDP, "a=ice-ufrag:")
	u, _, _ := strings.Cut(rest, "\r\n")
	return u
}

func TestAClientWhoseMediaIsSilentIsOfferedNewCredentials(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		candidate := "1 1 udp 1 192.0.2.1 3478 typ host"
		r := newRigOf(t, func(c *channel.Config) { c.Candidates = func() []string { return []string{candidate} } })
		c, _ := r.join("room", "recvonly", "")
		candidate = "1 1 udp 1 192.0.2.7 3478 typ host" // ours has changed as well
		r.plane.Conn(0).Notify(channel.MediaEvent{Kind: channel.MediaSilent})
		c.expect("ping")
		c.deliver(`{"type":"pong"}`)
		o := c.expect("re-offer")
		if ufrag(o) != "ufrag0000/1" || !strings.Contains(o.SDP, candidate) {
			t.Errorf("no restart in %s", o.SDP)
		}
		c.answer("re-answer", o.SDP)
		pass(8 * time.Second)
		if o = c.expect("re-offer"); ufrag(o) != "ufrag0000/2" {
			t.Errorf("no second restart in %s", o.SDP)
		}
		c.answer("re-answer", o.SDP)
		pass(50 * time.Second) // a third one is refused
		r.plane.Conn(0).Notify(channel.MediaEvent{Kind: channel.MediaLapsed})
		r.plane.Conn(0).Notify(channel.MediaEvent{Kind: channel.MediaHeard})
		synctest.Wait()
		counters := r.registry.Counters()
		if counters["signal_ice_restart_offered"] != 2 || counters["signal_consent_lapsed"] != 1 {
			t.Errorf("%v", counters)
		}
	})
}

func TestAClientIsToldOfItsUnstableNetwork(t *testing.T) {
	for _, notify := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			r := newRigWith(t, notify)
			c := r.connect("room", "recvonly", "")
			c.answer("answer", c.expect("offer").SDP)
			synctest.Wait()
			r.plane.Conn(0).Notify(channel.MediaEvent{Kind: channel.MediaUnstable, Level: 2})
			if notify {
				c.expect("connection.created")
				if m := c.expect("network.status"); m.Level != 2 {
					t.Errorf("%+v", m)
				}
			}
			r.plane.Conn(0).Notify(channel.MediaEvent{Kind: channel.MediaSilent})
			c.expect("ping") // and nothing else before it
		})
	}
}
