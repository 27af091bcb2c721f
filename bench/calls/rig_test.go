package calls

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"testing"
	"time"

	"tsubame/bench/bot"
	"tsubame/bench/harness"
	"tsubame/media/param"
)

// patience is how long a test waits for what takes a fraction of a second on an idle machine.
const patience = 60 * time.Second

// loopback is any port of the address that the server advertises unless a test says otherwise.
var loopback = netip.MustParseAddrPort("127.0.0.1:0")

// world is a server and those who call it.
type world struct {
	*harness.Server
	t    *testing.T
	idle map[string]uint64 // counters before the first call
}

// start runs a server with two shards that advertises 127.0.0.1; config adds to that.
func start(t *testing.T, config map[string]string) *world {
	t.Helper()
	whole := map[string]string{"shards": "2", "ipv4_address": "127.0.0.1"}
	maps.Copy(whole, config)
	return startWith(t, harness.Options{Config: whole})
}

func startWith(t *testing.T, o harness.Options) *world {
	t.Helper()
	// The server chooses ports: any that a test finds free may be a bot's a moment later.
	// Bots and other tests share the server's processors: joins shed by load would depend on them.
	config := map[string]string{"signaling_port": "0", "udp_port": "0", "shed_joins_at_load": "0"}
	maps.Copy(config, o.Config)
	o.Config = config
	w := &world{t: t, Server: harness.Start(t, o)}
	w.idle = w.Counters()
	// Behind all that the test's bots clean up, and before the server is stopped.
	t.Cleanup(w.requireIdle)
	return w
}

// eachIO runs a test over batched I/O with steering, and over the portable sockets.
func eachIO(t *testing.T, f func(*testing.T, *world)) {
	t.Helper()
	eachIOWith(t, nil, f)
}

// eachIOWith is eachIO with more configuration.
func eachIOWith(t *testing.T, more map[string]string, f func(*testing.T, *world)) {
	t.Helper()
	t.Parallel()
	for name, config := range map[string]map[string]string{
		"fast":  nil,
		"plain": {"plain_io": "true", "steering": "false", "shards": "1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			whole := maps.Clone(more)
			if whole == nil {
				whole = map[string]string{}
			}
			maps.Copy(whole, config)
			f(t, start(t, whole))
		})
	}
}

// levels are the counters that go up and down, and are where they were when all have gone.
var levels = []string{"connections_free", "tracks_free", "buffers_out", "connections", "dtls_in_flight"}

// requireIdle waits until nothing is left of any call.
func (w *world) requireIdle() {
	w.t.Helper()
	eventually(w.t, "nothing is left of the calls", func() (bool, any) {
		now, left := w.Counters(), ""
		for _, name := range levels {
			if _, ok := now[name]; !ok {
				left += "there is no " + name + "; "
			}
			if now[name] != w.idle[name] {
				left += fmt.Sprintf("%s %d, before %d; ", name, now[name], w.idle[name])
			}
		}
		return left == "", left
	})
}

// grown returns by how much a counter has grown since the start.
func (w *world) grown(name string) uint64 {
	w.t.Helper()
	return w.level(name) - w.idle[name]
}

// level returns a counter's present value.
func (w *world) level(name string) uint64 {
	w.t.Helper()
	now, ok := w.Counters()[name]
	if !ok {
		w.t.Fatalf("there is no counter %s", name)
	}
	return now
}

// requireGrown wants a counter to have grown by n.
func (w *world) requireGrown(name string, n uint64) {
	w.t.Helper()
	if got := w.grown(name); got != n {
		w.t.Errorf("%s has grown by %d, want %d", name, got, n)
	}
}

// peer is the configuration of a bot in the test's one channel.
func (w *world) peer(role string) bot.Config {
	return bot.Config{
		URL: w.SignalingURL(), Channel: "room", Role: role, Audio: true, Video: true,
		Bitrate: 300_000, FrameRate: 20, // two packets a picture
		LocalAddrs: []netip.AddrPort{loopback},
	}
}

// dial starts a bot that lives as long as the test, if nobody ends it before.
func (w *world) dial(cfg bot.Config) *bot.Bot {
	w.t.Helper()
	b, err := bot.Dial(within(w.t), cfg)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(b.Kill)
	return b
}

