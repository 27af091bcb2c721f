package calls

import (
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"tsubame/bench/bot"
	"tsubame/media/param"
)

// arrival notes when the first media comes after it was armed.
type arrival struct{ armed, at atomic.Int64 }

func (a *arrival) incoming(datagram []byte) bool {
	if datagram[0] >= 128 && a.armed.Load() != 0 {
		a.at.CompareAndSwap(0, time.Now().UnixNano())
	}
	return true
}

func (a *arrival) arm() {
	a.at.Store(0)
	a.armed.Store(time.Now().UnixNano())
}

// A NAT gives a viewer other ports, on both shards, and the viewer checks at once. Media is there
// again as soon as the check and the next packet: within 300 ms, whatever else the machine does.
func TestMediaFollowsARebindingAtOnce(t *testing.T) {
	eachIO(t, func(t *testing.T, w *world) {
		var first arrival
		cfg := w.peer(bot.SendRecv)
		cfg.Incoming = first.incoming
		a, b := w.join(cfg), w.join(w.peer(bot.SendRecv))
		requireFrames(t, 10, among(a, b)...)
		offers := a.Stats().Offers
		const times = 9
		var gaps []time.Duration
		for range times {
			first.arm()
			if _, err := a.Rebind(0, true); err != nil {
				t.Fatal(err)
			}
			eventually(t, "media comes to the new port", func() (bool, any) { return first.at.Load() != 0, a.Stats() })
			gaps = append(gaps, time.Duration(first.at.Load()-first.armed.Load()))
			requireFrames(t, 5, among(a, b)...)
		}
		slices.Sort(gaps)
		t.Logf("media comes to the new port after %v", gaps)
		if gaps[times/2] > 300*time.Millisecond {
			t.Errorf("gaps of %v", gaps)
		}
		w.requireGrown("path_switches", 2+times)
		w.requireGrown("established", 2)
		if got := a.Stats().Offers; got != offers {
			t.Errorf("%d offers because of new ports", got-offers)
		}
	})
}

// blackout is a network that can be switched off, both ways. Signaling has another.
type blackout struct {
	dark  atomic.Bool
	heard atomic.Int64 // datagrams that came while it was dark
}

func (d *blackout) peer(cfg bot.Config) bot.Config {
	cfg.Outgoing = func([]byte) bool { return !d.dark.Load() }
	cfg.Incoming = func([]byte) bool {
		if d.dark.Load() {
			d.heard.Add(1)
			return false
		}
		return true
	}
	return cfg
}

// A client whose media stays away while its signaling answers is offered new credentials, again and
// again, and when its network is back the call goes on without a new join.
//
// Row ICE-12.
func TestSilentClientIsOfferedARestart(t *testing.T) {
	t.Parallel()
	w := start(t, map[string]string{"ice_restart_after": "1 s", "websocket_signaling_ping_interval": "500 ms"})
	var d blackout
	a, b := w.join(d.peer(w.peer(bot.SendRecv))), w.join(w.peer(bot.SendRecv))
	requireFrames(t, 10, among(a, b)...)
	offers := a.Stats().Offers
	d.dark.Store(true)
	eventually(t, "two restarts", func() (bool, any) {
		n := a.Stats().ICE.Restarts
		return n >= 2, n
	})
	d.dark.Store(false)
	requireFrames(t, 25, among(a, b)...)
	for _, f := range among(a, b) {
		for _, kind := range kinds {
			if s := f.stream(kind); s.BadPayload != 0 || s.Duplicates != 0 || s.Shifts != 0 || s.Source != track(f.from, kind).SSRC {
				t.Errorf("%v of %v: %+v", kind, f, s)
			}
		}
	}
	for _, name := range []string{"adopted", "established", "handshakes"} {
		w.requireGrown(name, 2)
	}
	w.requireGrown("consent_lost", 0)
	if n := w.level("signal_ice_restart_offered"); n != 2 {
		t.Errorf("signal_ice_restart_offered %d, want 2", n)
	}
	if got := a.Stats().Offers - offers; got != 2 {
		t.Errorf("%d offers, want 2: none once it is heard", got)
	}
}

// Thirty seconds of blackout, and then some: nothing is sent from the moment that consent is lost,
// and the first check brings the call back.
//
// Row ICE-11.
func TestCallComesBackAfterItsConsentWasLost(t *testing.T) {
	t.Parallel()
	w := start(t, map[string]string{"ice_restart_after": "0 s"})
	var d blackout
	a, b := w.join(d.peer(w.peer(bot.SendRecv))), w.join(w.peer(bot.SendRecv))
	requireFrames(t, 10, among(a, b)...)
	d.dark.Store(true)
	eventually(t, "consent is lost", func() (bool, any) { return w.grown("consent_lost") == 1, nil })
	sent := d.heard.Load()
	if sent == 0 {
		t.Error("nothing was sent while there was consent")
	}
	quiet := track(b, param.Video).Frames + 20 // a second of what would be sent
	eventually(t, "the other goes on", func() (bool, any) { return track(b, param.Video).Frames >= quiet, nil })
	d.dark.Store(false)
	requireFrames(t, 25, among(a, b)...)
	if n := d.heard.Load(); n > sent+2 { // what was on its way when the counter was read
		t.Errorf("%d datagrams after consent was lost", n-sent)
	}
	for name, want := range map[string]uint64{"consent_lost": 1, "consent_regained": 1, "established": 2, "adopted": 2} {
		w.requireGrown(name, want)
	}
	if n := a.Stats().Offers; n > 2 {
		t.Errorf("%d offers", n)
	}
}
