//go:build browser

package browser

import (
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"tsubame/bench/harness"
)

var (
	churnTime = flag.Duration("churn", 4*time.Minute, "how long clients join and leave")
	churnSeed = flag.Uint64("churn-seed", 0, "what they do, as printed by an earlier run; 0: something new")
)

// besideChurn has a test run while the clients of TestSDKChurn come and go: those have a server
// and a browser of their own, and most of their minutes pass in waiting. It is for tests of what
// the page, the SDK and the server say and do, with the patience that they have on a busy machine
// anyway. A test that measures what a machine has the time for (frames, rates, freezes), or that
// needs the focus of the keyboard, has the machine to itself, before.
func besideChurn(t *testing.T, alone ...chan struct{}) {
	t.Helper()
	t.Parallel()
	start := time.Now()
	for _, turn := range append(alone, turns) {
		turn <- struct{}{}
		t.Cleanup(func() { <-turn })
	}
	t.Logf("%.1f s until its turn", time.Since(start).Seconds())
}

// turns are held by the two tests that run beside TestSDKChurn, which needs none: it lasts
// longest and begins first. The flag -parallel bounds nothing here.
var turns = make(chan struct{}, 2)

// inFirefox is held by the one of them that uses Firefox.
var inFirefox = make(chan struct{}, 1)

// churnTabs is the number of clients that come and go in one channel.
const churnTabs = 6

// churn is a channel in which clients join and leave at random.
type churn struct {
	*scene
	rng     *rand.Rand
	clients []*client
	in      map[*client]part // who is in the channel
	done    map[string]int   // what has been done, by name
}

// part is what a client does in the channel.
type part struct {
	role         string
	audio, video bool
}

func (p part) sends() bool    { return p.role != "recvonly" && (p.audio || p.video) }
func (p part) receives() bool { return p.role != "sendonly" }

// Viewers and publishers of all codecs come and go for minutes, several at the same time,
// some by reloading their page. No SDK has seen an error, whoever is in the channel sees
// exactly the others all the time, and afterwards the server holds nothing.
func TestSDKChurn(t *testing.T) {
	t.Parallel()
	lasts, seed := *churnTime, *churnSeed
	if testing.Short() {
		lasts = min(lasts, 20*time.Second)
	}
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("%v with -churn-seed %d", lasts, seed)
	// Nothing that the server sends by the clock is seldom here.
	o := harness.Options{Args: []string{"-dev"}, Config: map[string]string{
		"websocket_signaling_ping_interval": "500 ms", "websocket_signaling_stats_interval": "2 s",
		"connection_updated_notify_interval": "5 s",
	}}
	c := &churn{scene: newSceneWith(t, o, "dtls_failed"), rng: rand.New(rand.NewPCG(seed, 0)), in: map[*client]part{}, done: map[string]int{}}
	b := ownChromium(t)
	for i := range churnTabs {
		c.clients = append(c.clients, c.client(b, fmt.Sprint("client ", i+1), i))
	}
	for start := time.Now(); (time.Since(start) < lasts || !c.everything()) && !t.Failed(); {
		c.step()
	}
	t.Logf("done: %v", c.done)
	for _, who := range c.clients {
		if _, in := c.in[who]; in {
			who.leave()
		}
		who.requireNoErrors()
	}
	c.requireEmpty()
	// A page that is reloaded while it joins may break a handshake off.
	if failed := c.server.Counters()["dtls_failed"]; failed > uint64(c.done["join cut short"]) {
		t.Errorf("%d handshakes failed, %d joins were cut short", failed, c.done["join cut short"])
	}

	// The channel is as good as new.
	one, two := c.clients[0], c.clients[1]
	one.join("sendrecv")
	two.join("sendrecv")
	one.requireArrivesFrom(two)
	two.requireArrivesFrom(one)
}

