package journal

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// offer writes numbered lines and returns how many were taken.
func offer(j *Journal, k Kind, from, n int) (taken int) {
	for i := from; i < from+n; i++ {
		if j.Write(k, fmt.Appendf(nil, `{"n":%d}`, i)) {
			taken++
		}
	}
	return taken
}

// wholeLines checks that a file consists of lines as offer writes them, in their order,
// and returns how many there are.
func wholeLines(t *testing.T, text string) (n int) {
	t.Helper()
	last := -1
	for line := range strings.Lines(text) {
		var v struct{ N *int }
		if err := json.Unmarshal([]byte(line), &v); err != nil || v.N == nil || !strings.HasSuffix(line, "\n") {
			t.Fatalf("line %d: %q", n, line)
		}
		if *v.N <= last {
			t.Fatalf("%d comes behind %d", *v.N, last)
		}
		last = *v.N
		n++
	}
	return n
}

func TestFullDiskIsReportedOnceAMinuteAndLinesStayWhole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := newFakeDisk()
		var told reports
		j := start(t, Config{Dir: "log", Report: told.add}, fake)
		fake.with(func() { fake.limited, fake.room = true, 45 }) // within the sixth line
		taken := offer(j, Connection, 0, 10)
		synctest.Wait()
		if taken < 6 { // the sixth is the first that does not fit
			t.Errorf("%d lines are taken before anybody can know", taken)
		}
		if got := fake.content("connection.jsonl"); len(got) != 45 {
			t.Errorf("%d bytes are written, want 45", len(got))
		}
		list := told.take()
		var f *Failure
		if len(list) != 1 || !errors.As(list[0], &f) || !errors.Is(f, syscall.ENOSPC) || !strings.Contains(f.Path, "connection.jsonl") || f.Files != 1 {
			t.Fatalf("%v", list)
		}

		// Five minutes in which nothing of that kind is taken, and others are.
		fake.with(func() { fake.writes = 0 })
		const refused = 30
		for range refused {
			if j.Write(Connection, []byte("{}")) {
				t.Error("a line is taken although the disk is full")
			}
			<-time.After(10 * time.Second)
		}
		<-time.After(retryEvery / 2) // the fifth report is of this very moment
		list = told.take()
		if len(list) != 5 {
			t.Errorf("%d reports in five minutes: %v", len(list), list)
		}
		var writes int
		fake.with(func() { writes = fake.writes })
		if writes < 290 || writes > 301 {
			t.Errorf("%d attempts in 300 s, want one a second", writes)
		}

		fake.with(func() { fake.limited = false })
		<-time.After(2 * retryEvery)
		synctest.Wait()
		var r *Recovery
		if list = told.take(); len(list) != 1 || !errors.As(list[0], &r) || r.After < 300*time.Second || r.After > 303*time.Second {
			t.Fatalf("%v", list)
		}
		offer(j, Connection, 10, 5)
		closeNow(t, j)
		// What was in the queue when the disk filled up is kept, and the cut line goes on.
		if n := wholeLines(t, fake.content("connection.jsonl")); n != taken+5 {
			t.Errorf("%d lines, want %d", n, taken+5)
		}
		if c := j.Counters(); c.Lost != uint64(refused+10-taken) || c.Written != uint64(taken+5) || c.Failures != 1 || c.Failing != 0 {
			t.Errorf("%+v", c)
		}
	})
}

func TestReportsCountEveryLostLineOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := newFakeDisk()
		var told reports
		j := start(t, Config{Dir: "log", Report: told.add}, fake)
		var lost uint64
		count := func() {
			for _, err := range told.take() {
				var f *Failure
				var r *Recovery
				switch {
				case errors.As(err, &f):
					lost += f.Lost
				case errors.As(err, &r):
					lost += r.Lost
				}
			}
		}
		for range 7 { // a disk that comes and goes every few seconds
			fake.with(func() { fake.limited, fake.room = true, 100 })
			offer(j, Event, 0, 20)
			<-time.After(3 * time.Second)
			offer(j, Event, 20, 5)
			fake.with(func() { fake.limited = false })
			<-time.After(4 * time.Second)
		}
		<-time.After(2 * reportEvery)
		synctest.Wait()
		count()
		c := j.Counters()
		if c.Lost == 0 || lost != c.Lost || c.Written+c.Lost != 7*25 {
			t.Errorf("reported %d, %+v", lost, c)
		}
		if c.Failures != 7 {
			t.Errorf("%d failures, want 7", c.Failures)
		}
		closeNow(t, j)
	})
}

