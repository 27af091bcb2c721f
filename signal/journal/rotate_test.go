package journal

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

func TestFileThatWasMovedOrDeletedIsMadeAnewWithoutASignal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		path := filepath.Join(dir, "connection.jsonl")
		j := start(t, Config{Dir: dir}, disk{})
		mustWrite(t, j, Connection, `{"n":1}`)
		synctest.Wait()

		if err := os.Rename(path, path+".old"); err != nil {
			t.Fatal(err)
		}
		<-time.After(retryEvery)
		mustWrite(t, j, Connection, `{"n":2}`)
		synctest.Wait()
		if old, new := read(t, path+".old"), read(t, path); old != "{\"n\":1}\n" || new != "{\"n\":2}\n" {
			t.Errorf("moved: %q and %q", old, new)
		}

		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		<-time.After(retryEvery)
		mustWrite(t, j, Connection, `{"n":3}`)
		synctest.Wait()
		if got := read(t, path); got != "{\"n\":3}\n" {
			t.Errorf("deleted: %q", got)
		}

		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
		<-time.After(retryEvery)
		mustWrite(t, j, Connection, `{"n":4}`)
		synctest.Wait()
		if got := read(t, path); got != "{\"n\":4}\n" {
			t.Errorf("directory deleted: %q", got)
		}
		if c := j.Counters(); c.Reopened != 3 || c.Failures != 0 || c.Written != 4 {
			t.Errorf("%+v", c)
		}
		closeNow(t, j)
	})
}

// mv, and somebody else makes the new file at once: it is not the open one either.
func TestFileThatWasReplacedIsNoticed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		path := filepath.Join(dir, "sora.jsonl")
		j := start(t, Config{Dir: dir}, disk{})
		if err := os.Rename(path, path+".old"); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o640); err != nil {
			t.Fatal(err)
		}
		<-time.After(retryEvery)
		mustWrite(t, j, Server, "{}")
		closeNow(t, j)
		if old, new := read(t, path+".old"), read(t, path); old != "" || new != "{}\n" {
			t.Errorf("%q and %q", old, new)
		}
	})
}

func TestReopenTakesTheNewFileAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		path := filepath.Join(dir, "api.jsonl")
		j := start(t, Config{Dir: dir}, disk{})
		mustWrite(t, j, API, `{"n":1}`)
		synctest.Wait()
		if err := os.Rename(path, path+".old"); err != nil {
			t.Fatal(err)
		}
		j.Reopen()
		synctest.Wait()
		if got := read(t, path); got != "" { // it is there before the next line
			t.Errorf("%q", got)
		}
		mustWrite(t, j, API, `{"n":2}`)
		closeNow(t, j)
		if old, new := read(t, path+".old"), read(t, path); old != "{\"n\":1}\n" || new != "{\"n\":2}\n" {
			t.Errorf("%q and %q", old, new)
		}
		if _, err := os.Stat(filepath.Join(dir, "cluster.jsonl")); err == nil {
			t.Error("a file that nobody has written is made")
		}
	})
}

func TestFilesOfTheirFullSizeAreRotated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		path := filepath.Join(dir, "event_webhook.jsonl")
		j := start(t, Config{Dir: dir, MaxBytes: 100, Keep: 3}, disk{})
		line := func(i int) string { return fmt.Sprintf(`{"n":%03d,"pad":"%s"}`, i, strings.Repeat("x", 13)) } // 32 bytes with its newline
		const lines = 20
		for i := range lines {
			mustWrite(t, j, Event, line(i))
			if i%4 == 0 { // batches of all sizes
				synctest.Wait()
			}
		}
		closeNow(t, j)
		// Three lines fit. The newest seven files hold lines 18 and 19, then 15 to 17 and so
		// on; three of them are kept.
		want := map[string][]int{path: {18, 19}, path + ".1": {15, 16, 17}, path + ".2": {12, 13, 14}, path + ".3": {9, 10, 11}}
		for file, numbers := range want {
			var text string
			for _, i := range numbers {
				text += line(i) + "\n"
			}
			if got := read(t, file); got != text {
				t.Errorf("%s:\n%swant\n%s", file, got, text)
			}
			checkMode(t, file, 0o640)
		}
		if _, err := os.Stat(path + ".4"); err == nil {
			t.Error("more files than are kept")
		}
		if c := j.Counters(); c.Rotated != 6 || c.Written != lines {
			t.Errorf("%+v", c)
		}
	})
}

