package configs

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// kind is a type of value: parse reads its text, and format writes text that parse reads as
// the same value. What parse says is wrong becomes part of an error message, so that it repeats
// nothing that may be a secret.
type kind[T any] struct {
	parse  func(text string) (T, error)
	format func(T) string
}

// words is the kind of a value that is its own text.
func words(check func(text string) error) kind[string] {
	return kind[string]{
		parse: func(v string) (string, error) {
			if err := check(v); err != nil {
				return "", err
			}
			return v, nil
		},
		format: func(v string) string { return v },
	}
}

// several is the kind of a list, separated by commas, spaces or both. What says what its entries
// are called.
func several[T any](low, high int, what string, parse func(string) (T, error), format func(T) string) kind[[]T] {
	return kind[[]T]{
		parse: func(v string) ([]T, error) {
			entries := strings.FieldsFunc(v, func(r rune) bool { return r == ',' || r == ' ' || r == '\t' })
			if len(entries) < low || len(entries) > high {
				return nil, fmt.Errorf("not a list of %d..%d %s", low, high, what)
			}
			out := make([]T, 0, len(entries))
			for _, e := range entries {
				value, err := parse(e)
				if err != nil {
					return nil, err
				}
				out = append(out, value)
			}
			return out, nil
		},
		format: func(l []T) string {
			texts := make([]string, len(l))
			for i, value := range l {
				texts[i] = format(value)
			}
			return strings.Join(texts, ", ")
		},
	}
}

// maxList bounds the entries of a list.
const maxList = 64

var boolean = either("false", "true")

// either is the kind of a choice of two: whether it is the second.
func either(first, second string) kind[bool] {
	return kind[bool]{
		parse: func(v string) (bool, error) {
			if v != first && v != second {
				return false, fmt.Errorf("%q is neither %s nor %s", v, second, first)
			}
			return v == second, nil
		},
		format: func(b bool) string {
			if b {
				return second
			}
			return first
		},
	}
}

// decimal reads an unsigned decimal number; strconv alone would take a sign.
func decimal(v string, low, high uint64) (uint64, error) {
	n, err := strconv.ParseUint(v, 10, 63)
	if err != nil {
		return 0, fmt.Errorf("%q is not a decimal number", v)
	}
	if n < low || n > high {
		return 0, fmt.Errorf("%d is not in %d..%d", n, low, high)
	}
	return n, nil
}

// number is the kind of an integer in a range. Scale is what one is in the unit of the field, and
// orZero lets 0 stand for no value.
func number[T int | int64 | uint16 | uint64](low, high, scale uint64, orZero bool) kind[T] {
	return kind[T]{
		parse: func(v string) (T, error) {
			if n, err := decimal(v, 0, 0); err == nil && orZero {
				return T(n), nil
			}
			n, err := decimal(v, low, high)
			if err != nil && orZero {
				err = fmt.Errorf("%w, nor 0", err)
			}
			return T(n * scale), err
		},
		format: func(n T) string { return strconv.FormatUint(uint64(n)/scale, 10) },
	}
}

func integer(low, high uint64) kind[int] { return number[int](low, high, 1, false) }

var (
	port = number[uint16](0, 65535, 1, false)
	// portInUse is a port that somebody is told of, so that 0 is none.
	portInUse = number[uint16](1, 65535, 1, false)
)

// kbps is a bit rate in kilobits per second; 0 stands for no value.
func kbps(low, high uint64) kind[uint64] { return number[uint64](low, high, 1000, true) }

// text is any UTF-8.
func text(maxBytes int) kind[string] {
	return words(func(v string) error {
		if len(v) > maxBytes || !utf8.ValidString(v) {
			return fmt.Errorf("not UTF-8 of at most %d bytes", maxBytes)
		}
		return nil
	})
}

// oneOf is the kind of a word out of a few.
func oneOf(candidates ...string) kind[string] {
	return words(func(v string) error {
		if !slices.Contains(candidates, v) {
			if len(candidates) == 1 {
				return fmt.Errorf("%q is not %s", v, candidates[0])
			}
			return fmt.Errorf("%q is none of %s", v, strings.Join(candidates, ", "))
		}
		return nil
	})
}

// patterns are those of path.Match. One that is none would refuse everybody.
var patterns = several(1, maxList, "patterns", func(w string) (string, error) {
	if _, err := path.Match(w, ""); err != nil {
		return "", fmt.Errorf("%q is no pattern", w)
	}
	return w, nil
}, strings.Clone)

// maxAddresses is how many addresses of one kind clients are told: a candidate line for each, and
// they have no use for more.
const maxAddresses = 4

// addresses are such that clients can send to, of version 4 or 6.
func addresses(version int) kind[[]netip.Addr] {
	return several(1, maxAddresses, "addresses", func(w string) (netip.Addr, error) {
		a, err := netip.ParseAddr(w)
		if err != nil || a.Is4() != (version == 4) || a.Is4In6() || a.Zone() != "" || a.IsUnspecified() || a.IsMulticast() {
			return a, fmt.Errorf("%q is not a usable IPv%d address", w, version)
		}
		return a, nil
	}, netip.Addr.String)
}

