package journal

import (
	"bytes"
	"fmt"
	"time"
)

// pendingBytes is how much of a file is written with one system call, and how much of it
// is kept while it cannot be written. A line that is longer is pending alone.
const pendingBytes = 64 << 10

// logFile is one file. Only the writer touches it.
type logFile struct {
	writer *writer
	kind   Kind
	path   string

	f       file // nil: not open
	used    bool // it has been open: Reopen makes it again
	size    int64
	checked time.Time // when path was seen to lead to f

	pending []byte // whole lines that are not in the file yet
	partial int    // bytes of the first pending line that are in f: a disk may fill up within a line

	err     error     // why it cannot be written now
	retry   time.Time // when it is tried again
	rotates time.Time // when a rotation that failed is tried again
}

// add makes a line pending. What has no room while the file cannot be written is lost.
func (f *logFile) add(line []byte, now time.Time) {
	if f.f == nil && f.err == nil { // how big it is has to be known
		if err := f.open(now); err != nil {
			f.fail(err, now)
		}
	}
	rotate := f.tooBig(len(line)) && !now.Before(f.rotates)
	if rotate || len(f.pending)+len(line) > pendingBytes {
		f.flush(now)
	}
	if f.err != nil && len(f.pending)+len(line) > pendingBytes {
		f.writer.journal.counters.lost.Add(1)
		return
	}
	if rotate && len(f.pending) == 0 && f.f != nil {
		f.rotate(len(line), now)
	}
	f.pending = append(f.pending, line...)
}

// tooBig says whether a file that has something in it would get bigger than it may.
func (f *logFile) tooBig(line int) bool {
	size := f.size + int64(len(f.pending)-f.partial)
	most := f.writer.journal.cfg.MaxBytes
	return most > 0 && size > 0 && size+int64(line) > most
}

// flush writes what is pending, into a new file if the old one was moved or deleted. A
// file that failed is tried when its time has come, even with nothing pending: Write
// refuses lines for it until it works.
func (f *logFile) flush(now time.Time) {
	if f.err != nil && now.Before(f.retry) {
		return
	}
	if f.err == nil && len(f.pending) == 0 {
		return
	}
	f.notice(now)
	if f.f == nil {
		if err := f.open(now); err != nil {
			f.fail(err, now)
			return
		}
	}
	if len(f.pending) > 0 {
		if err := f.append(); err != nil {
			f.fail(err, now)
			return
		}
	}
	f.recovered()
}

// append writes the pending lines, and keeps those that are not in the file in whole.
func (f *logFile) append() error {
	n, err := f.f.Write(f.pending[f.partial:])
	if err == nil && n < len(f.pending)-f.partial {
		err = fmt.Errorf("%d of %d bytes written", n, len(f.pending)-f.partial)
	}
	f.size += int64(n)
	written := f.partial + n
	whole := bytes.LastIndexByte(f.pending[:written], '\n') + 1
	f.writer.journal.counters.written.Add(uint64(bytes.Count(f.pending[:whole], newline)))
	f.writer.journal.counters.writtenBytes.Add(uint64(whole))
	f.partial = written - whole
	f.pending = f.pending[:copy(f.pending, f.pending[whole:])]
	if cap(f.pending) > 2*pendingBytes && len(f.pending) == 0 {
		f.pending = nil // a long line came by
	}
	return err
}

var newline = []byte{'\n'}

// notice closes a file that was moved away or deleted. It looks once a second.
func (f *logFile) notice(now time.Time) {
	if f.f != nil && (now.Sub(f.checked) >= retryEvery || now.Before(f.checked)) {
		f.look(now)
	}
}

// look closes the file if it is no longer at its path, and says whether it still is.
func (f *logFile) look(now time.Time) bool {
	f.checked = now
	if !f.writer.fs.isAt(f.f, f.path) {
		f.writer.journal.counters.reopened.Add(1)
		f.closeFor(now)
		return false
	}
	// Somebody may have copied and truncated it.
	if size, err := f.f.size(); err == nil {
		if size < f.size {
			f.partial = 0
		}
		f.size = size
	}
	return true
}