func TestNothingIsKeptIfSoWanted(t *testing.T) {
	dir := t.TempDir()
	j := start(t, Config{Dir: dir, MaxBytes: 10}, disk{})
	for i := range 5 {
		mustWrite(t, j, API, fmt.Sprintf(`{"n":%d}`, i))
	}
	closeNow(t, j)
	if got := read(t, filepath.Join(dir, "api.jsonl")); got != "{\"n\":4}\n" {
		t.Errorf("%q", got)
	}
	if files := rotated(t, dir, API); len(files) != 1 {
		t.Errorf("%v", files)
	}
}

func TestFileThatIsTooBigAtTheStartIsRotatedFirst(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "api.jsonl")
	before := strings.Repeat("{}\n", 50)
	if err := os.WriteFile(path, []byte(before), 0o640); err != nil {
		t.Fatal(err)
	}
	j := start(t, Config{Dir: dir, MaxBytes: 100, Keep: 2}, disk{})
	mustWrite(t, j, API, "{}")
	closeNow(t, j)
	if old, new := read(t, path+".1"), read(t, path); old != before || new != "{}\n" {
		t.Errorf("%q and %q", old, new)
	}
}

func TestLineLongerThanAFileMayBeHasOneOfItsOwn(t *testing.T) {
	dir := t.TempDir()
	j := start(t, Config{Dir: dir, MaxBytes: 10, Keep: 5}, disk{})
	long := `"` + strings.Repeat("x", 200_000) + `"`
	for _, line := range []string{"1", long, "2"} {
		mustWrite(t, j, API, line)
	}
	closeNow(t, j)
	var got []string
	for _, file := range rotated(t, dir, API) {
		got = append(got, read(t, file))
	}
	if len(got) != 3 || got[0] != "1\n" || got[1] != long+"\n" || got[2] != "2\n" {
		t.Errorf("%d files, %.40q", len(got), got)
	}
}

func TestFileThatCannotBeRotatedGrowsAndIsComplainedOf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := newFakeDisk()
		var told reports
		j := start(t, Config{Dir: "log", MaxBytes: 10, Keep: 1, Report: told.add}, fake)
		fake.with(func() { fake.renameErr = syscall.EROFS })
		for range 5 {
			mustWrite(t, j, API, `{"n":1}`)
		}
		synctest.Wait()
		if list := told.take(); len(list) != 1 || !errors.Is(list[0], syscall.EROFS) || !strings.Contains(list[0].Error(), "api.jsonl") {
			t.Errorf("%v", list)
		}
		if got := strings.Count(fake.content("api.jsonl"), "{\"n\":1}\n"); got != 5 {
			t.Errorf("%d lines, want 5", got)
		}
		fake.with(func() { fake.renameErr = nil })
		<-time.After(reportEvery)
		mustWrite(t, j, API, `{"n":2}`)
		closeNow(t, j)
		if old, new := fake.content("api.jsonl.1"), fake.content("api.jsonl"); len(old) != 40 || new != "{\"n\":2}\n" {
			t.Errorf("%q and %q", old, new)
		}
	})
}

// logrotate's copytruncate: what counts is how big the file is, not how much was written.
func TestFileThatWasTruncatedIsNotRotatedTooEarly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		path := filepath.Join(dir, "api.jsonl")
		j := start(t, Config{Dir: dir, MaxBytes: 100, Keep: 2}, disk{})
		for range 30 {
			mustWrite(t, j, API, "{}")
		}
		synctest.Wait()
		if err := os.Truncate(path, 0); err != nil {
			t.Fatal(err)
		}
		<-time.After(retryEvery)
		for range 10 {
			mustWrite(t, j, API, "{}")
		}
		closeNow(t, j)
		if c := j.Counters(); c.Rotated != 0 || read(t, path) != strings.Repeat("{}\n", 10) {
			t.Errorf("%d rotations, %q", c.Rotated, read(t, path))
		}
	})
}

func TestLineThatAnEarlierProcessCutOffSpoilsNoOther(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "connection.jsonl")
	if err := os.WriteFile(path, []byte("{\"n\":1}\n{\"n\":"), 0o640); err != nil {
		t.Fatal(err)
	}
	j := start(t, Config{Dir: dir}, disk{})
	mustWrite(t, j, Connection, `{"n":3}`)
	closeNow(t, j)
	if got, want := read(t, path), "{\"n\":1}\n{\"n\":\n{\"n\":3}\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestFileThatLosesLinesWhenItIsClosedIsComplainedOf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := newFakeDisk()
		var told reports
		j := start(t, Config{Dir: "log", Report: told.add}, fake)
		fake.with(func() { fake.closeErr = syscall.EIO })
		for range 10 {
			j.Reopen()
			synctest.Wait()
		}
		if list := told.take(); len(list) != 1 || !errors.Is(list[0], syscall.EIO) {
			t.Errorf("%v", list)
		}
		fake.with(func() { fake.closeErr = nil })
		closeNow(t, j)
	})
}
