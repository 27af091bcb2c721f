// Package journal writes the log files of a server: one JSON object per line, one file
// per kind of event, so that what a call did can be read later without asking the server.
// It takes finished lines; it does not know what they say, apart from those of the
// server's own log, which [Journal.Handler] lays out.
//
// It never makes a caller wait and never lets a call fail: lines go into one bounded queue
// (see [Config]), one goroutine writes them in the order in which they came, and what has
// no room or cannot be written is dropped, counted and told to [Config.Report].
//
// Every function may be called from any goroutine. Lines are copied: the memory is the
// caller's again when Write returns.
package journal

import (
	"context"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"
)

// Kind says which file a line belongs to.
type Kind uint8

// The files of a server, in the order of the documentation.
const (
	Server       Kind = iota // sora.jsonl: start, stop, problems
	Cluster                  // cluster.jsonl
	Auth                     // auth_webhook.jsonl
	AuthError                // auth_webhook_error.jsonl
	Session                  // session_webhook.jsonl
	SessionError             // session_webhook_error.jsonl
	Event                    // event_webhook.jsonl
	EventError               // event_webhook_error.jsonl
	Stats                    // stats_webhook.jsonl
	StatsError               // stats_webhook_error.jsonl
	Signaling                // signaling.jsonl
	API                      // api.jsonl
	Connection               // connection.jsonl: one line per finished connection
	SessionLog               // session.jsonl: one line per finished session
	RTCStats                 // rtc_stats.jsonl
	kinds
)

var fileNames = [kinds]string{
	"sora.jsonl", "cluster.jsonl",
	"auth_webhook.jsonl", "auth_webhook_error.jsonl",
	"session_webhook.jsonl", "session_webhook_error.jsonl",
	"event_webhook.jsonl", "event_webhook_error.jsonl",
	"stats_webhook.jsonl", "stats_webhook_error.jsonl",
	"signaling.jsonl", "api.jsonl", "connection.jsonl", "session.jsonl", "rtc_stats.jsonl",
}

// File is the name of the file within the directory.
func (k Kind) File() string {
	if k >= kinds {
		return fmt.Sprintf("kind-%d", k)
	}
	return fileNames[k]
}

// Bounds that hold where Config says nothing. At 10,000 lines a second of 400 bytes the
// queue holds what comes in 4 s: longer than a disk stalls that still works.
const (
	DefaultQueueBytes = 16 << 20
	DefaultQueueLines = 1 << 16

	// MaxLine is the longest line, in bytes. Longer ones are dropped: half a JSON object
	// is none.
	MaxLine = 1 << 20
)

// Config says where the files are and how big they may get.
type Config struct {
	Dir string // of the files; made if it is missing. Empty: there are no files

	// MaxBytes is the size in bytes at which a file becomes file.1, and file.1 file.2, and
	// so on; 0: files grow, as those of Sora do, and are moved away by somebody else.
	MaxBytes int64
	Keep     int // how many rotated files of each kind are kept; 0: none. Those of a larger Keep before stay

	// What waits to be written, at most. The memory is twice that: one queue is filled
	// while the other one is written. The last quarter is for Server, Cluster, API, Connection
	// and SessionLog only: of the others clients decide how many there are and how long.
	// 0: DefaultQueueBytes, DefaultQueueLines.
	QueueBytes, QueueLines int

	// Version and Node are the members sora_version and node of the server's own log.
	Version, Node string

	// Report is told a *Failure, a *Recovery, an *Overflow, or another error (a file that
	// cannot be rotated or closed), each at most once a minute, on a goroutine of its own:
	// it may block, log (into this journal too) and take its time. nil: nobody is told,
	// Counters still count.
	Report func(error)
}

// Journal is the set of files. The zero value is of no use: see [Open].
type Journal struct {
	cfg      Config
	queue    queue
	broken   [kinds]atomic.Bool // set by the writer: lines of this kind have no way to the disk now
	reopen   atomic.Bool
	wake     chan struct{} // there is something to do for the writer; holds one
	writer   *writer
	reporter *reporter
	counters counters
	closing  sync.Once
}

// Open makes the directory, opens sora.jsonl in it and starts to write. What is wrong with
// the directory is said here, once; later it is told to Config.Report. The other files
// appear with their first line. Without a directory nothing is started, and every Write
// returns false.
func Open(cfg Config) (*Journal, error) { return open(cfg, disk{}) }

