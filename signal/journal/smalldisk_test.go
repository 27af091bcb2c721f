package journal

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// smallDisk is a directory on a real file system of which the file of kind k cannot be
// written because it is full, and what makes room again. It is a mount of 64 KiB that is
// filled, or, for who may not mount, a way to /dev/full.
func smallDisk(t *testing.T, k Kind) (dir string, free func()) {
	t.Helper()
	dir = t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=65536"); err != nil {
		t.Logf("no mount (%v): /dev/full has to do", err)
		path := filepath.Join(dir, k.File())
		if err := os.Symlink("/dev/full", path); err != nil {
			t.Fatal(err)
		}
		return dir, func() {
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
		}
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	filler := filepath.Join(dir, "filler")
	if err := os.WriteFile(filler, make([]byte, 1<<20), 0o600); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("the disk is not full: %v", err)
	}
	return dir, func() {
		if err := os.Remove(filler); err != nil {
			t.Fatal(err)
		}
	}
}

func TestFullDiskOfTheSystemIsReportedAndRecovers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir, free := smallDisk(t, Connection)
		var told reports
		j := start(t, Config{Dir: dir, Report: told.add}, disk{})
		taken := offer(j, Connection, 0, 10) // the writer may be so quick that the last ones are refused
		if taken == 0 {
			t.Fatal("refused before the disk was tried")
		}
		synctest.Wait()
		if list := told.take(); len(list) != 1 || !errors.Is(list[0], syscall.ENOSPC) {
			t.Fatalf("%v", list)
		}
		if offer(j, Connection, 10, 10) != 0 {
			t.Error("lines are taken although the disk is full")
		}
		free()
		<-time.After(2 * retryEvery)
		synctest.Wait()
		var r *Recovery
		if list := told.take(); len(list) != 1 || !errors.As(list[0], &r) || r.Lost != uint64(20-taken) {
			t.Fatalf("%v", list)
		}
		if offer(j, Connection, 20, 10) != 10 {
			t.Error("refused although there is room")
		}
		closeNow(t, j)
		if n := wholeLines(t, read(t, filepath.Join(dir, "connection.jsonl"))); n != taken+10 {
			t.Errorf("%d lines, want %d", n, taken+10)
		}
	})
}
