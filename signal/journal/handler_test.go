package journal

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"regexp"
	"strings"
	"sync"
	"testing"
	"testing/slogtest"
	"time"
)

// logged opens a journal, lets f log, and returns the lines of sora.jsonl.
func logged(t testing.TB, opts slog.HandlerOptions, f func(*slog.Logger)) []string {
	t.Helper()
	fake := newFakeDisk()
	j := start(t, Config{Dir: "log", Version: "2026.1", Node: "node-a"}, fake)
	f(slog.New(j.Handler(opts)))
	closeNow(t, j)
	return strings.SplitAfter(strings.TrimSuffix(fake.content("sora.jsonl"), "\n"), "\n")
}

// object decodes a line.
func object(t testing.TB, line string) map[string]any {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal([]byte(line), &m); err != nil {
		t.Fatalf("%q: %v", line, err)
	}
	return m
}

func TestServerLogHasItsDocumentedLayout(t *testing.T) {
	at := time.Date(2026, 3, 4, 5, 6, 7, 89_012_345, time.FixedZone("JST", 9*3600))
	lines := logged(t, slog.HandlerOptions{}, func(l *slog.Logger) {
		r := slog.NewRecord(at, slog.LevelWarn, "DISK-FULL | no room", 0)
		r.Add("path", "/var/log", "wait", 90*time.Second, "n", 7, "err", errors.New("no space"))
		if err := l.Handler().Handle(t.Context(), r); err != nil {
			t.Error(err)
		}
	})
	layout := regexp.MustCompile(`^\{"id":"[0-9A-Z]{26}","level":"warning","msg":"DISK-FULL \| no room","domain":\["sora"\],` +
		`"sora_version":"2026\.1","node":"node-a","timestamp":"2026-03-03T20:06:07\.089012Z",` +
		`"path":"/var/log","wait":"1m30s","n":7,"err":"no space"\}$`)
	if len(lines) != 1 || !layout.MatchString(lines[0]) {
		t.Errorf("%q", lines)
	}
}

func TestLevelsHaveTheNamesOfTheDocumentation(t *testing.T) {
	levels := map[slog.Level]string{
		slog.LevelDebug - 4: "debug", slog.LevelDebug: "debug", slog.LevelInfo: "info", slog.LevelInfo + 2: "notice",
		slog.LevelWarn: "warning", slog.LevelError: "error", slog.LevelError + 4: "emergency",
	}
	for level, want := range levels {
		lines := logged(t, slog.HandlerOptions{Level: slog.LevelDebug - 4}, func(l *slog.Logger) { l.Log(t.Context(), level, "x") })
		if got := object(t, lines[0])["level"]; got != want {
			t.Errorf("%v: %v, want %s", level, got, want)
		}
	}
}

func TestLevelOfTheOptionsHolds(t *testing.T) {
	level := new(slog.LevelVar)
	lines := logged(t, slog.HandlerOptions{Level: level}, func(l *slog.Logger) {
		l.Debug("0")
		l.Info("1")
		level.Set(slog.LevelError)
		l.Warn("2")
		l.Error("3")
	})
	if len(lines) != 2 || object(t, lines[0])["msg"] != "1" || object(t, lines[1])["msg"] != "3" {
		t.Errorf("%q", lines)
	}
	lines = logged(t, slog.HandlerOptions{}, func(l *slog.Logger) { l.Debug("hidden unless asked for") })
	if lines[0] != "" {
		t.Errorf("%q", lines)
	}
}

func TestMembersAndAttributesOfTheSameNameDoNotMeet(t *testing.T) {
	lines := logged(t, slog.HandlerOptions{}, func(l *slog.Logger) {
		l = l.With("id", 1, "level", slog.LevelError, slog.Group("node", "a", 1))
		l.Info("text", "msg", "other", "timestamp", "now", "sora_version", 2, slog.Group("timestamp", "b", 2), "time", "noon",
			slog.Group("g", "id", 3))
	})
	m := object(t, lines[0])
	if m["msg"] != "text" || m["level"] != "info" || m["node"] != "node-a" || m["sora_version"] != "2026.1" {
		t.Errorf("members: %v", m)
	}
	if m["id_"] != 1.0 || m["level_"] != "ERROR" || m["msg_"] != "other" || m["sora_version_"] != 2.0 || m["time"] != "noon" {
		t.Errorf("attributes: %v", m)
	}
	if fmt.Sprint(m["node_"], m["g"]) != "map[a:1] map[id:3]" {
		t.Errorf("groups: %v, %v", m["node_"], m["g"])
	}
}

func TestDomainIsSetByAnAttribute(t *testing.T) {
	lines := logged(t, slog.HandlerOptions{}, func(l *slog.Logger) {
		l.With("domain", "webhook").Info("1")
		l.With("domain", "webhook").Info("2", "domain", []string{"sora", `a"b`})
		l.With("domain", 7).Info("3")
		l.WithGroup("g").Info("4", "domain", "inner")
	})
	for i, want := range []string{`["webhook"]`, `["sora","a\"b"]`, `["sora"]`, `["sora"]`} {
		got, _ := json.Marshal(object(t, lines[i])["domain"])
		if string(got) != want {
			t.Errorf("%d: %s, want %s", i+1, got, want)
		}
	}
	if g := fmt.Sprint(object(t, lines[3])["g"]); g != "map[domain:inner]" {
		t.Errorf("group: %s", g)
	}
}

