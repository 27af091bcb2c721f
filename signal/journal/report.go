package journal

import (
	"fmt"
	"time"
)

// reportEvery bounds how often the operator is told of one thing.
const reportEvery = time.Minute

// Failure says that a log file cannot be written. It comes when that begins and once a
// minute as long as it lasts.
type Failure struct {
	Path  string // of the file that failed last
	Err   error
	Files int    // that cannot be written now
	Lost  uint64 // lines since the last time that something was said
}

func (f *Failure) Error() string {
	return fmt.Sprintf("log file %s cannot be written: %v (%d files fail, %d lines lost)", f.Path, f.Err, f.Files, f.Lost)
}

// Unwrap is the error of the operating system.
func (f *Failure) Unwrap() error { return f.Err }

// Recovery says that all log files can be written again.
type Recovery struct {
	After time.Duration // since the first of them failed
	Lost  uint64        // lines within that time
}

func (r *Recovery) Error() string {
	return fmt.Sprintf("log files are written again after %s: %d lines lost", r.After.Round(time.Second), r.Lost)
}

// Overflow says that lines came faster than the disk took them, or were too long.
type Overflow struct {
	Dropped uint64 // lines since the last time that this was said
}

func (o *Overflow) Error() string {
	return fmt.Sprintf("%d log lines dropped: they came faster than the disk takes them, or are longer than %d bytes", o.Dropped, MaxLine)
}

// reporter calls Config.Report on its own goroutine, so that neither the writer waits for
// it nor it for a writer that is stuck in a system call.
type reporter struct {
	report   func(error)
	counters *counters
	mail     chan error    // from the writer
	overflow chan struct{} // from Write; holds one
	done     chan struct{}
}

// reporterMail is more than the writer says while one report is made: it keeps to
// reportEvery itself.
const reporterMail = 8

func newReporter(report func(error), c *counters) *reporter {
	if report == nil {
		report = func(error) {}
	}
	return &reporter{report: report, counters: c, mail: make(chan error, reporterMail),
		overflow: make(chan struct{}, 1), done: make(chan struct{})}
}

// tell hands a report over; where Report takes minutes for each, newer ones are left out.
func (r *reporter) tell(err error) {
	select {
	case r.mail <- err:
	default:
	}
}

func (r *reporter) overflowed() {
	select {
	case r.overflow <- struct{}{}:
	default:
	}
}

// run ends when the writer closes the mail.
func (r *reporter) run() {
	defer close(r.done)
	var told uint64       // dropped lines that were reported
	var quiet *time.Timer // until overflows may be reported again
	var quietOver <-chan time.Time
	say := func() {
		if dropped := r.counters.dropped.Load(); dropped > told {
			r.report(&Overflow{Dropped: dropped - told})
			told = dropped
			quiet = time.NewTimer(reportEvery)
			quietOver = quiet.C
		}
	}
	for {
		select {
		case err, open := <-r.mail:
			if !open {
				if quiet != nil {
					quiet.Stop()
				}
				quietOver = nil
				say() // the end of the process is no time to be silent
				return
			}
			r.report(err)
		case <-r.overflow:
			if quietOver == nil {
				say()
			}
		case <-quietOver:
			quietOver = nil
			say()
		}
	}
}
