//go:build browser && soak

package browser

import (
	"flag"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"tsubame/bench/harness"
	"tsubame/netio/stream/certtest"
)

var soakTime = flag.Duration("soak", 20*time.Minute, "how long TestCallThroughTURNLasts holds its call")

const (
	longestGap = 5 * time.Second // in what arrives
	soakReport = time.Minute
)

// renewals are what a client has to renew to stay, by the counter and by the time after which
// it must have been done by all of them: permissions live for 5 minutes and channels for 10,
// which a client renews with them (RFC 8656 sections 9 and 12), allocations for 10, and nonces
// for 10, so that the second refresh of an allocation comes with one that has expired.
var renewals = []struct {
	counter string
	after   time.Duration
}{
	{"turn_create_permission", 6 * time.Minute},
	{"turn_channel_bind", 11 * time.Minute},
	{"turn_refresh", 11 * time.Minute},
	{"turn_stale_nonce", 16 * time.Minute},
}

// carryScript has the page use those TURN servers only whose URL begins and ends so.
const carryScript = `{
	const Native = RTCPeerConnection, fits = (url) => url.startsWith(%s) && url.endsWith(%s);
	globalThis.RTCPeerConnection = class extends Native {
		constructor(config, ...rest) {
			const iceServers = config.iceServers.map((server) => ({ ...server, urls: [server.urls].flat().filter(fits) }));
			super({ ...config, iceServers }, ...rest);
		}
	};
}`

// lastScript looks four times a second at how much has arrived of each picture and sound, and
// how much the page's own sources have made, and keeps the longest time without more. That time
// is counted in looks: one that comes late because the browser has no processor counts as two.
const lastScript = `{
	const seen = {}, every = 250;
	let late = 0, last = performance.now();
	globalThis.lasting = () => ({ late, streams: Object.values(seen) });
	const count = (s) => s.type === "inbound-rtp" ? s.framesDecoded ?? s.packetsReceived
		: s.type === "media-source" ? s.frames ?? s.totalSamplesDuration : undefined;
	const look = async () => {
		const pc = probe.peers.find((pc) => pc.connectionState !== "closed");
		if (!pc) return; // it has left
		const stats = await pc.getStats(), now = performance.now();
		const passed = Math.min(now - last, 2 * every);
		late = Math.max(late, now - last);
		last = now;
		for (const s of stats.values()) {
			const n = count(s), own = s.type === "media-source";
			if (n === undefined) continue;
			const stream = (seen[s.id] ??= { name: own ? "own " + s.kind : s.kind + " " + s.mid, own, count: n, now: 0, worst: 0, slow: 0 });
			if (n === stream.count) {
				stream.now += passed;
				stream.worst = Math.max(stream.worst, stream.now);
				continue;
			}
			if (stream.now > 1000) stream.slow++;
			stream.count = n;
			stream.now = 0;
		}
		setTimeout(look, every);
	};
	look();
}`

// lasting is what lastScript has seen.
type lasting struct {
	Late    float64 // longest time between two looks, in ms
	Streams []stream
}

func (l lasting) String() string {
	return fmt.Sprintf("%v; looked at every %.1f s at least", l.Streams, l.Late/1000)
}

// stream is one that arrives, or a source of the page's own.
type stream struct {
	Name  string
	Own   bool
	Count float64 // frames; of sound: packets, or seconds of an own source
	Now   float64 // time without more, in ms
	Worst float64 // the longest of these
	Slow  int     // how often it was more than a second
}

func (s stream) String() string {
	return fmt.Sprintf("%s %.0f (at most %.1f s without, %d times more than 1 s)", s.Name, s.Count, s.Worst/1000, s.Slow)
}

// A call of three, each through TURN over another carrier, lasts beyond the lives of
// permissions, channels, allocations and nonces.
func TestCallThroughTURNLasts(t *testing.T) {
	pair := certtest.New(t).Issue(t, "localhost")
	certificate, key := pair.Files(t)
	port := freeTCPPort(t)
	b := ownChromium(t, chromedp.Flag("ignore-certificate-errors-spki-list", pair.SPKI(t)))
	s := newSceneWith(t, harness.Options{Args: []string{"-dev"}, Config: map[string]string{
		"ice_transport_policy": "relay", "turn_tls": "true", "turn_tls_fqdn": "localhost", "turn_tls_port": port, "tls_port": port,
		"tls_certificate_file": certificate, "tls_private_key_file": key,
	}})
	carriers := []struct{ name, begins, ends string }{
		{"udp", "turn:", "?transport=udp"}, {"tcp", "turn:", "?transport=tcp"}, {"tls", "turns:", "?transport=tcp"},
	}
	var all []*client
	for i, carrier := range carriers {
		c := s.client(b, carrier.name, i+1)
		c.run(fmt.Sprintf(carryScript, jsString(carrier.begins), jsString(carrier.ends)))
		c.joinWith("sendrecv", options{"videoCodecType": "VP8"}, wish{FPS: 10, Width: 320, Height: 180})
		all = append(all, c)
	}
	requireAll := func() {
		t.Helper()
		for i, c := range all {
			c.requireVideoFrom(without(all, c)...)
			c.requirePair("relay", carriers[i].name)
		}
	}
	requireAll()
	before := s.server.Counters()
	for _, c := range all {
		c.run(lastScript)
		c.requireTrue("every stream is looked at", fmt.Sprintf("lasting().streams.length === %d", 2*len(all)))
	}

	watch(t, s, all, before)
	requireAll()
	after := s.server.Counters()
	for _, r := range renewals {
		if got := after[r.counter] - before[r.counter]; *soakTime >= r.after && got < uint64(len(all)) {
			t.Errorf("%s is %d more, for %d clients", r.counter, got, len(all))
		}
	}
	for _, c := range all {
		c.leave()
	}
}

// watch looks at the call until its time is over: nothing stops arriving for longer than a
// source has made nothing, as it happens on a machine that is short of processors, and
// longestGap.
func watch(t *testing.T, s *scene, all []*client, before map[string]uint64) {
	t.Helper()
	start := time.Now()
	end, look := time.After(*soakTime), time.NewTicker(time.Second)
	defer look.Stop()
	reported := start
	for {
		select {
		case <-end:
			return
		case <-look.C:
		}
		now := make([]lasting, len(all))
		starved := longestGap.Seconds() * 1000
		for i, c := range all {
			now[i] = eval[lasting](c.tab, "lasting()")
			for _, l := range now[i].Streams {
				if l.Own {
					starved = max(starved, longestGap.Seconds()*1000+l.Worst)
				}
			}
		}
		report := time.Since(reported) >= soakReport
		for i, c := range all {
			c.requireNoErrors()
			for _, l := range now[i].Streams {
				if !l.Own && l.Worst > starved {
					t.Errorf("%v: %s: nothing of %s for %.0f ms", time.Since(start), c.name, l.Name, l.Worst)
				}
			}
		}
		if report || t.Failed() {
			for i, c := range all {
				t.Logf("%v: %s: %v", time.Since(start).Round(time.Second), c.name, now[i])
			}
		}
		if t.Failed() {
			t.FailNow()
		}
		if report {
			reported = time.Now()
			logRenewals(t, s.server.Counters(), before)
		}
	}
}

func logRenewals(t *testing.T, now, before map[string]uint64) {
	t.Helper()
	var text strings.Builder
	for _, r := range renewals {
		fmt.Fprintf(&text, " %s %d", r.counter, now[r.counter]-before[r.counter])
	}
	t.Logf("since the call is up:%s", text.String())
}