// open opens the file for appending and makes it, and its directory, if they are missing.
// A last line that was cut off when a process ended gets its newline, so that the next one
// is whole.
func (f *logFile) open(now time.Time) error {
	opened, err := f.writer.fs.open(f.path)
	if err != nil {
		if mkErr := f.writer.fs.mkdirAll(f.writer.journal.cfg.Dir); mkErr != nil {
			return mkErr
		}
		if opened, err = f.writer.fs.open(f.path); err != nil {
			return err
		}
	}
	size, err := opened.size()
	if err != nil {
		opened.Close()
		return err
	}
	var last [1]byte
	if size > 0 {
		if _, err := opened.ReadAt(last[:], size-1); err == nil && last[0] != '\n' {
			n, err := opened.Write(newline)
			if err != nil {
				opened.Close()
				return err
			}
			size += int64(n)
		}
	}
	f.f, f.size, f.checked, f.used, f.partial = opened, size, now, true, 0
	return nil
}

// reopen opens a file by its name again. One that failed is tried at once.
func (f *logFile) reopen(now time.Time) {
	if !f.used {
		return
	}
	f.writer.journal.counters.reopened.Add(1)
	f.closeFor(now)
	if err := f.open(now); err != nil {
		f.fail(err, now)
		return
	}
	f.retry = now
}

// closeFor closes a file that another one takes the place of. A line of which it has a part
// goes into the new one in whole. What close reports is of lines that Write has taken:
// the operator is told.
func (f *logFile) closeFor(now time.Time) {
	if err := f.close(); err != nil {
		f.writer.complain(fmt.Errorf("log file %s may lack its last lines: %w", f.path, err), now)
	}
}

func (f *logFile) close() error {
	if f.f == nil {
		return nil
	}
	err := f.f.Close()
	f.f, f.partial, f.size = nil, 0, 0
	return err
}

// rotate makes file.N-1 file.N and so on, file file.1. If it cannot, the file grows: a log
// that is too big is better than none.
func (f *logFile) rotate(line int, now time.Time) {
	if !f.look(now) || !f.tooBig(line) { // somebody was faster
		return
	}
	if err := f.shift(); err != nil {
		f.rotates = now.Add(reportEvery)
		f.writer.complain(fmt.Errorf("log file %s cannot be rotated and grows on: %w", f.path, err), now)
		return
	}
	f.writer.journal.counters.rotated.Add(1)
	f.closeFor(now)
}

func (f *logFile) shift() error {
	fs, keep := f.writer.fs, f.writer.journal.cfg.Keep
	if keep < 1 {
		return fs.remove(f.path)
	}
	free := 1 // a number that is missing is room enough
	for free < keep && fs.exists(f.numbered(free)) {
		free++
	}
	for i := free; i > 1; i-- {
		if err := fs.rename(f.numbered(i-1), f.numbered(i)); err != nil {
			return err
		}
	}
	return fs.rename(f.path, f.numbered(1))
}

func (f *logFile) numbered(i int) string { return fmt.Sprintf("%s.%d", f.path, i) }

// fail marks the file as one that cannot be written.
func (f *logFile) fail(err error, now time.Time) {
	j, w := f.writer.journal, f.writer
	if f.err == nil {
		j.counters.failures.Add(1)
		j.counters.failing.Add(1)
		j.broken[f.kind].Store(true)
	}
	if w.outage.IsZero() {
		w.outage = now
	}
	f.err, f.retry = err, now.Add(retryEvery)
	w.path, w.cause = f.path, err
}

func (f *logFile) recovered() {
	if f.err != nil {
		f.err = nil
		f.writer.journal.counters.failing.Add(-1)
		f.writer.journal.broken[f.kind].Store(false)
	}
}

// abandon gives up what is pending and returns how many lines that were.
func (f *logFile) abandon() int {
	n := bytes.Count(f.pending, newline)
	f.writer.journal.counters.lost.Add(uint64(n))
	f.pending = nil
	return n
}
