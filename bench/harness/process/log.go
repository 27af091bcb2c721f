package process

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// maxTail is how many lines a failure message shows.
const maxTail = 80

// Line is one line of the server's output. Attrs holds the members of a JSON
// line; numbers are json.Number, and groups are joined by dots ("udp.port").
type Line struct {
	Text  string
	Level string
	Msg   string
	Attrs map[string]any
}

// Counters returns the attributes that are whole numbers.
func (l Line) Counters() map[string]uint64 {
	out := make(map[string]uint64)
	for name, v := range l.Attrs {
		if n, ok := v.(json.Number); ok {
			if u, err := strconv.ParseUint(n.String(), 10, 64); err == nil {
				out[name] = u
			}
		}
	}
	return out
}

// isCrash reports whether the line tells of a panic, recovered or not, of an
// error of the Go runtime or of the race detector.
func (l Line) isCrash() bool {
	text := l.Text
	if l.Attrs != nil {
		text = l.Msg // a counter or a peer's text may have any name
	}
	for _, bad := range []string{"panic", "fatal error:", "WARNING: DATA RACE"} {
		if strings.Contains(text, bad) {
			return true
		}
	}
	return false
}

// parseLine reads one line of log; text that is not JSON (a stack trace, say)
// stays text.
func parseLine(text string) Line {
	line := Line{Text: text}
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.UseNumber()
	var members map[string]any
	if decoder.Decode(&members) != nil {
		return line
	}
	line.Attrs = make(map[string]any)
	flatten(line.Attrs, "", members)
	line.Level, _ = members["level"].(string)
	line.Msg, _ = members["msg"].(string)
	return line
}

func flatten(out map[string]any, prefix string, members map[string]any) {
	for name, v := range members {
		if group, ok := v.(map[string]any); ok {
			flatten(out, prefix+name+".", group)
			continue
		}
		out[prefix+name] = v
	}
}

// logBook collects lines and wakes those who wait for one. It keeps the last ones, between
// keep and twice as many; lines are numbered from the first that came.
type logBook struct {
	keep  int
	mu    sync.Mutex
	gone  int // lines that are not kept any more
	all   []Line
	crash *Line         // the first that tells of one, kept whatever comes later
	added chan struct{} // closed and replaced when a line is added
}

func newLogBook(keep int) *logBook { return &logBook{keep: keep, added: make(chan struct{})} }

// read fills the book until the process has closed its output.
func (b *logBook) read(r io.Reader) {
	scanner := bufio.NewScanner(r)
	scanner.Buffer(make([]byte, 0, 64<<10), 4<<20)
	for scanner.Scan() {
		b.add(scanner.Text())
	}
	_, _ = io.Copy(io.Discard, r) // a line beyond the limit must not block the server
}

func (b *logBook) add(text string) {
	line := parseLine(text)
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.crash == nil && line.isCrash() {
		b.crash = &line
	}
	if len(b.all) >= 2*b.keep {
		n := copy(b.all, b.all[len(b.all)-b.keep:])
		clear(b.all[n:])
		b.gone, b.all = b.gone+len(b.all)-n, b.all[:n]
	}
	b.all = append(b.all, line)
	close(b.added)
	b.added = make(chan struct{})
}

// len returns how many lines there were so far, which is the number of the next.
func (b *logBook) len() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.gone + len(b.all)
}

// lines returns those that are kept, in their order.
func (b *logBook) lines() []Line {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.all)
}

// crashed returns the first line that tells of a crash, or nil.
func (b *logBook) crashed() *Line {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.crash
}

// text returns the last lines as they came; of the long lines of counters only the
// last one.
func (b *logBook) text() string {
	all := b.lines()
	seen := false
	for i := len(all) - 1; i >= 0; i-- {
		if all[i].Msg == "counters" {
			if seen {
				all = slices.Delete(all, i, i+1)
			}
			seen = true
		}
	}
	if len(all) > maxTail {
		all = all[len(all)-maxTail:]
	}
	texts := make([]string, len(all))
	for i, line := range all {
		texts[i] = line.Text
	}
	return strings.Join(texts, "\n")
}

// waitFor returns the first kept line from number `from` on that matches, or nil when
// the time is up, ctx has ended or the process has ended without one.
func (b *logBook) waitFor(ctx context.Context, from int, timeout time.Duration, exited <-chan struct{}, match func(Line) bool) *Line {
	deadline := time.NewTimer(timeout)
	defer deadline.Stop()
	gone := false
	for {
		b.mu.Lock()
		added := b.added
		for from = max(from, b.gone); from < b.gone+len(b.all); from++ {
			if line := b.all[from-b.gone]; match(line) {
				b.mu.Unlock()
				return &line
			}
		}
		b.mu.Unlock()
		if gone {
			return nil
		}
		select {
		case <-added:
		case <-exited:
			gone = true // look once more: the last lines may just have come
		case <-deadline.C:
			return nil
		case <-ctx.Done():
			return nil
		}
	}
}
