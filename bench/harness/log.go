package harness

import (
	"encoding/json"
	"slices"
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

// counters returns the attributes that are whole numbers.
func (l Line) counters() map[string]uint64 {
	out := make(map[string]uint64)
	for name, v := range l.Attrs {
		if n, ok := v.(json.Number); ok {
			if i, err := n.Int64(); err == nil && i >= 0 {
				out[name] = uint64(i)
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

// logBook collects lines and wakes those who wait for one.
type logBook struct {
	mu    sync.Mutex
	all   []Line
	added chan struct{} // closed and replaced when a line is added
}

func newLogBook() *logBook { return &logBook{added: make(chan struct{})} }

func (b *logBook) add(text string) {
	line := parseLine(text)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.all = append(b.all, line)
	close(b.added)
	b.added = make(chan struct{})
}

func (b *logBook) len() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.all)
}

func (b *logBook) lines(from int) []Line {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]Line(nil), b.all[from:]...)
}

// text returns the last lines as they came; of the long lines of counters only the
// last one.
func (b *logBook) text() string {
	all := b.lines(0)
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

// waitFor returns the first line from index `from` on that matches, or nil when
// the time is up or the process has ended without one.
func (b *logBook) waitFor(from int, timeout time.Duration, exited <-chan struct{}, match func(Line) bool) *Line {
	deadline := time.NewTimer(timeout)
	defer deadline.Stop()
	gone := false
	for {
		b.mu.Lock()
		added := b.added
		for ; from < len(b.all); from++ {
			if match(b.all[from]) {
				line := b.all[from]
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
		}
	}
}

// WaitLog returns the first line, from the start of the server on, that matches.
// It fails the test when none comes in time.
func (s *Server) WaitLog(timeout time.Duration, what string, match func(Line) bool) Line {
	s.t.Helper()
	line := s.log.waitFor(0, timeout, s.exited, match)
	if line == nil {
		s.t.Fatalf("harness: no line about %s within %v:\n%s", what, timeout, s.log.text())
		return Line{}
	}
	return *line
}
