package webhook

import (
	"bytes"
	"strconv"
	"time"

	"tsubame/signal/sora"
)

// writer appends members to an object. It inserts a comma unless the last byte opened
// something.
type writer struct{ b []byte }

// begin opens the object that is a body.
func (w *writer) begin() { w.b = append(w.b, '{') }

// open opens an object inside of one.
func (w *writer) open(name string) {
	w.key(name)
	w.b = append(w.b, '{')
}

func (w *writer) close() { w.b = append(w.b, '}') }

func (w *writer) openList(name string) {
	w.key(name)
	w.b = append(w.b, '[')
}

func (w *writer) closeList() { w.b = append(w.b, ']') }

// element opens an object inside of an array.
func (w *writer) element() {
	w.comma()
	w.b = append(w.b, '{')
}

func (w *writer) comma() {
	if n := len(w.b); n > 0 && w.b[n-1] != '{' && w.b[n-1] != '[' {
		w.b = append(w.b, ',')
	}
}

func (w *writer) key(name string) { w.keyOf(name, "") }

// keyOf writes a name that has two parts, which would cost an allocation to join.
func (w *writer) keyOf(prefix, name string) {
	w.comma()
	// Our names need no escapes.
	w.b = append(w.b, '"')
	w.b = append(w.b, prefix...)
	w.b = append(w.b, name...)
	w.b = append(w.b, '"', ':')
}

func (w *writer) str(name, value string) {
	w.key(name)
	w.b = sora.AppendString(w.b, value)
}

func (w *writer) strIf(name, value string) {
	if value != "" {
		w.str(name, value)
	}
}

func (w *writer) boolean(name string, value bool) {
	w.key(name)
	w.b = strconv.AppendBool(w.b, value)
}

// booleanIf writes what is told only when it is so.
func (w *writer) booleanIf(name string, value bool) {
	if value {
		w.boolean(name, true)
	}
}

func (w *writer) flag(name string, f sora.Flag) {
	if f != sora.Unset {
		w.boolean(name, f == sora.True)
	}
}

func (w *writer) integer(name string, value int) {
	w.key(name)
	w.b = strconv.AppendInt(w.b, int64(value), 10)
}

func (w *writer) integerIf(name string, value int) {
	if value != 0 {
		w.integer(name, value)
	}
}

// given writes a number for which -1 means that it was not given.
func (w *writer) given(name string, value int) {
	if value >= 0 {
		w.integer(name, value)
	}
}

func (w *writer) count(name string, value uint64) {
	w.key(name)
	w.b = strconv.AppendUint(w.b, value, 10)
}

func (w *writer) milliseconds(name string, d time.Duration) {
	w.key(name)
	w.b = strconv.AppendInt(w.b, d.Milliseconds(), 10)
}

// rawIf writes JSON as it was given; nil: no such member. Line ends, which can only stand
// between its tokens, are left out: a body is a line in a log file too.
func (w *writer) rawIf(name string, json []byte) {
	if json == nil {
		return
	}
	w.key(name)
	for {
		i := bytes.IndexAny(json, "\r\n")
		if i < 0 {
			break
		}
		w.b = append(w.b, json[:i]...)
		json = json[i+1:]
	}
	w.b = append(w.b, json...)
}

const timestampLayout = "2006-01-02T15:04:05.000000Z"

func (w *writer) timestamp(name string, t time.Time) {
	w.key(name)
	w.instant(t)
}

// instant writes RFC 3339 in UTC with microseconds.
func (w *writer) instant(t time.Time) {
	w.b = append(w.b, '"')
	w.b = t.UTC().AppendFormat(w.b, timestampLayout)
	w.b = append(w.b, '"')
}

func (w *writer) timestampIf(name string, t time.Time) {
	if !t.IsZero() {
		w.timestamp(name, t)
	}
}

// moment writes a time in both of the forms in which bodies tell it: <name>_time in seconds
// since 1970 and <name>_timestamp.
func (w *writer) moment(name string, t time.Time) {
	w.keyOf(name, "_time")
	w.b = strconv.AppendInt(w.b, t.Unix(), 10)
	w.keyOf(name, "_timestamp")
	w.instant(t)
}

func (w *writer) role(r sora.Role) {
	if r != 0 {
		w.str("role", r.String())
	}
}