func open(cfg Config, fs fileSystem) (*Journal, error) {
	if cfg.QueueBytes <= 0 {
		cfg.QueueBytes = DefaultQueueBytes
	}
	if cfg.QueueLines <= 0 {
		cfg.QueueLines = DefaultQueueLines
	}
	j := &Journal{cfg: cfg, wake: make(chan struct{}, 1)}
	j.queue.maxBytes, j.queue.maxLines = cfg.QueueBytes, cfg.QueueLines
	if cfg.Dir == "" {
		j.queue.closed = true
		return j, nil
	}
	j.reporter = newReporter(cfg.Report, &j.counters)
	j.writer = newWriter(j, fs)
	if err := j.writer.files[Server].open(time.Now()); err != nil {
		return nil, fmt.Errorf("log directory %s: %w", cfg.Dir, err)
	}
	go j.reporter.run()
	go j.writer.run()
	return j, nil
}

// Write hands a line over, without its newline. It never waits for a disk. False says that
// the line is not going to be in its file: the queue is full, the file cannot be written
// now (disk full, directory gone), the line is empty or longer than MaxLine, or there is no
// directory. True is a promise only as far as the disk keeps it: a line that is in the
// queue when the disk fills up may be lost, and is then counted.
//
// Newlines within the line become spaces, so that a line stays one.
func (j *Journal) Write(k Kind, line []byte) bool {
	if j.cfg.Dir == "" || k >= kinds || len(line) == 0 {
		return false
	}
	if j.broken[k].Load() {
		j.counters.lost.Add(1)
		return false
	}
	if len(line) > MaxLine {
		j.drop()
		return false
	}
	switch j.queue.put(k, line) {
	case putFirst:
		j.poke()
		return true
	case put:
		return true
	case full:
		j.drop()
	}
	return false
}

func (j *Journal) drop() {
	j.counters.dropped.Add(1)
	j.reporter.overflowed()
}

// poke wakes the writer; one that is awake already looks again before it sleeps.
func (j *Journal) poke() {
	select {
	case j.wake <- struct{}{}:
	default:
	}
}

// Reopen closes the files and opens them by name again, as after SIGUSR1 or SIGHUP: what
// was moved away keeps its lines, and a new file takes the next ones. It does not wait for
// that. Moved and deleted files are noticed without it, within a second of the next line.
func (j *Journal) Reopen() {
	j.reopen.Store(true)
	j.poke()
}

// Close writes what waits, closes the files and ends the goroutines. Lines that come
// meanwhile are refused. It returns an error if the context ends before that, or if lines
// that waited could not be written. Another call waits for the same end.
func (j *Journal) Close(ctx context.Context) error {
	if j.writer == nil {
		return nil
	}
	j.closing.Do(func() {
		j.queue.close()
		j.poke()
	})
	for _, done := range []chan struct{}{j.writer.done, j.reporter.done} {
		select {
		case <-done:
		case <-ctx.Done():
			return fmt.Errorf("log files in %s: not all is written: %w", j.cfg.Dir, ctx.Err())
		}
	}
	return j.writer.failed
}

// Counters say what became of the lines since Open.
type Counters struct {
	Written      uint64 // lines that are in their files
	WrittenBytes uint64 // with newlines
	Dropped      uint64 // lines refused because the queue was full, or longer than MaxLine
	Lost         uint64 // lines refused or lost because their file could not be written
	Failures     uint64 // times that a file became one that cannot be written
	Reopened     uint64 // times that a file was opened again by its name
	Rotated      uint64 // times that a file had its full size
	Failing      int    // files that cannot be written at this moment
	Waiting      int    // bytes in the queue
}

type counters struct {
	written, writtenBytes, dropped, lost, failures, reopened, rotated atomic.Uint64
	failing                                                           atomic.Int64
}

// Counters reads the counters; each of them is exact, all of them together are not of one
// moment.
func (j *Journal) Counters() Counters {
	c := &j.counters
	return Counters{
		Written: c.written.Load(), WrittenBytes: c.writtenBytes.Load(),
		Dropped: c.dropped.Load(), Lost: c.lost.Load(), Failures: c.failures.Load(),
		Reopened: c.reopened.Load(), Rotated: c.rotated.Load(),
		Failing: int(c.failing.Load()), Waiting: j.queue.waiting(),
	}
}

func (j *Journal) path(k Kind) string { return filepath.Join(j.cfg.Dir, k.File()) }
