package journal

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"time"

	"tsubame/signal/sora"
)

// Handler is the server's own log as sora.jsonl has it: id, level (debug, info, notice,
// warning, error, emergency), msg, domain, sora_version, node, timestamp, then the
// attributes. Beside a handler for stderr it is used with [slog.NewMultiHandler].
//
// Attributes that are called like one of these members get an underscore behind the name,
// durations are written as text ("1m30s"). An attribute "domain" of the record or of
// Logger.With is that member instead of "sora". Options are those of [slog.JSONHandler];
// ReplaceAttr sees the attributes, not the members.
//
// A value whose Error or MarshalJSON method logs by this handler waits for itself; one whose
// LogValue does may.
//
// What the queue has no room for is dropped and counted as for Write; Handle returns no
// error for it, because nobody could do anything about it.
func (j *Journal) Handler(opts slog.HandlerOptions) slog.Handler {
	line := &line{journal: j}
	replace := opts.ReplaceAttr
	inner := slog.NewJSONHandler(line, &slog.HandlerOptions{
		Level:     slog.Level(minLevel),
		AddSource: opts.AddSource,
		ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
			if len(groups) == 0 && isMember(a) {
				return slog.Attr{}
			}
			if replace != nil {
				a = replace(groups, a)
			}
			if len(groups) == 0 {
				a.Key = freeName(a.Key)
			}
			if a.Value.Kind() == slog.KindDuration {
				a.Value = slog.StringValue(a.Value.Duration().String())
			}
			return a
		},
	})
	h := &handler{line: line, inner: inner, level: opts.Level}
	if h.level == nil {
		h.level = slog.LevelInfo
	}
	return h
}

// What the inner handler gets as level and message, to tell them from attributes of the
// same name: the outer one writes both.
const (
	minLevel = -1 << 30
	noText   = "\x00"
)

func isMember(a slog.Attr) bool {
	switch a.Key {
	case slog.LevelKey:
		level, ok := a.Value.Any().(slog.Level)
		return ok && level == minLevel
	case slog.MessageKey:
		return a.Value.Kind() == slog.KindString && a.Value.String() == noText
	}
	return false
}

func freeName(key string) string {
	switch key {
	case "id", "level", "msg", "domain", "sora_version", "node", "timestamp":
		return key + "_"
	}
	return key
}

type handler struct {
	line   *line // shared by all handlers that come from one
	inner  slog.Handler
	level  slog.Leveler
	domain string // as JSON; empty: ["sora"]
	group  bool   // attributes belong to a group
}

// Enabled implements slog.Handler.
func (h *handler) Enabled(_ context.Context, level slog.Level) bool {
	return h.line.journal.cfg.Dir != "" && level >= h.level.Level()
}

// Handle implements slog.Handler.
func (h *handler) Handle(ctx context.Context, r slog.Record) error {
	inner := slog.NewRecord(time.Time{}, minLevel, noText, r.PC)
	domain := h.domain
	r.Attrs(func(a slog.Attr) bool {
		if text, ok := h.asDomain(a); ok {
			domain = text
		} else {
			inner.AddAttrs(h.settle(a))
		}
		return true
	})
	h.line.mu.Lock()
	defer h.line.mu.Unlock()
	h.line.begin(r, domain)
	return h.inner.Handle(ctx, inner)
}

// WithAttrs implements slog.Handler.
func (h *handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	n := *h
	var others []slog.Attr
	for _, a := range attrs {
		if text, ok := h.asDomain(a); ok {
			n.domain = text
		} else {
			others = append(others, h.settle(a))
		}
	}
	if len(others) > 0 {
		n.inner = h.inner.WithAttrs(others)
	}
	return &n
}

// WithGroup implements slog.Handler.
func (h *handler) WithGroup(name string) slog.Handler {
	n := *h
	n.inner, n.group = h.inner.WithGroup(name), n.group || name != ""
	return &n
}

// settle resolves a value before the lock is taken, because resolving runs code of
// others, and gives a group a name that is free, which ReplaceAttr is not asked about.
func (h *handler) settle(a slog.Attr) slog.Attr {
	a.Value = a.Value.Resolve()
	if a.Value.Kind() == slog.KindGroup && !h.group {
		a.Key = freeName(a.Key)
	}
	return a
}

// asDomain reads an attribute that is the member domain.
func (h *handler) asDomain(a slog.Attr) (string, bool) {
	if h.group || a.Key != "domain" {
		return "", false
	}
	switch v := a.Value.Resolve().Any().(type) {
	case string:
		return string(appendStrings(nil, v)), true
	case []string:
		return string(appendStrings(nil, v...)), true
	}
	return "", false
}

// line puts one line together: the members of the record, then what the inner handler
// writes. It is locked as long as a record takes.
type line struct {
	journal *Journal
	mu      sync.Mutex
	buf     []byte
}

func (l *line) begin(r slog.Record, domain string) {
	b := append(l.buf[:0], `{"id":"`...)
	b = append(b, sora.NewID()...)
	b = append(append(b, `","level":"`...), levelName(r.Level)...)
	b = appendString(append(b, `","msg":`...), r.Message)
	b = append(b, `,"domain":`...)
	if domain == "" {
		domain = `["sora"]`
	}
	b = append(b, domain...)
	b = appendString(append(b, `,"sora_version":`...), l.journal.cfg.Version)
	b = appendString(append(b, `,"node":`...), l.journal.cfg.Node)
	at := r.Time
	if at.IsZero() {
		at = time.Now()
	}
	b = append(b, `,"timestamp":"`...)
	b = at.UTC().AppendFormat(b, "2006-01-02T15:04:05.000000Z")
	l.buf = append(b, '"')
}

// Write gets the object of the attributes from the inner handler, with its newline.
func (l *line) Write(object []byte) (int, error) {
	n := len(object)
	if rest := object[1 : n-1]; len(rest) > 1 { // {} has no member, and needs no comma
		l.buf = append(append(l.buf, ','), rest...)
	} else {
		l.buf = append(l.buf, '}')
	}
	l.journal.Write(Server, l.buf)
	if cap(l.buf) > pendingBytes {
		l.buf = nil
	}
	return n, nil
}

func levelName(l slog.Level) string {
	switch {
	case l < slog.LevelInfo:
		return "debug"
	case l < slog.LevelInfo+2:
		return "info"
	case l < slog.LevelWarn:
		return "notice"
	case l < slog.LevelError:
		return "warning"
	case l < slog.LevelError+4:
		return "error"
	}
	return "emergency"
}

func appendStrings(dst []byte, list ...string) []byte {
	dst = append(dst, '[')
	for i, s := range list {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendString(dst, s)
	}
	return append(dst, ']')
}

// appendString writes a JSON string (RFC 8259 section 7). What is not UTF-8 becomes
// U+FFFD, and control characters, those above ASCII too, are escaped: a log is read with
// tools that print them.
func appendString(dst []byte, s string) []byte {
	const hex = "0123456789abcdef"
	dst = append(dst, '"')
	for _, r := range strings.ToValidUTF8(s, "\uFFFD") {
		switch {
		case r == '"' || r == '\\':
			dst = append(dst, '\\', byte(r))
		case r < 0x20 || r >= 0x7f && r < 0xa0 || r == 0x2028 || r == 0x2029:
			dst = append(dst, '\\', 'u', hex[r>>12&15], hex[r>>8&15], hex[r>>4&15], hex[r&15])
		default:
			dst = append(dst, string(r)...)
		}
	}
	return append(dst, '"')
}