// step has up to three clients do something at the same time, and sometimes looks at the
// channel then.
func (c *churn) step() {
	var waiting []func()
	for _, i := range c.rng.Perm(len(c.clients))[:1+c.rng.IntN(3)] {
		who := c.clients[i]
		_, in := c.in[who]
		switch {
		case !in && c.rng.IntN(8) == 0:
			c.beginJoin(who)
			who.run(fmt.Sprintf("new Promise((resolve) => setTimeout(resolve, %d))", c.rng.IntN(150)))
			c.did("join cut short")
			who.reload()
		case !in:
			waiting = append(waiting, c.beginJoin(who))
		case c.rng.IntN(6) == 0:
			c.did("reload")
			who.reload()
			delete(c.in, who)
		default:
			waiting = append(waiting, c.beginLeave(who))
		}
	}
	for _, wait := range waiting {
		wait()
	}
	if c.rng.IntN(3) == 0 {
		c.look()
	}
}

func (c *churn) did(what string) { c.done[what]++ }

// everything reports whether all that clients can do has been done.
func (c *churn) everything() bool {
	for _, what := range []string{"join", "join cut short", "leave", "reload", "look"} {
		if c.done[what] == 0 {
			return false
		}
	}
	return true
}

// beginJoin starts to join, and returns what waits until that is done.
func (c *churn) beginJoin(who *client) (wait func()) {
	p := part{role: []string{"sendrecv", "sendonly", "recvonly"}[c.rng.IntN(3)], audio: true, video: true}
	codec := videoCodecs[c.rng.IntN(len(videoCodecs))]
	if p.role != "recvonly" {
		switch c.rng.IntN(6) {
		case 0:
			p.audio = false
		case 1:
			p.video = false
		}
	}
	o := options{"audio": p.audio, "video": p.video, "videoCodecType": codec, "videoBitRate": 100}
	who.run("void (globalThis.pending = " + who.joinScript(p.role, o, wish{FPS: 8, Width: 192, Height: 108}) + ")")
	c.did("join")
	c.did(p.role)
	if p.sends() && p.video {
		c.did(codec)
	}
	return func() {
		who.id = eval[string](who.tab, "pending")
		who.requireID()
		c.in[who] = p
	}
}

func (c *churn) beginLeave(who *client) (wait func()) {
	c.did("leave")
	delete(c.in, who)
	who.run("void (globalThis.pending = rig.leave())")
	return func() { who.requireOrderly(eval[closing](who.tab, "pending")) }
}

// look sees that nobody has met an error, and picks somebody who receives: exactly the others are there, and one of them, picked
// too, is seen or heard.
func (c *churn) look() {
	for _, who := range c.clients {
		who.requireNoErrors()
	}
	receivers, senders := []*client{}, []*client{}
	for _, who := range c.clients {
		p, in := c.in[who]
		if in && p.receives() {
			receivers = append(receivers, who)
		}
		if in && p.sends() {
			senders = append(senders, who)
		}
	}
	if len(receivers) == 0 {
		return
	}
	viewer := receivers[c.rng.IntN(len(receivers))]
	senders = without(senders, viewer)
	viewer.requireOnly(ids(senders)...)
	c.did("look")
	if len(senders) == 0 {
		return
	}
	sender := senders[c.rng.IntN(len(senders))]
	if c.in[sender].video {
		viewer.requireVideoFrom(sender)
	} else {
		viewer.requireAudio(sender.id)
	}
}

// requireEmpty waits until the server has nobody any more, while all tabs are still open.
func (c *churn) requireEmpty() {
	c.t.Helper()
	zero := []string{"connections", "signal_sessions", "signal_channels", "buffers_out"}
	eventually(c.t, 15*time.Second, "nobody is left over on the server", func() (bool, any) {
		left := c.server.Counters()
		for _, name := range zero {
			if _, ok := left[name]; !ok {
				c.t.Fatalf("no counter %s, only %v", name, slices.Sorted(maps.Keys(left)))
			}
		}
		maps.DeleteFunc(left, func(name string, n uint64) bool { return n == 0 || !slices.Contains(zero, name) })
		return len(left) == 0, left
	})
}
