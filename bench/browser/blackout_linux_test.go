//go:build browser

package browser

import (
	"net"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"tsubame/bench/harness"
	"tsubame/netio/mmsg/netns"
)

// dark is a firewall that lets no media through, either way; signaling goes on.
const dark = `table inet dark {
	chain input { type filter hook input priority 0; iif lo accept; meta l4proto udp drop; }
	chain output { type filter hook output priority 0; oif lo accept; meta l4proto udp drop; }
}
`

// siteIn serves the application of the SDK on the loopback address of a network namespace.
func siteIn(t *testing.T, ns *netns.Namespace) *httptest.Server {
	t.Helper()
	here := startSite(t)
	there := httptest.NewUnstartedServer(here.Config.Handler)
	there.Listener.Close()
	ns.Do(func() {
		var err error
		if there.Listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
			t.Error(err)
		}
	})
	there.Start()
	t.Cleanup(there.Close)
	return there
}

// A call of two browsers that lose their way to the server, together, while their signaling goes
// on: for 5 s, and then for so long that they are offered to restart ICE. They see and hear each
// other again, in the same session, without a new join and without an error of the SDK's. It could
// not be for much longer: 10 s after the browser has called itself disconnected, which it does some
// 7 s into a blackout, the SDK gives up by itself.
func TestCallOutlivesItsBlackouts(t *testing.T) {
	besideChurn(t)
	w := newWalled(t)
	server := w.start(t, map[string]string{"turn": "false"})
	s := &scene{t: t, server: server, site: siteIn(t, w.clientSide)}
	one, two := s.client(w.browser, "one", 1), s.client(w.browser, "two", 6)
	both := []*client{one, two}
	for _, c := range both {
		script := c.joinScript("sendrecv", options{"videoCodecType": "VP8"}, small)
		c.id = eval[string](c.tab, strings.ReplaceAll(script, "127.0.0.1", server4))
		c.requireID()
	}
	arrive := func() {
		one.requireArrivesFrom(two)
		two.requireArrivesFrom(one)
	}
	arrive()
	decoded := func() (n [2]int) {
		for i, c := range both {
			if v := c.figures().Remote[both[1-i].id].Video; v != nil {
				n[i] = v.FramesDecoded
			}
		}
		return n
	}
	// blackout lasts until what it is given returns. It returns how long after that both pictures
	// move: more frames are decoded than had come until some seconds into it.
	blackout := func(until func()) time.Duration {
		w.nft(t, dark, "-f", "-")
		<-time.After(2 * time.Second) // longer than anything is under way
		was := decoded()
		if was[0] == 0 || was[1] == 0 {
			t.Fatalf("%v frames were decoded", was)
		}
		until()
		if n := decoded(); n[0] > was[0] || n[1] > was[1] {
			t.Errorf("%v frames were decoded in the dark, after %v", n, was)
		}
		w.nft(t, "", "delete", "table", "inet", "dark")
		end := time.Now()
		eventually(t, arriveTimeout, "the pictures move", func() (bool, any) {
			now := decoded()
			return now[0] > was[0] && now[1] > was[1], now
		})
		return time.Since(end)
	}
	short := blackout(func() { <-time.After(3 * time.Second) })
	arrive()
	if n := server.Counters()["signal_ice_restart_offered"]; n != 0 {
		t.Errorf("%d restarts were offered within 5 s", n)
	}
	offered := func(c *client) {
		server.WaitLog(arriveTimeout, "a restart for "+c.name, func(l harness.Line) bool {
			return l.Msg == "ice restart offered" && l.Attrs["connection_id"] == c.id
		})
	}
	long := blackout(func() {
		offered(one)
		offered(two)
		<-time.After(time.Second) // for them to answer, and to find nothing
	})
	arrive()
	t.Logf("the pictures move %v after a blackout of 5 s, and %v after one with a restart of ICE", short, long)
	counters := server.Counters()
	for name, want := range map[string]uint64{"established": 2, "handshakes": 2, "consent_lost": 0} {
		if counters[name] != want {
			t.Errorf("%s %d, want %d", name, counters[name], want)
		}
	}
	two.leave()
	one.leave()
}
