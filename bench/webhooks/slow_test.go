package webhooks

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"tsubame/bench/bot"
)

const (
	slowChannels = 500
	slowAnswer   = 2 * time.Second
	quickJoins   = 15
	allChannels  = slowChannels + 3*quickJoins
	// A quick join may take so many times as long while others wait for their application, and
	// so much beyond that for a machine that has other things to do.
	slowdown = 5
	leeway   = 500 * time.Millisecond
	// What the server's memory may grow by for each client that waits for the auth webhook, and
	// what may wait of the events of each channel, in bytes: far more than it takes.
	memoryEach = 128 << 10
	eventsEach = 16 << 10
)

// isSlow reports whether a request is about one of the channels whose application is slow.
func isSlow(r *Request) bool { return strings.HasPrefix(r.Text("channel_id"), "slow") }

// Five hundred channels wait for an application that takes two seconds and more, first for
// whether they may, then, with all workers of events stuck, for it to hear of them. Whoever
// joins elsewhere waits for none of that. When the application has caught up, the events of
// each channel are there, in order.
//
// Row HTTP-06.
func TestSlowApplicationDelaysNobodyElse(t *testing.T) {
	app := willing(t)
	allow, listen := make(chan struct{}), make(chan struct{})
	app.On(auth, func(r *Request) Answer {
		if isSlow(r) {
			return Slow(slowAnswer, After(allow, Allow(nil)))
		}
		return Allow(nil)
	})
	app.On(event, Always(Slow(slowAnswer, After(listen, Empty()))))
	w := start(t, app, settings{"webhook_response_timeout": "1 min"})
	before, usual := w.memory(), w.quickJoin("before")

	bots := make([]*bot.Bot, slowChannels)
	each(bots, func(i int) {
		cfg := w.peer(fmt.Sprint("slow", i), bot.SendRecv, nil)
		cfg.Paused = true
		b, err := bot.Dial(within(t), cfg)
		if err != nil {
			t.Error(err)
			return
		}
		t.Cleanup(b.Kill)
		bots[i] = b
	})
	if t.Failed() {
		t.FailNow()
	}
	waiting := func(r *Request) bool { return r.Path == auth && isSlow(r) }
	if _, err := app.Wait(within(t), slowChannels, waiting); err != nil {
		t.Fatal(err)
	}
	if grown := w.memory() - before; grown > slowChannels*memoryEach {
		t.Errorf("the server's memory has grown by %d KiB", grown>>10)
	} else {
		t.Logf("the server's memory has grown by %d KiB", grown>>10)
	}
	w.requireQuick("while five hundred wait for the auth webhook", usual, w.quickJoin("meanwhile"))

	close(allow)
	each(bots, func(i int) { requireCreated(t, bots[i]) })
	w.requireQuick("while no event gets through", usual, w.quickJoin("later"))
	waits := w.Counters()
	if n, bytes := waits["event_webhook_queue"], waits["event_webhook_queue_bytes"]; n < slowChannels || bytes == 0 || bytes > n*eventsEach {
		t.Errorf("%d events of %d bytes wait", n, bytes)
	} else {
		t.Logf("%d events of %d bytes wait", n, bytes)
	}

	// Both events of a connection wait when the application begins to listen.
	each(bots, func(i int) { leave(t, bots[i]) })
	app.On(event, Always(Empty()))
	close(listen)
	ended := func(r *Request) bool { return r.Text("type") == "session.destroyed" }
	if _, err := app.Wait(within(t), allChannels, ended); err != nil {
		t.Fatal(err)
	}
	w.requireOrder()
	if waits := w.Counters(); waits["event_webhook_queue"] != 0 || waits["event_webhook_queue_bytes"] != 0 || waits["total_failed_event_webhook"] != 0 {
		t.Errorf("at the end: %d events of %d bytes wait, and %d have failed",
			waits["event_webhook_queue"], waits["event_webhook_queue_bytes"], waits["total_failed_event_webhook"])
	}
}

// each calls f for the number of every bot, a few at a time. f must not end the test.
func each(bots []*bot.Bot, f func(i int)) {
	var group sync.WaitGroup
	next := make(chan int)
	for range 16 {
		group.Go(func() {
			for i := range next {
				f(i)
			}
		})
	}
	for i := range bots {
		next <- i
	}
	close(next)
	group.Wait()
}

// quickJoin is the median time from the first byte to media, in channels of their own.
func (w *world) quickJoin(name string) time.Duration {
	w.t.Helper()
	var all []time.Duration
	for i := range quickJoins {
		began := time.Now()
		b := w.enter(fmt.Sprint(name, i), bot.SendRecv)
		all = append(all, time.Since(began))
		leave(w.t, b)
	}
	slices.Sort(all)
	w.t.Logf("joins %s: median %v, longest %v", name, all[len(all)/2], all[len(all)-1])
	return all[len(all)/2]
}

func (w *world) requireQuick(when string, usual, now time.Duration) {
	w.t.Helper()
	if now > slowdown*usual+leeway {
		w.t.Errorf("%s a join takes %v, and %v before", when, now, usual)
	}
}

// memory is what the server's process holds, in bytes.
func (w *world) memory() int {
	w.t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", w.PID()))
	if err != nil {
		w.t.Fatal(err)
	}
	for line := range bytes.Lines(status) {
		if fields := strings.Fields(string(line)); len(fields) == 3 && fields[0] == "RssAnon:" {
			n, err := strconv.Atoi(fields[1])
			if err != nil {
				w.t.Fatal(err)
			}
			return n << 10
		}
	}
	w.t.Fatal("the process has no RssAnon")
	return 0
}

// requireOrder holds that the application has heard of each channel what happened there, once
// and in order: of the slow ones, and of those whose client came and went at once.
func (w *world) requireOrder() {
	w.t.Helper()
	heard := map[string][]string{}
	for _, r := range w.app.Find(func(r *Request) bool { return r.Path != auth }) {
		heard[r.Text("channel_id")] = append(heard[r.Text("channel_id")], r.Text("type"))
	}
	want := []string{"session.created", "connection.created", "connection.destroyed", "session.destroyed"}
	for channel, types := range heard {
		if !slices.Equal(types, want) {
			w.t.Errorf("%s: %v", channel, types)
		}
	}
	if len(heard) != allChannels {
		w.t.Errorf("the application has heard of %d channels", len(heard))
	}
}