// join is dial, and waits until the bot is connected.
func (w *world) join(cfg bot.Config) *bot.Bot {
	w.t.Helper()
	b := w.dial(cfg)
	if err := b.WaitConnected(within(w.t)); err != nil {
		w.t.Fatal(err)
	}
	return b
}

// leave ends a bot in an orderly way.
func leave(t *testing.T, b *bot.Bot) {
	t.Helper()
	if err := b.Close(within(t)); err != nil {
		t.Error(err)
	}
}

// within is a context that ends when patience does.
func within(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

// eventually waits for a condition; what it returns beside is shown when it never comes.
func eventually(t testing.TB, what string, is func() (bool, any)) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(patience)
	for {
		ok, state := is()
		if ok {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("not within %v: %s: %+v", patience, what, state)
		}
	}
}

// track returns what a bot sends of a kind.
func track(b *bot.Bot, kind param.Kind) bot.SendStats {
	for _, s := range b.Stats().Sending {
		if s.Kind == kind {
			return s
		}
	}
	return bot.SendStats{}
}

var kinds = []param.Kind{param.Audio, param.Video}

// flow is what goes from one bot to another.
type flow struct{ from, to *bot.Bot }

func (f flow) String() string { return f.from.ID() + " to " + f.to.ID() }

// stream returns what arrives of a kind now; nothing if it is not offered.
func (f flow) stream(kind param.Kind) bot.ReceiveStats {
	id := f.from.ID()
	for _, r := range f.to.Stats().Receiving {
		if r.Active && r.Kind == kind && r.Stream == id {
			return r
		}
	}
	return bot.ReceiveStats{}
}

// among are the flows from each to every other.
func among(bots ...*bot.Bot) (flows []flow) {
	for _, from := range bots {
		for _, to := range bots {
			if from != to {
				flows = append(flows, flow{from, to})
			}
		}
	}
	return flows
}

// requireFrames waits for n more whole frames, audio and video, of every flow.
func requireFrames(t *testing.T, n uint64, flows ...flow) {
	t.Helper()
	type goal struct {
		flow
		kind param.Kind
		want uint64
	}
	var goals []goal
	for _, f := range flows {
		for _, kind := range kinds {
			goals = append(goals, goal{f, kind, f.stream(kind).Frames + n})
		}
	}
	for _, g := range goals {
		eventually(t, fmt.Sprintf("%d frames of %v from %v", n, g.kind, g.flow), func() (bool, any) {
			s := g.stream(g.kind)
			return s.Frames >= g.want, s
		})
	}
}

// requireIntact holds that every packet came, once, as it was sent, under the number that it
// was sent by.
func requireIntact(t *testing.T, flows ...flow) {
	t.Helper()
	for _, f := range flows {
		for _, kind := range kinds {
			s := f.stream(kind)
			if s.Packets == 0 || s.Verified != s.Packets || s.BadPayload != 0 || s.Duplicates != 0 || s.Lost != 0 || s.Shifts != 0 || s.WrongType != 0 {
				t.Errorf("%v from %v: %+v", kind, f, s)
			}
			if want := track(f.from, kind).SSRC; s.Source != want {
				t.Errorf("%v from %v is of source %d, want %d", kind, f, s.Source, want)
			}
		}
		requireClean(t, f.to)
	}
}

// requireClean holds that nothing came that nobody can have meant.
func requireClean(t *testing.T, b *bot.Bot) {
	t.Helper()
	s := b.Stats()
	if s.Undecryptable != 0 || s.Replayed != 0 || s.UnknownSSRC != 0 || s.ICE.Bad != 0 || s.ICE.Asymmetric != 0 ||
		s.ICE.Requests != 0 || s.ICE.Errors != 0 {
		t.Errorf("%s: %+v", s.ConnectionID, s)
	}
	if err := b.Err(); err != nil {
		t.Errorf("%s: %v", s.ConnectionID, err)
	}
}

// requireNotify waits until a bot is told of an event about another.
func requireNotify(t *testing.T, b *bot.Bot, event string, about *bot.Bot) bot.Notify {
	t.Helper()
	id := about.ID()
	n, err := b.WaitNotify(within(t), func(n bot.Notify) bool {
		return n.EventType == event && n.ConnectionID == id
	})
	if err != nil {
		t.Fatalf("%s about %s: %v", event, id, err)
	}
	return n
}
