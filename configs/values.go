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

type (
	dur   = time.Duration
	addrs = []netip.Addr
	set   = func(c *Config, value string) error
)

func boolean(field func(*Config) *bool) set {
	return func(c *Config, v string) error {
		switch v {
		case "true":
			*field(c) = true
		case "false":
			*field(c) = false
		default:
			return fmt.Errorf("%q is neither true nor false", v)
		}
		return nil
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

func integer(field func(*Config) *int, low, high uint64) set {
	return func(c *Config, v string) error {
		n, err := decimal(v, low, high)
		if err == nil {
			*field(c) = int(n)
		}
		return err
	}
}

// integer64OrZero reads a number that may be larger than an int, or 0.
func integer64OrZero(field func(*Config) *int64, low, high uint64) set {
	return func(c *Config, v string) error {
		n, err := decimal(v, 0, high)
		if err == nil && n != 0 && n < low {
			err = fmt.Errorf("%d is neither 0 nor in %d..%d", n, low, high)
		}
		if err == nil {
			*field(c) = int64(n)
		}
		return err
	}
}

func port(field func(*Config) *uint16) set {
	return func(c *Config, v string) error {
		n, err := decimal(v, 0, 65535)
		if err == nil {
			*field(c) = uint16(n)
		}
		return err
	}
}

// kbps reads a bit rate in kilobits per second; 0 stands for no value.
func kbps(field func(*Config) *uint64, low, high uint64) set {
	return func(c *Config, v string) error {
		n, err := decimal(v, 0, high)
		if err != nil {
			return err
		}
		if n != 0 && n < low {
			return fmt.Errorf("%d is neither 0 nor in %d..%d", n, low, high)
		}
		*field(c) = n * 1000
		return nil
	}
}

func text(field func(*Config) *string, maxBytes int) set {
	return func(c *Config, v string) error {
		if len(v) > maxBytes || !utf8.ValidString(v) {
			return fmt.Errorf("not UTF-8 of at most %d bytes", maxBytes)
		}
		*field(c) = v
		return nil
	}
}

func word(field func(*Config) *string, candidates ...string) set {
	return func(c *Config, v string) error {
		for _, w := range candidates {
			if v == w {
				*field(c) = v
				return nil
			}
		}
		return fmt.Errorf("%q is none of %s", v, strings.Join(candidates, ", "))
	}
}

// list splits at commas and spaces.
func list(v string) []string {
	return strings.FieldsFunc(v, func(r rune) bool { return r == ',' || r == ' ' || r == '\t' })
}

const maxList = 64

// patterns reads a list of patterns of path.Match. One that is none would refuse everybody.
func patterns(field func(*Config) *[]string) set {
	return func(c *Config, v string) error {
		l := list(v)
		if len(l) == 0 || len(l) > maxList {
			return fmt.Errorf("not a list of 1..%d patterns", maxList)
		}
		for _, w := range l {
			if _, err := path.Match(w, ""); err != nil {
				return fmt.Errorf("%q is no pattern", w)
			}
		}
		*field(c) = l
		return nil
	}
}

func addresses(field func(*Config) *addrs, want4 bool) set {
	return func(c *Config, v string) error {
		var out addrs
		for _, s := range list(v) {
			a, err := netip.ParseAddr(s)
			if err != nil || a.Is4() != want4 || a.Is4In6() || a.Zone() != "" || a.IsUnspecified() || a.IsMulticast() {
				return fmt.Errorf("%q is not a usable IPv%d address", s, map[bool]int{true: 4, false: 6}[want4])
			}
			out = append(out, a)
		}
		// A candidate line per address: clients have no use for more.
		if len(out) == 0 || len(out) > 4 {
			return fmt.Errorf("not a list of 1..4 addresses")
		}
		*field(c) = out
		return nil
	}
}

func stunURI(field func(*Config) *string) set {
	return func(c *Config, v string) error {
		rest, ok := strings.CutPrefix(v, "stun:")
		host, p, err := net.SplitHostPort(rest)
		if !ok || err != nil || host == "" {
			return fmt.Errorf("%q is not stun:HOST:PORT", v)
		}
		if _, err := decimal(p, 1, 65535); err != nil {
			return fmt.Errorf("port of %q: %w", v, err)
		}
		*field(c) = v
		return nil
	}
}

var units = map[string]time.Duration{"ms": time.Millisecond, "s": time.Second, "min": time.Minute, "h": time.Hour}

// parseInterval reads digits, which may be grouped by underscores, spaces, and a unit.
func parseInterval(v string) (time.Duration, error) {
	digits, unit, ok := strings.Cut(v, " ")
	u, known := units[strings.TrimLeft(unit, " ")]
	if !ok || !known {
		return 0, fmt.Errorf("%q is not a number, a space and one of ms, s, min, h", v)
	}
	if strings.HasPrefix(digits, "_") || strings.HasSuffix(digits, "_") {
		return 0, fmt.Errorf("%q has an underscore outside of its digits", v)
	}
	n, err := decimal(strings.ReplaceAll(digits, "_", ""), 0, uint64(1<<63-1)/uint64(u))
	if err != nil {
		return 0, err
	}
	return time.Duration(n) * u, nil
}

func interval(field func(*Config) *dur, low, high string) set {
	lo, err1 := parseInterval(low)
	hi, err2 := parseInterval(high)
	if err1 != nil || err2 != nil {
		panic("configs: bounds of an interval: " + low + ", " + high)
	}
	return func(c *Config, v string) error {
		d, err := parseInterval(v)
		if err != nil {
			return err
		}
		if d < lo || d > hi {
			return fmt.Errorf("%q is not in %s..%s", v, low, high)
		}
		*field(c) = d
		return nil
	}
}

// intervalOrZero is interval for something that a zero of any unit switches off.
func intervalOrZero(field func(*Config) *dur, low, high string) set {
	within := interval(field, low, high)
	return func(c *Config, v string) error {
		if d, err := parseInterval(v); err == nil && d == 0 {
			*field(c) = 0
			return nil
		}
		return within(c, v)
	}
}

// constant is for a key of which only one value exists.
func constant(only string) set {
	return func(_ *Config, v string) error {
		if v != only {
			return fmt.Errorf("%q is not %s", v, only)
		}
		return nil
	}
}

// maxPrefixes bounds the entries of one key.
const maxPrefixes = 64

// prefixes reads addresses and networks.
func prefixes(field func(*Config) *[]netip.Prefix) set {
	return func(c *Config, v string) error {
		var out []netip.Prefix
		for _, w := range list(v) {
			p, err := netip.ParsePrefix(w)
			if a, e := netip.ParseAddr(w); e == nil {
				p, err = netip.PrefixFrom(a, a.BitLen()), nil
			}
			if err != nil {
				return fmt.Errorf("%q is neither an address nor a network", w)
			}
			out = append(out, p.Masked())
		}
		if len(out) == 0 || len(out) > maxPrefixes {
			return fmt.Errorf("%d entries, want 1..%d", len(out), maxPrefixes)
		}
		*field(c) = out
		return nil
	}
}

// maxCPU bounds the number of a CPU: what the kernel's affinity mask has room for.
const maxCPU = 1023

// cpus reads numbers of CPUs, no bound CPU twice.
func cpus(field func(*Config) *[]int) set {
	return func(c *Config, v string) error {
		var out []int
		for _, w := range list(v) {
			n, err := decimal(w, 0, maxCPU)
			if err != nil {
				return err
			}
			if slices.Contains(out, int(n)) {
				return fmt.Errorf("CPU %d stands there twice", n)
			}
			out = append(out, int(n))
		}
		if len(out) == 0 {
			return errors.New("no CPU is named")
		}
		*field(c) = out
		return nil
	}
}

// listenOrOff reads HOST:PORT with a literal address, or off, which is kept as empty.
func listenOrOff(field func(*Config) *string) set {
	return func(c *Config, v string) error {
		if v == "off" {
			*field(c) = ""
			return nil
		}
		if _, err := netip.ParseAddrPort(v); err != nil {
			return fmt.Errorf("%q is neither ADDRESS:PORT nor off", v)
		}
		*field(c) = v
		return nil
	}
}
