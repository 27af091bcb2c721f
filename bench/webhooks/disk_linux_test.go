package webhooks

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"tsubame/bench/bot"
	"tsubame/bench/harness"
)

// tinyDisk mounts a file system of 64 KiB.
func tinyDisk(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=64k"); err != nil {
		t.Fatalf("this test mounts a small tmpfs, which takes root: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// A disk that is full is told of, on standard error and in log_written, and is no reason for
// any call to end or not to begin. When there is room again, lines are written again.
func TestFullDiskEndsNoCall(t *testing.T) {
	t.Parallel()
	dir := tinyDisk(t)
	// Few lines a second, so that room is not gone at once when there is some.
	w := start(t, willing(t), settings{"log_dir": dir, "connection_updated_webhook_interval": "1 s", "signaling_log": "false"})
	stays := w.enter("stays", bot.SendRecv)
	w.requireUpdated(stays, true)
	filler := filepath.Join(dir, "filler")
	fill(t, filler)
	w.requireUpdated(stays, false)
	w.WaitLog(patience, "the full disk", func(l harness.Line) bool {
		return (l.Level == "ERROR" || l.Level == "WARN") && strings.Contains(l.Text, "no space left")
	})
	late := w.enter("stays", bot.RecvOnly)
	requireMoving(t, stays)
	requireMoving(t, late)
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	w.requireUpdated(stays, true)
	for _, b := range []*bot.Bot{late, stays} {
		leave(t, b)
		w.line("connection.jsonl", having("connection_id", b.ID()))
	}
}

// requireUpdated waits for a connection.updated that says whether its line was written.
func (w *world) requireUpdated(b *bot.Bot, written bool) {
	w.t.Helper()
	fits, from := match(event, map[string]string{"type": "connection.updated", "connection_id": b.ID()}), time.Now()
	_, err := w.app.Wait(within(w.t), 1, func(r *Request) bool {
		return fits(r) && r.Body["log_written"] == written && r.Arrived.After(from)
	})
	if err != nil {
		w.t.Fatalf("log_written is never %v: %v; files: %v\n%s", written, err, sizes(w.t, w.logs), w.tail())
	}
}

// sizes are those of the files in a directory.
func sizes(t *testing.T, dir string) map[string]int64 {
	t.Helper()
	all := map[string]int64{}
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if info, err := f.Info(); err == nil {
			all[f.Name()] = info.Size()
		}
	}
	return all
}

// fill writes a file until there is no room.
func fill(t *testing.T, file string) {
	t.Helper()
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for size := 1 << 12; size > 0; size /= 2 {
		for err = nil; err == nil; {
			_, err = f.Write(make([]byte, size))
		}
	}
}