var stunURI = words(func(v string) error {
	rest, ok := strings.CutPrefix(v, "stun:")
	host, p, err := net.SplitHostPort(rest)
	if !ok || err != nil || host == "" {
		return fmt.Errorf("%q is not stun:HOST:PORT", v)
	}
	if _, err := decimal(p, 1, 65535); err != nil {
		return fmt.Errorf("port of %q: %w", v, err)
	}
	return nil
})

// unit is one of intervals.
type unit struct {
	name   string
	length time.Duration
}

// units are all of them, the shortest first.
var units = []unit{{"ms", time.Millisecond}, {"s", time.Second}, {"min", time.Minute}, {"h", time.Hour}}

// noMilliseconds are the units of what is measured in whole seconds.
var noMilliseconds = units[1:]

// parseInterval reads digits, which may be grouped by underscores, spaces, and one of the units.
func parseInterval(v string, allowed []unit) (time.Duration, error) {
	digits, name, ok := strings.Cut(v, " ")
	at := slices.IndexFunc(allowed, func(u unit) bool { return u.name == strings.TrimLeft(name, " ") })
	if !ok || at < 0 {
		names := make([]string, len(allowed))
		for i, u := range allowed {
			names[i] = u.name
		}
		return 0, fmt.Errorf("%q is not a number, a space and one of %s", v, strings.Join(names, ", "))
	}
	if strings.HasPrefix(digits, "_") || strings.HasSuffix(digits, "_") {
		return 0, fmt.Errorf("%q has an underscore outside of its digits", v)
	}
	u := allowed[at].length
	n, err := decimal(strings.ReplaceAll(digits, "_", ""), 0, uint64(1<<63-1)/uint64(u))
	return time.Duration(n) * u, err
}

// formatInterval writes it in the longest unit that it is whole in.
func formatInterval(d time.Duration) string {
	for _, u := range slices.Backward(units) {
		if d%u.length == 0 && d != 0 {
			return fmt.Sprintf("%d %s", d/u.length, u.name)
		}
	}
	return "0 s"
}

// interval is the kind of a time between two others. Without units, all of them may be given.
func interval(low, high string, allowed ...unit) kind[time.Duration] {
	if len(allowed) == 0 {
		allowed = units
	}
	lo, err1 := parseInterval(low, units)
	hi, err2 := parseInterval(high, units)
	if err1 != nil || err2 != nil {
		panic("configs: bounds of an interval: " + low + ", " + high)
	}
	return kind[time.Duration]{
		parse: func(v string) (time.Duration, error) {
			d, err := parseInterval(v, allowed)
			if err == nil && (d < lo || d > hi) {
				err = fmt.Errorf("%q is not in %s..%s", v, low, high)
			}
			return d, err
		},
		format: formatInterval,
	}
}

// intervalOrZero is interval for something that a zero of any unit switches off.
func intervalOrZero(low, high string, allowed ...unit) kind[time.Duration] {
	within := interval(low, high, allowed...)
	return kind[time.Duration]{
		parse: func(v string) (time.Duration, error) {
			if d, err := parseInterval(v, units); err == nil && d == 0 {
				return 0, nil
			}
			return within.parse(v)
		},
		format: formatInterval,
	}
}

// prefixes are addresses and networks.
var prefixes = several(1, maxList, "addresses and networks", func(w string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(w); err == nil && a.Zone() == "" {
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(w)
	if err != nil {
		return p, fmt.Errorf("%q is neither an address nor a network", w)
	}
	return p.Masked(), nil
}, func(p netip.Prefix) string {
	if p.IsSingleIP() {
		return p.Addr().String()
	}
	return p.String()
})

// maxCPU bounds the number of a CPU: what the kernel's affinity mask has room for.
const maxCPU = 1023

// cpus are numbers of CPUs, none of them twice.
var cpus = distinct(several(1, maxCPU+1, "CPUs", func(w string) (int, error) {
	n, err := decimal(w, 0, maxCPU)
	return int(n), err
}, strconv.Itoa), func(n int) string { return fmt.Sprintf("CPU %d", n) })

// distinct is a list no two entries of which have the same name.
func distinct[T any](l kind[[]T], name func(T) string) kind[[]T] {
	return kind[[]T]{
		parse: func(v string) ([]T, error) {
			out, err := l.parse(v)
			seen := map[string]bool{}
			for _, entry := range out {
				if seen[name(entry)] {
					return nil, fmt.Errorf("%s stands there twice", name(entry))
				}
				seen[name(entry)] = true
			}
			return out, err
		},
		format: l.format,
	}
}

// listenOrOff is ADDRESS:PORT, or off, which is kept as empty.
var listenOrOff = kind[string]{
	parse: func(v string) (string, error) {
		if v == "off" {
			return "", nil
		}
		if _, err := netip.ParseAddrPort(v); err != nil {
			return "", fmt.Errorf("%q is neither ADDRESS:PORT nor off", v)
		}
		return v, nil
	},
	format: func(v string) string {
		if v == "" {
			return "off"
		}
		return v
	},
}

// nodeName is one word.
var nodeName = words(func(v string) error {
	if v == "" || len(v) > 255 {
		return errors.New("not 1..255 characters")
	}
	for _, b := range []byte(v) {
		if b <= ' ' || b > '~' {
			return fmt.Errorf("%q has other characters than printable ASCII without spaces", v)
		}
	}
	return nil
})
