package journal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// close ends a journal within the test and fails it if that fails.
func closeNow(t testing.TB, j *Journal) {
	t.Helper()
	if err := j.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
}

func read(t testing.TB, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func mustWrite(t testing.TB, j *Journal, k Kind, line string) {
	t.Helper()
	if !j.Write(k, []byte(line)) {
		t.Fatalf("%s: %.80q is refused", k.File(), line)
	}
}

func TestLinesGoIntoTheFileOfTheirKind(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "log", "tsubame")
	j := start(t, Config{Dir: dir}, disk{})
	names := map[Kind]string{
		Server: "sora.jsonl", Cluster: "cluster.jsonl", Auth: "auth_webhook.jsonl", AuthError: "auth_webhook_error.jsonl",
		Session: "session_webhook.jsonl", SessionError: "session_webhook_error.jsonl",
		Event: "event_webhook.jsonl", EventError: "event_webhook_error.jsonl",
		Stats: "stats_webhook.jsonl", StatsError: "stats_webhook_error.jsonl",
		Signaling: "signaling.jsonl", API: "api.jsonl", Connection: "connection.jsonl", SessionLog: "session.jsonl", RTCStats: "rtc_stats.jsonl",
	}
	if len(names) != int(kinds) {
		t.Fatalf("%d kinds, want %d", kinds, len(names))
	}
	for i := range 3 {
		for k := range kinds {
			mustWrite(t, j, k, fmt.Sprintf(`{"kind":%d,"line":%d}`, k, i))
		}
	}
	closeNow(t, j)
	for k, name := range names {
		want := fmt.Sprintf("{\"kind\":%d,\"line\":0}\n{\"kind\":%[1]d,\"line\":1}\n{\"kind\":%[1]d,\"line\":2}\n", k)
		if got := read(t, filepath.Join(dir, name)); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
		checkMode(t, filepath.Join(dir, name), 0o640)
	}
	checkMode(t, dir, 0o750)
	if c := j.Counters(); c.Written != uint64(3*kinds) || c.Lost+c.Dropped+c.Failures != 0 || c.WrittenBytes == 0 {
		t.Errorf("%+v", c)
	}
	if j.Write(kinds, []byte("x")) || kinds.File() == "" {
		t.Error("a line without a file is taken")
	}
}

// checkMode leaves room for a umask that takes more away.
func checkMode(t *testing.T, path string, most fs.FileMode) {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if mode := info.Mode().Perm(); mode&^most != 0 || mode&0o600 != 0o600 {
		t.Errorf("%s: mode %v, want %v", path, mode, most)
	}
}

func TestLineIsCopiedAndStaysOne(t *testing.T) {
	fake := newFakeDisk()
	j := start(t, Config{Dir: "log"}, fake)
	line := []byte("{\n  \"a\": 1\n}\n")
	if !j.Write(API, line) {
		t.Fatal("refused")
	}
	if string(line) != "{\n  \"a\": 1\n}\n" {
		t.Errorf("the caller's line is changed: %q", line)
	}
	clear(line)
	closeNow(t, j)
	if got, want := fake.content("api.jsonl"), "{   \"a\": 1 } \n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestLinesThatCannotBeOneAreRefused(t *testing.T) {
	fake := newFakeDisk()
	j := start(t, Config{Dir: "log"}, fake)
	longest := bytes.Repeat([]byte("x"), MaxLine)
	if j.Write(Server, nil) || j.Write(Server, append(longest, 'x')) {
		t.Error("an empty or too long line is taken")
	}
	mustWrite(t, j, Server, string(longest))
	mustWrite(t, j, Server, "{}")
	closeNow(t, j)
	if got := fake.content("sora.jsonl"); got != string(longest)+"\n{}\n" {
		t.Errorf("%d bytes", len(got))
	}
	if c := j.Counters(); c.Dropped != 1 || c.Written != 2 {
		t.Errorf("%+v", c)
	}
}

func TestWithoutADirectoryNothingIsWritten(t *testing.T) {
	j, err := Open(Config{})
	if err != nil {
		t.Fatal(err)
	}
	if j.Write(Server, []byte("{}")) {
		t.Error("a line is taken")
	}
	j.Reopen()
	closeNow(t, j)
	if c := j.Counters(); c != (Counters{}) {
		t.Errorf("%+v", c)
	}
}

func TestDirectoryThatCannotBeUsedStopsTheStart(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{file, filepath.Join(file, "log")} {
		if _, err := Open(Config{Dir: dir}); err == nil || !strings.Contains(err.Error(), dir) {
			t.Errorf("%s: %v", dir, err)
		}
	}
}

