package journal

import (
	"errors"
	"fmt"
	"time"
)

// retryEvery is how long a file that failed is left alone before it is tried again, and
// how old the knowledge may be that a path still leads to the open file.
const retryEvery = time.Second

// writer is the one goroutine that touches the files.
type writer struct {
	journal *Journal
	fs      fileSystem
	files   [kinds]logFile
	done    chan struct{}
	failed  error // of the end; read after done is closed

	outage  time.Time // when the first file failed; zero: all is well
	path    string    // that failed last, and why
	cause   error
	told    bool      // the outage was reported
	quiet   time.Time // when the next report may be made
	counted uint64    // lost lines that have been reported

	complained time.Time // when complain may tell again
}

func newWriter(j *Journal, fs fileSystem) *writer {
	w := &writer{journal: j, fs: fs, done: make(chan struct{})}
	for k := range kinds {
		w.files[k] = logFile{kind: k, path: j.path(k), writer: w}
	}
	return w
}

func (w *writer) run() {
	defer close(w.done)
	defer close(w.journal.reporter.mail)
	var spare batch
	timer := time.NewTimer(retryEvery)
	defer timer.Stop()
	for {
		if w.journal.reopen.CompareAndSwap(true, false) {
			w.reopen(time.Now())
		}
		batch, ended := w.journal.queue.take(spare)
		w.write(&batch, time.Now())
		batch.reset()
		spare = batch
		if ended {
			w.close()
			return
		}
		if w.outage.IsZero() {
			<-w.journal.wake
			continue
		}
		timer.Reset(retryEvery)
		select {
		case <-w.journal.wake:
		case <-timer.C:
		}
	}
}

// write appends a batch to the files and flushes all of them, retries those that failed
// when it is time, and reports.
func (w *writer) write(b *batch, now time.Time) {
	data := b.data
	for _, line := range b.lines {
		w.files[line.kind].add(data[:line.size], now)
		data = data[line.size:]
	}
	for k := range w.files {
		f := &w.files[k]
		if len(f.pending) > 0 || f.err != nil {
			f.flush(now)
		}
	}
	w.report(now)
}

func (w *writer) reopen(now time.Time) {
	for k := range w.files {
		w.files[k].reopen(now)
	}
}

// close gives every file a last chance.
func (w *writer) close() {
	lost, now := 0, time.Now()
	var errs []error
	for k := range w.files {
		f := &w.files[k]
		f.retry = now
		f.flush(now)
		if n := f.abandon(); n > 0 {
			lost += n
			errs = append(errs, f.err)
		}
		if err := f.close(); err != nil {
			errs = append(errs, err)
		}
	}
	w.report(now)
	if len(errs) > 0 {
		w.failed = fmt.Errorf("log files in %s: %d lines lost at the end: %w", w.journal.cfg.Dir, lost, errors.Join(errs...))
	}
}

// complain tells of what is not an outage, once a minute.
func (w *writer) complain(err error, now time.Time) {
	if !now.Before(w.complained) {
		w.complained = now.Add(reportEvery)
		w.journal.reporter.tell(err)
	}
}

// report keeps to one failure or recovery a minute, a recovery that follows on its
// failure apart. What is not said yet is said when the minute is over: an outage is not
// forgotten because another one was reported just before.
func (w *writer) report(now time.Time) {
	if w.outage.IsZero() {
		return
	}
	failing := int(w.journal.counters.failing.Load())
	lost := w.journal.counters.lost.Load()
	due := !now.Before(w.quiet)
	switch {
	case failing > 0 && due:
		w.journal.reporter.tell(&Failure{Path: w.path, Err: w.cause, Files: failing, Lost: lost - w.counted})
		w.told, w.counted, w.quiet = true, lost, now.Add(reportEvery)
	case failing == 0 && (due || w.told):
		w.journal.reporter.tell(&Recovery{After: now.Sub(w.outage), Lost: lost - w.counted})
		w.counted, w.quiet = lost, now.Add(reportEvery)
		w.outage, w.told = time.Time{}, false
	}
}
