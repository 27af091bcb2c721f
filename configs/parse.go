package configs

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// Parse reads the lines of data over the defaults; name stands for the file in what is said of
// them. The error is of type *Faults and names everything that is wrong; findings beside a nil error
// are warnings. What is neither a fault nor warned of has the effect that tsubame.conf says.
func Parse(name string, data []byte) (Config, []Finding, error) {
	r := newReader()
	r.file(name, data)
	l, err := r.end()
	if err != nil {
		return Config{}, nil, err
	}
	return l.Config, l.Warnings, nil
}

// reader takes values up, from the weakest origin to the strongest.
type reader struct {
	config   Config
	origins  map[string]Origin // by the key's first name
	wrong    map[string]bool   // keys that were given a value they cannot have
	faults   findings
	warnings findings
}

func newReader() *reader {
	return &reader{config: Defaults(), origins: map[string]Origin{}, wrong: map[string]bool{}}
}

// file takes up the lines of a file.
func (r *reader) file(name string, data []byte) {
	seen := map[string]Origin{}
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	for number := 1; len(data) > 0; number++ {
		var line []byte
		line, data, _ = bytes.Cut(data, []byte("\n"))
		where := Origin{File: name, Line: number}
		k, v, ok, err := parseLine(strings.TrimSuffix(string(line), "\r"))
		switch {
		case err != nil:
			r.faults.add(Finding{where, "", err.Error()})
		case ok:
			r.value(where, k, v, seen)
		}
	}
}

// parseLine returns the two sides of a line. Not ok: it has no content. A # after the start of a
// line is part of the value, and so is every = but the first.
func parseLine(line string) (k, v string, ok bool, err error) {
	if rest := strings.TrimLeft(line, " "); rest == "" || rest[0] == '#' {
		return "", "", false, nil
	}
	if !utf8.ValidString(line) {
		return "", "", false, errors.New("invalid line format: not UTF-8")
	}
	k, v, ok = strings.Cut(line, "=")
	if !ok {
		return "", "", false, errors.New("invalid line format: want key = value")
	}
	return strings.TrimSpace(k), strings.TrimSpace(v), true, nil
}

// undocumented begins the names of switches that Sora has for its makers.
const undocumented = "undoc_"

// value takes up one value. Seen has the keys that the same origin gave before.
func (r *reader) value(where Origin, name, text string, seen map[string]Origin) {
	known := byName[name]
	canonical := name
	if known != nil {
		canonical = known.name
	}
	if first, twice := seen[canonical]; twice {
		r.faults.add(Finding{where, name, "duplicated key, first given in " + place(first)})
		return
	}
	seen[canonical] = where
	if known == nil {
		r.warnings.add(Finding{where, name, unknown(name, len(r.warnings.list) < maxFindings)})
		return
	}
	r.origins[canonical] = where
	if err := known.set(&r.config, text); err != nil {
		r.wrong[canonical] = true
		r.faults.add(Finding{where, name, err.Error()})
		return
	}
	if given, _ := known.get(&r.config); known.idle != "" && given != known.def {
		r.warnings.add(Finding{where, name, "accepted, has no effect " + known.idle})
	}
}

// place says where in the same file, or in the environment.
func place(o Origin) string {
	if o.Variable != "" {
		return o.Variable
	}
	return fmt.Sprintf("line %d", o.Line)
}

// unknown says that a key is not known, and, if that is worth the work, which one is like it.
func unknown(name string, search bool) string {
	if strings.HasPrefix(name, undocumented) {
		return "undocumented switch, has no effect here"
	}
	if search {
		if near := nearest(name); near != "" {
			return fmt.Sprintf("unknown key, did you mean %q?", near)
		}
	}
	return "unknown key"
}

// end looks at everything together.
func (r *reader) end() (*Loaded, error) {
	for _, x := range r.config.contradictions() {
		// That the other one was wrong is what is to be said.
		if !r.wrong[x.key] && !r.wrong[x.other] {
			r.faults.add(Finding{r.later(x.key, x.other), x.key, x.problem})
		}
	}
	if len(r.faults.list) > 0 {
		return nil, &Faults{List: r.faults.list, More: r.faults.more, Warnings: r.warnings.list}
	}
	return &Loaded{Config: r.config, Warnings: r.warnings.list, MoreWarnings: r.warnings.more, origins: r.origins}, nil
}

// later returns where the one of two keys was given that was given last.
func (r *reader) later(a, b string) Origin {
	x, y := r.origins[a], r.origins[b]
	if x.Variable == "" && (y.Variable != "" || y.Line > x.Line) {
		return y
	}
	return x
}