func TestConcurrentWritersMakeWholeLinesInTheirOrder(t *testing.T) {
	dir := t.TempDir()
	j := start(t, Config{Dir: dir, MaxBytes: 20_000, Keep: 1000}, disk{})
	const writers, lines = 8, 500
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range lines {
				for !j.Write(Event, fmt.Appendf(nil, `{"writer":%d,"line":%d,"pad":"%s"}`, w, i, strings.Repeat("x", i%97))) {
					j.Reopen() // never so in practice: the queue is larger than all of them
				}
				if i%100 == 0 {
					j.Reopen()
					j.Counters()
				}
			}
		})
	}
	wg.Wait()
	closeNow(t, j)
	next := make([]int, writers)
	for _, file := range rotated(t, dir, Event) {
		for line := range strings.Lines(read(t, file)) {
			var w, i int
			if _, err := fmt.Sscanf(line, `{"writer":%d,"line":%d,`, &w, &i); err != nil || !strings.HasSuffix(line, "\"}\n") {
				t.Fatalf("%s: %q", file, line)
			}
			if i != next[w] {
				t.Fatalf("writer %d: line %d, want %d", w, i, next[w])
			}
			next[w]++
		}
	}
	for w, n := range next {
		if n != lines {
			t.Errorf("writer %d: %d lines, want %d", w, n, lines)
		}
	}
}

// rotated are the files of a kind from the oldest to the newest.
func rotated(t testing.TB, dir string, k Kind) []string {
	t.Helper()
	files := []string{filepath.Join(dir, k.File())}
	for i := 1; ; i++ {
		name := filepath.Join(dir, k.File()+"."+strconv.Itoa(i))
		if _, err := os.Stat(name); err != nil {
			return files
		}
		files = append([]string{name}, files...)
	}
}

func TestCloseWritesWhatWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := newFakeDisk()
		j := start(t, Config{Dir: "log"}, fake)
		stall := make(chan struct{})
		fake.with(func() { fake.stall = stall })
		for range 1000 {
			mustWrite(t, j, Connection, "{}")
		}
		synctest.Wait() // the first of them is being written
		ended := make(chan error)
		go func() { ended <- j.Close(context.Background()) }()
		synctest.Wait()
		if j.Write(Connection, []byte("{}")) {
			t.Error("a line is taken after Close")
		}
		close(stall)
		if err := <-ended; err != nil {
			t.Error(err)
		}
		closeNow(t, j) // once more is no harm
		if got := strings.Count(fake.content("connection.jsonl"), "{}\n"); got != 1000 {
			t.Errorf("%d lines, want 1000", got)
		}
	})
}

func TestCloseDoesNotWaitForADiskLongerThanItMay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := newFakeDisk()
		stall := make(chan struct{})
		j := start(t, Config{Dir: "log"}, fake)
		fake.with(func() { fake.stall = stall })
		mustWrite(t, j, Connection, "{}")
		ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
		defer cancel()
		began := time.Now()
		if err := j.Close(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v", err)
		}
		if took := time.Since(began); took != 3*time.Second {
			t.Errorf("it took %v", took)
		}
		close(stall)
	})
}

func TestCloseSaysWhatIsLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := newFakeDisk()
		j := start(t, Config{Dir: "log"}, fake)
		fake.with(func() { fake.limited = true })
		for range 7 {
			mustWrite(t, j, Connection, "{}")
		}
		err := j.Close(context.Background())
		if err == nil || !strings.Contains(err.Error(), "7 lines") {
			t.Errorf("%v", err)
		}
		if c := j.Counters(); c.Lost != 7 || c.Written != 0 {
			t.Errorf("%+v", c)
		}
	})
}

func TestSteadyWritingAllocatesNothing(t *testing.T) {
	fake := newFakeDisk()
	fake.files["event_webhook.jsonl"] = &node{data: make([]byte, 0, 64<<20)}
	j := start(t, Config{Dir: "log"}, fake)
	line := bytes.Repeat([]byte("x"), 400)
	for range 1000 { // the buffers grow
		mustWrite(t, j, Event, string(line))
	}
	if n := testing.AllocsPerRun(10_000, func() { j.Write(Event, line) }); n >= 1 {
		t.Errorf("%v allocations a line", n)
	}
}

// BenchmarkWrite is what a line costs as long as the disk keeps up, and then what the disk
// takes.
func BenchmarkWrite(b *testing.B) {
	j := start(b, Config{Dir: b.TempDir(), MaxBytes: 64 << 20, Keep: 1}, disk{})
	line := bytes.Repeat([]byte("x"), 400)
	b.ReportAllocs()
	b.SetBytes(int64(len(line)))
	for b.Loop() {
		for !j.Write(Event, line) {
			runtime.Gosched()
		}
	}
	b.StopTimer()
	closeNow(b, j)
}