// What waits while a file cannot be written has a bound; the newest lines are the lost ones.
func TestWhatIsKeptForAFullDiskHasABound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := newFakeDisk()
		j := start(t, Config{Dir: "log"}, fake)
		stall := make(chan struct{})
		fake.with(func() { fake.limited, fake.stall = true, stall })
		offer(j, Event, 0, 1)
		synctest.Wait() // the writer does not know yet
		const lines = 20_000
		if taken := offer(j, Event, 1, lines-1); taken != lines-1 {
			t.Fatalf("%d lines are taken", taken)
		}
		close(stall)
		synctest.Wait()
		fake.with(func() { fake.limited = false })
		closeNow(t, j)
		text := fake.content("event_webhook.jsonl")
		n := wholeLines(t, text)
		if len(text) > pendingBytes || len(text) < pendingBytes-20 {
			t.Errorf("%d bytes are kept, want nearly %d", len(text), pendingBytes)
		}
		if c := j.Counters(); c.Lost != uint64(lines-n) || c.Written != uint64(n) {
			t.Errorf("%d lines in the file, %+v", n, c)
		}
	})
}

func TestFileThatFailsDoesNotKeepOthersFromTheirs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		if err := os.Mkdir(filepath.Join(dir, "api.jsonl"), 0o755); err != nil {
			t.Fatal(err)
		}
		var told reports
		j := start(t, Config{Dir: dir, Report: told.add}, disk{})
		offer(j, API, 0, 1)
		offer(j, Connection, 0, 1)
		synctest.Wait()
		if j.Write(API, []byte("{}")) || offer(j, Connection, 1, 1) != 1 {
			t.Error("the wrong file is refused")
		}
		if list := told.take(); len(list) != 1 || !strings.Contains(list[0].Error(), "api.jsonl") {
			t.Errorf("%v", list)
		}
		if err := j.Close(context.Background()); err == nil || !strings.Contains(err.Error(), "1 lines lost") {
			t.Errorf("%v", err)
		}
		if n := wholeLines(t, read(t, filepath.Join(dir, "connection.jsonl"))); n != 2 {
			t.Errorf("%d lines, want 2", n)
		}
	})
}

func TestDirectoryThatIsGoneIsReportedAndComesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := newFakeDisk()
		var told reports
		j := start(t, Config{Dir: "log", Report: told.add}, fake)
		offer(j, Connection, 0, 1)
		synctest.Wait()
		fake.with(func() {
			fake.noDir, fake.mkdirErr = true, syscall.EACCES
			clear(fake.files)
		})
		<-time.After(retryEvery)
		offer(j, Connection, 1, 1)
		synctest.Wait()
		if list := told.take(); len(list) != 1 || !errors.Is(list[0], syscall.EACCES) {
			t.Errorf("%v", list)
		}
		if j.Write(Connection, []byte("{}")) {
			t.Error("a line is taken without a directory")
		}
		fake.with(func() { fake.mkdirErr = nil })
		<-time.After(2 * retryEvery)
		synctest.Wait()
		if list := told.take(); len(list) != 1 || !strings.Contains(list[0].Error(), "1 lines lost") {
			t.Errorf("%v", list)
		}
		closeNow(t, j)
		if got := fake.content("connection.jsonl"); got != "{\"n\":1}\n" {
			t.Errorf("%q", got)
		}
	})
}

func TestReopenTriesAFileThatFailsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := newFakeDisk()
		j := start(t, Config{Dir: "log"}, fake)
		fake.with(func() { fake.limited = true })
		offer(j, Server, 0, 1)
		synctest.Wait()
		fake.with(func() { fake.limited = false })
		j.Reopen()
		synctest.Wait()
		if got := fake.content("sora.jsonl"); got != "{\"n\":0}\n" {
			t.Errorf("%q", got)
		}
		closeNow(t, j)
	})
}

// A line that is partly in a file that is moved away before it is whole goes into the new
// file in whole.
func TestCutLineBeginsAnewInANewFile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := newFakeDisk()
		j := start(t, Config{Dir: "log"}, fake)
		fake.with(func() { fake.limited, fake.room = true, 12 })
		offer(j, API, 0, 2)
		synctest.Wait()
		fake.with(func() {
			fake.files["old"] = fake.files["api.jsonl"]
			delete(fake.files, "api.jsonl")
			fake.limited = false
		})
		<-time.After(2 * retryEvery)
		closeNow(t, j)
		if old, new := fake.content("old"), fake.content("api.jsonl"); old != "{\"n\":0}\n{\"n\"" || new != "{\"n\":1}\n" {
			t.Errorf("%q and %q", old, new)
		}
	})
}

