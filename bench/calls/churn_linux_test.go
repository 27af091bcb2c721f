package calls

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"tsubame/bench/bot"
)

// process is what the kernel says of the server.
type process struct {
	threads, files int
	resident       int // KiB
}

// process reads it.
func (w *world) process() (p process) {
	w.t.Helper()
	dir := fmt.Sprintf("/proc/%d/", w.PID())
	text, err := os.ReadFile(dir + "status")
	if err != nil {
		w.t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(line, ":")
		number, _, _ := strings.Cut(strings.TrimSpace(value), " ")
		switch name {
		case "Threads":
			p.threads, _ = strconv.Atoi(number)
		case "VmRSS":
			p.resident, _ = strconv.Atoi(number)
		}
	}
	files, err := os.ReadDir(dir + "fd")
	if err != nil {
		w.t.Fatal(err)
	}
	p.files = len(files)
	if p.threads == 0 || p.resident == 0 {
		w.t.Fatalf("unreadable: %s", text)
	}
	return p
}

// visits makes n bots join the residents' channel and leave it again, several at a time and in
// every way there is: with a word, without one, and in the middle of joining.
func (w *world) visits(n int) {
	w.t.Helper()
	var next, failed atomic.Int64
	var all sync.WaitGroup
	for range 6 {
		all.Go(func() {
			for i := next.Add(1); i <= int64(n) && failed.Load() == 0; i = next.Add(1) {
				if err := w.visit(int(i)); err != nil {
					failed.Add(1)
					w.t.Errorf("visit %d: %v", i, err)
				}
			}
		})
	}
	all.Wait()
	if failed.Load() != 0 {
		w.t.FailNow()
	}
}

func (w *world) visit(i int) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cfg := w.peer([]string{bot.SendRecv, bot.SendOnly, bot.RecvOnly}[i%3])
	cfg.Paused = i%4 != 0
	b, err := bot.Dial(ctx, cfg)
	if err != nil {
		return err
	}
	defer b.Kill()
	if i%10 == 7 {
		return nil // killed at whatever stage
	}
	if err := b.WaitConnected(ctx); err != nil {
		return err
	}
	if i%10 == 3 {
		return b.Close(ctx) // before anybody was told
	}
	id := b.ID()
	if _, err := b.WaitNotify(ctx, func(n bot.Notify) bool { return n.ConnectionID == id }); err != nil {
		return err
	}
	if i%2 == 0 {
		return b.Close(ctx)
	}
	return nil
}

// A thousand come and go while a call goes on beside them: neither the call nor the server is
// any different afterwards.
func TestAThousandJoinsAndLeavesLeaveNothing(t *testing.T) {
	// The server's pools are heap, half a gigabyte of it that no call has touched yet. Left to
	// itself the collector would wait for as much garbage again.
	t.Setenv("GOGC", "10")
	w := start(t, nil)
	residents := []*bot.Bot{w.join(w.peer(bot.SendRecv)), w.join(w.peer(bot.SendRecv))}
	requireFrames(t, 5, among(residents...)...)
	settled := func(before map[string]uint64) (bool, any) {
		now, left := w.Counters(), ""
		for _, name := range []string{"connections_free", "tracks_free", "dtls_in_flight", "connections", "goroutines"} {
			if before != nil && now[name] != before[name] {
				left += fmt.Sprintf("%s %d, before %d; ", name, now[name], before[name])
			}
		}
		return left == "", left
	}
	calls := w.Counters()
	// What the first ones cost is for all: threads, heap, the kernel's and the pools' pages.
	w.visits(100)
	eventually(t, "the first hundred have gone", func() (bool, any) { return settled(calls) })
	before := w.process()
	w.visits(1000)
	eventually(t, "the thousand have gone", func() (bool, any) { return settled(calls) })
	eventually(t, "the process is as it was", func() (bool, any) {
		now := w.process()
		return now.files <= before.files && now.threads <= before.threads+4 &&
			now.resident <= before.resident+before.resident/4+(24<<10), []process{before, now}
	})
	t.Logf("before %+v, after %+v", before, w.process())
	requireFrames(t, 10, among(residents...)...)
	requireIntact(t, among(residents...)...)
	// Of visits so close together one offer tells several, five a second at least.
	if n := residents[0].Stats().Offers; n < 8 {
		t.Errorf("a resident has been offered streams %d times: nothing was shown", n)
	}
}
