package journal

import (
	"io/fs"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
)

// fakeDisk is a file system in memory that fills up, loses its directory, refuses and
// stands still as a test wants.
type fakeDisk struct {
	mu        sync.Mutex
	files     map[string]*node
	limited   bool
	room      int   // bytes, if limited
	openErr   error // of every open
	mkdirErr  error // of every mkdirAll
	renameErr error
	closeErr  error
	noDir     bool // the directory is gone
	writes    int
	stall     chan struct{} // not nil: writes wait for its end
}

// node is what a path leads to, as an inode.
type node struct{ data []byte }

type fakeFile struct {
	disk *fakeDisk
	node *node
}

func newFakeDisk() *fakeDisk { return &fakeDisk{files: make(map[string]*node)} }

func (d *fakeDisk) with(f func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	f()
}

func (d *fakeDisk) content(name string) string {
	d.mu.Lock()
	defer d.mu.Unlock()
	if n := d.files[name]; n != nil {
		return string(n.data)
	}
	return ""
}

func (d *fakeDisk) mkdirAll(string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.mkdirErr == nil {
		d.noDir = false
	}
	return d.mkdirErr
}

func (d *fakeDisk) open(path string) (file, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.openErr != nil {
		return nil, d.openErr
	}
	if d.noDir {
		return nil, fs.ErrNotExist
	}
	n := d.files[filepath.Base(path)]
	if n == nil {
		n = new(node)
		d.files[filepath.Base(path)] = n
	}
	return &fakeFile{d, n}, nil
}

func (d *fakeDisk) rename(from, to string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.renameErr != nil {
		return d.renameErr
	}
	n := d.files[filepath.Base(from)]
	if n == nil {
		return fs.ErrNotExist
	}
	delete(d.files, filepath.Base(from))
	d.files[filepath.Base(to)] = n
	return nil
}

func (d *fakeDisk) remove(path string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.files, filepath.Base(path))
	return nil
}

func (d *fakeDisk) exists(path string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.files[filepath.Base(path)] != nil
}

func (d *fakeDisk) isAt(f file, path string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return !d.noDir && d.files[filepath.Base(path)] == f.(*fakeFile).node
}

func (f *fakeFile) Write(p []byte) (int, error) {
	d := f.disk
	d.mu.Lock()
	defer d.mu.Unlock()
	if stall := d.stall; stall != nil {
		d.mu.Unlock()
		<-stall
		d.mu.Lock()
	}
	d.writes++
	n := len(p)
	if d.limited {
		n = min(n, d.room)
		d.room -= n
	}
	f.node.data = append(f.node.data, p[:n]...)
	if n < len(p) {
		return n, syscall.ENOSPC
	}
	return n, nil
}

func (f *fakeFile) ReadAt(p []byte, off int64) (int, error) {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	return copy(p, f.node.data[off:]), nil
}

func (f *fakeFile) size() (int64, error) {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	return int64(len(f.node.data)), nil
}

func (f *fakeFile) Close() error {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	return f.disk.closeErr
}

// reports collects what Config.Report is told.
type reports struct {
	mu   sync.Mutex
	list []error
}

func (r *reports) add(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.list = append(r.list, err)
}

// take returns what has come since the last time.
func (r *reports) take() []error {
	r.mu.Lock()
	defer r.mu.Unlock()
	list := r.list
	r.list = nil
	return list
}

// start opens a journal; the end of the test closes it.
func start(t testing.TB, cfg Config, on fileSystem) *Journal {
	t.Helper()
	j, err := open(cfg, on)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { j.Close(t.Context()) })
	return j
}
