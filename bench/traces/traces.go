// Package traces holds packet-time traces: how real browsers put a publisher's packets on the
// wire. It parses them and nothing else. A Trace is read once, shared by all who ask for it and
// never changed, so any goroutine may call anything here.
package traces

import (
	"bufio"
	"compress/gzip"
	"embed"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
	"time"
)

//go:embed *.csv.gz
var files embed.FS

const suffix = ".csv.gz"

// What is around the RTP payload in the bytes of a record.
const (
	HeaderSize = 12 + 4 + 8 // RTP header with extensions of at most eight bytes
	TagSize    = 10         // of AES_CM_128_HMAC_SHA1_80
)

// Limits of a trace; beyond them it is not one.
const (
	maxRecords = 100_000
	minBytes   = 12 + 10 + 1 // RTP header, tag, something
	maxBytes   = 1500
	maxTime    = 10 * time.Minute
)

// Record is one packet on the wire.
type Record struct {
	At     time.Duration // since the trace's first packet
	Bytes  int           // of UDP payload: RTP header with extensions, payload, SRTP tag
	Frame  int           // counts RTP timestamps of its kind from 0
	Marker bool          // RTP marker bit
}

// Trace is one publisher's packets in the order of their times.
type Trace struct {
	Video, Audio []Record
}

// errTrace is what is wrong with a file that is none.
var errTrace = errors.New("traces: not a packet-time trace")

var cache struct {
	sync.Mutex
	traces map[string]*Trace
}

// Names lists the traces, in order.
func Names() (names []string) {
	entries, err := files.ReadDir(".")
	if err != nil {
		panic(err) // it is a part of the binary
	}
	for _, e := range entries {
		names = append(names, strings.TrimSuffix(e.Name(), suffix))
	}
	return names
}

// Open reads the trace of a name. It is only to be read.
func Open(name string) (*Trace, error) {
	cache.Lock()
	defer cache.Unlock()
	if t := cache.traces[name]; t != nil {
		return t, nil
	}
	f, err := files.Open(name + suffix)
	if err != nil {
		return nil, fmt.Errorf("traces: no trace %q; there are %s", name, strings.Join(Names(), ", "))
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", errTrace, name, err)
	}
	t, err := Read(z)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if cache.traces == nil {
		cache.traces = make(map[string]*Trace)
	}
	cache.traces[name] = t
	return t, nil
}

// head is the first line of a trace.
const head = "t_us,kind,bytes,marker,frame"

// Read parses a trace in CSV.
func Read(r io.Reader) (*Trace, error) {
	s := bufio.NewScanner(r)
	if !s.Scan() || strings.TrimSpace(s.Text()) != head {
		return nil, fmt.Errorf("%w: it does not begin with %q", errTrace, head)
	}
	t := &Trace{}
	for line := 2; s.Scan(); line++ {
		if err := t.add(s.Text()); err != nil {
			return nil, fmt.Errorf("%w: line %d: %w", errTrace, line, err)
		}
	}
	if err := s.Err(); err != nil {
		return nil, fmt.Errorf("%w: %w", errTrace, err)
	}
	return t, nil
}

// add takes one line.
func (t *Trace) add(line string) error {
	fields := strings.Split(strings.TrimSpace(line), ",")
	if len(fields) != 5 {
		return fmt.Errorf("%d fields", len(fields))
	}
	list := &t.Video
	switch fields[1] {
	case "v":
	case "a":
		list = &t.Audio
	default:
		return fmt.Errorf("kind %q", fields[1])
	}
	var n [4]int
	for i, s := range []string{fields[0], fields[2], fields[3], fields[4]} {
		v, err := strconv.Atoi(s)
		if err != nil {
			return err
		}
		n[i] = v
	}
	r := Record{At: time.Duration(n[0]) * time.Microsecond, Bytes: n[1], Marker: n[2] == 1, Frame: n[3]}
	switch {
	case n[0] < 0 || n[0] > int(maxTime/time.Microsecond) || n[2] < 0 || n[2] > 1:
		return errors.New("out of range")
	case r.Bytes < minBytes || r.Bytes > maxBytes:
		return fmt.Errorf("%d bytes", r.Bytes)
	case len(*list) == maxRecords:
		return fmt.Errorf("more than %d packets", maxRecords)
	case len(*list) == 0 && r.Frame != 0:
		return errors.New("frames do not begin at 0")
	case len(*list) > 0:
		last := (*list)[len(*list)-1]
		if r.At < last.At || r.Frame != last.Frame && r.Frame != last.Frame+1 {
			return errors.New("out of order")
		}
	}
	*list = append(*list, r)
	return nil
}

// Write writes a trace in CSV.
func Write(w io.Writer, t *Trace) error {
	b := bufio.NewWriter(w)
	fmt.Fprintln(b, head)
	put := func(kind string, r Record) {
		marker := 0
		if r.Marker {
			marker = 1
		}
		fmt.Fprintf(b, "%d,%s,%d,%d,%d\n", r.At.Microseconds(), kind, r.Bytes, marker, r.Frame)
	}
	for v, a := t.Video, t.Audio; len(v)+len(a) > 0; {
		if len(a) == 0 || len(v) > 0 && v[0].At < a[0].At {
			put("v", v[0])
			v = v[1:]
		} else {
			put("a", a[0])
			a = a[1:]
		}
	}
	return b.Flush() // which tells of earlier errors
}