func TestNothingInALineIsUnescaped(t *testing.T) {
	lines := logged(t, slog.HandlerOptions{}, func(l *slog.Logger) {
		l.Error("a\nb\x1b[31m\u0085\u2028\xff\"\\", "k\n", "v\n\x1b")
	})
	if len(lines) != 1 {
		t.Fatalf("%d lines", len(lines))
	}
	for _, r := range lines[0] {
		if r < 0x20 || r >= 0x7f && r < 0xa0 || r == 0x2028 {
			t.Errorf("%q is in %q", r, lines[0])
		}
	}
	if m := object(t, lines[0]); m["msg"] != "a\nb\x1b[31m\u0085\u2028\ufffd\"\\" || m["k\n"] != "v\n\x1b" {
		t.Errorf("%q", m)
	}
}

func TestReplaceAttrSeesAttributesAndNotMembers(t *testing.T) {
	var seen []string
	lines := logged(t, slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		seen = append(seen, a.Key)
		if a.Key == "password" {
			a.Value = slog.StringValue("***")
		}
		return a
	}}, func(l *slog.Logger) { l.Info("x", "password", "hunter2", "user", "ann") })
	if fmt.Sprint(seen) != "[password user]" || strings.Contains(lines[0], "hunter2") || !strings.Contains(lines[0], `"password":"***"`) {
		t.Errorf("%v: %s", seen, lines[0])
	}
}

func TestSourceIsWhereItWasLogged(t *testing.T) {
	lines := logged(t, slog.HandlerOptions{AddSource: true}, func(l *slog.Logger) { l.Info("x") })
	if source := fmt.Sprint(object(t, lines[0])["source"]); !strings.Contains(source, "handler_test.go") {
		t.Errorf("%s", source)
	}
}

// The rules of log/slog, as its own test has them. It looks for members under other names.
func TestHandlerKeepsTheRulesOfSlog(t *testing.T) {
	fake := newFakeDisk()
	j := start(t, Config{Dir: "log"}, fake)
	// slog wants no time where the record has none; a line of a log has one always.
	const zeroTime = 3 // the number of that record
	err := slogtest.TestHandler(j.Handler(slog.HandlerOptions{}), func() []map[string]any {
		closeNow(t, j)
		var all []map[string]any
		for line := range strings.Lines(fake.content("sora.jsonl")) {
			m := object(t, line)
			m["time"] = m["timestamp"]
			if len(all) == zeroTime {
				delete(m, "time")
			}
			for _, name := range []string{"id", "timestamp", "domain", "node", "sora_version"} {
				delete(m, name)
			}
			all = append(all, m)
		}
		return all
	})
	if err != nil {
		t.Error(err)
	}
}

func TestLogGoesToStderrToo(t *testing.T) {
	fake := newFakeDisk()
	j := start(t, Config{Dir: "log"}, fake)
	var text bytes.Buffer
	l := slog.New(slog.NewMultiHandler(slog.NewTextHandler(&text, nil), j.Handler(slog.HandlerOptions{})))
	l.With("domain", "test").Warn("both")
	closeNow(t, j)
	if !strings.Contains(text.String(), "msg=both") || !strings.Contains(fake.content("sora.jsonl"), `"msg":"both"`) {
		t.Errorf("%q, %q", text.String(), fake.content("sora.jsonl"))
	}
}

func TestWithoutADirectoryTheLogIsNotEnabled(t *testing.T) {
	j, err := Open(Config{})
	if err != nil {
		t.Fatal(err)
	}
	if j.Handler(slog.HandlerOptions{}).Enabled(t.Context(), slog.LevelError) {
		t.Error("enabled")
	}
}

// chatty logs while it is logged: the handler must not hold its lock meanwhile.
type chatty struct{ l *slog.Logger }

func (c chatty) LogValue() slog.Value {
	c.l.Info("inner")
	return slog.StringValue("value")
}

func TestValueMayLogWhileItIsLogged(t *testing.T) {
	lines := logged(t, slog.HandlerOptions{}, func(l *slog.Logger) {
		l.Info("outer", "v", chatty{l})
		l.With("v", chatty{l}).Info("outer")
	})
	if len(lines) != 4 {
		t.Errorf("%q", lines)
	}
}

func TestLinesOfManyLoggersDoNotMix(t *testing.T) {
	const loggers, records = 8, 200
	lines := logged(t, slog.HandlerOptions{}, func(l *slog.Logger) {
		var wg sync.WaitGroup
		for i := range loggers {
			wg.Go(func() {
				own := l.With("logger", i)
				for n := range records {
					own.Info(fmt.Sprint(i, " ", n), "n", n)
				}
			})
		}
		wg.Wait()
	})
	if len(lines) != loggers*records {
		t.Fatalf("%d lines", len(lines))
	}
	ids := make(map[any]bool)
	for _, line := range lines {
		m := object(t, line)
		if m["msg"] != fmt.Sprint(m["logger"], " ", m["n"]) {
			t.Fatalf("%s", line)
		}
		ids[m["id"]] = true
	}
	if len(ids) != len(lines) {
		t.Errorf("%d ids for %d lines", len(ids), len(lines))
	}
}

func BenchmarkHandler(b *testing.B) {
	fake := newFakeDisk()
	stall := make(chan struct{})
	j := start(b, Config{Dir: "log", QueueLines: 1}, fake)
	fake.with(func() { fake.stall = stall })
	l := slog.New(slog.NewMultiHandler(slog.NewTextHandler(io.Discard, nil), j.Handler(slog.HandlerOptions{}))).With("shard", 1)
	b.ReportAllocs()
	for b.Loop() {
		l.Info("a connection ended", "connection", "WCJC78EWK935N7P7Z8FYAKFW9M", "after", time.Minute)
	}
	close(stall)
}