func TestQueueHasABoundAndItsOverflowIsReportedOnceAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, cfg := range map[string]Config{
			"lines": {Dir: "log", QueueLines: 100},
			"bytes": {Dir: "log", QueueBytes: 100 * len("{\"n\":100}\n")},
		} {
			fake := newFakeDisk()
			stall := make(chan struct{})
			var told reports
			cfg.Report = told.add
			j := start(t, cfg, fake)
			fake.with(func() { fake.stall = stall })
			mustWrite(t, j, Connection, `{"n":0}`)
			synctest.Wait() // the writer is stuck in it
			if n := offer(j, Signaling, 100, 200); n != 75 {
				t.Errorf("%s: %d lines of signaling are taken, want three quarters of the queue", name, n)
			}
			others := []Kind{Auth, AuthError, Session, SessionError, Event, EventError, Stats, StatsError, RTCStats}
			for _, k := range others {
				if n := offer(j, k, 100, 1); n != 0 {
					t.Errorf("%s: a line of %s is taken into the last quarter", name, k.File())
				}
			}
			if n := offer(j, Connection, 100, 200); n != 25 {
				t.Errorf("%s: %d lines of connections are taken, want the last quarter", name, n)
			}
			synctest.Wait()
			var o *Overflow
			list := told.take()
			if len(list) != 1 || !errors.As(list[0], &o) || o.Dropped == 0 {
				t.Fatalf("%s: %v", name, list)
			}
			sum := o.Dropped
			for range 120 {
				offer(j, Connection, 0, 10)
				<-time.After(time.Second)
			}
			<-time.After(reportEvery)
			list = told.take()
			for _, err := range list {
				if errors.As(err, &o) {
					sum += o.Dropped
				}
			}
			c := j.Counters()
			if c.Dropped != 300+1200+uint64(len(others)) || sum != c.Dropped || len(list) > 3 || c.Waiting == 0 {
				t.Errorf("%s: reported %d in %d reports, %+v", name, sum, len(list), c)
			}
			close(stall)
			closeNow(t, j)
			if n := wholeLines(t, fake.content("connection.jsonl")); n != 26 {
				t.Errorf("%s: %d lines, want 26", name, n)
			}
		}
	})
}

func TestReportThatBlocksKeepsNothingFromBeingWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := newFakeDisk()
		held := make(chan struct{})
		j := start(t, Config{Dir: "log", Report: func(error) { <-held }}, fake)
		fake.with(func() { fake.limited = true })
		offer(j, API, 0, 1)
		<-time.After(time.Hour)
		fake.with(func() { fake.limited = false })
		<-time.After(time.Minute)
		offer(j, API, 1, 1)
		synctest.Wait()
		if n := wholeLines(t, fake.content("api.jsonl")); n != 2 {
			t.Errorf("%d lines, want 2", n)
		}
		close(held)
		closeNow(t, j)
	})
}

// What Report does most often is to log, and that comes back here.
func TestReportMayLogIntoTheJournal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := newFakeDisk()
		var j *Journal
		j = start(t, Config{Dir: "log", Report: func(err error) { j.Write(Server, []byte(err.Error())) }}, fake)
		fake.with(func() { fake.limited = true })
		offer(j, API, 0, 1)
		synctest.Wait()
		fake.with(func() { fake.limited = false })
		<-time.After(3 * retryEvery)
		closeNow(t, j)
		if got := fake.content("sora.jsonl"); !strings.Contains(got, "api.jsonl cannot be written") || !strings.Contains(got, "written again") {
			t.Errorf("%q", got)
		}
	})
}

// A burst's memory is used again while it lasts, and given back with the first small batch.
func TestBurstDoesNotKeepItsMemory(t *testing.T) {
	b := batch{data: make([]byte, keepBytes, 2*keepBytes), lines: make([]entry, 3, 100)}
	b.reset()
	if cap(b.data) != 2*keepBytes || len(b.data) != 0 || cap(b.lines) != 100 || len(b.lines) != 0 {
		t.Error("not kept, or not empty")
	}
	b.data = b.data[:10]
	b.reset()
	if b.data != nil || b.lines != nil {
		t.Error("kept")
	}
	b = batch{data: make([]byte, 10, keepBytes)}
	b.reset()
	if cap(b.data) != keepBytes || len(b.data) != 0 {
		t.Error("what is small is given back")
	}
}

// A pipe whose reader stands still, as a log shipper's. The log's callers go on, and what
// had room is in the pipe when it is read again.
//
// Row OPS-11.
func TestBlockedPipeBlocksNobody(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "signaling.jsonl")
	if err := syscall.Mkfifo(path, 0o640); err != nil {
		t.Fatal(err)
	}
	pipe, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer pipe.Close()
	j := start(t, Config{Dir: dir, QueueBytes: 256 << 10}, disk{})
	line := []byte(`"` + strings.Repeat("x", 1000) + `"`)
	taken := 0
	for j.Counters().Dropped < 1000 {
		if j.Write(Signaling, line) {
			taken++
		}
		runtime.Gosched()
	}
	if taken < 64 {
		t.Errorf("only %d lines are taken", taken)
	}
	ended := make(chan error)
	go func() { ended <- j.Close(context.Background()) }()
	got, buf := 0, make([]byte, 64<<10)
	for got < taken*(len(line)+1) {
		n, err := pipe.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		got += n
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if c := j.Counters(); c.Written != uint64(taken) || got != taken*(len(line)+1) {
		t.Errorf("%d lines are taken, %d bytes read, %+v", taken, got, c)
	}
}
