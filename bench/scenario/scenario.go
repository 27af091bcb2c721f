// Package scenario reads what a benchmark run is to do, from flags and from files, into the
// scenarios of package load. One table of settings serves both, so that a flag --name VALUE and
// a line "name = VALUE" mean the same. A file is in the grammar of the server's configuration:
// "key = value" lines, # begins a comment at the start of a line, and "[name]" begins a
// scenario; settings above the first one hold for all. Reading is pure: nothing is opened or
// connected, and what is returned belongs to the caller. Any goroutine may call it.
package scenario

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"tsubame/bench/impair"
	"tsubame/bench/load"
	"tsubame/bench/source"
	"tsubame/media/param"
)

// Scenario is one run, with the links of its clients as numbers.
type Scenario struct {
	load.Scenario
	Link impair.Config // of each client, both ways; the zero value is a perfect link

	given map[string]bool // settings that were given, for contradictions
}

// Assignment is one setting with its value as text, as a flag or a line gave it.
type Assignment struct {
	Name  string
	Value string
	Where string // "--name", or "FILE:LINE: name", for errors
}

// Default returns the scenario that settings are put into.
func Default() Scenario {
	return Scenario{Scenario: load.Scenario{
		Name: "run", URL: "ws://127.0.0.1:5000/signaling", Rooms: 1, Clients: 2, Role: load.SendRecv,
		Audio: true, Video: true, Codec: param.VP8, Bitrate: 500_000, FrameRate: 25,
		Duration: 10 * time.Second, Warmup: 2 * time.Second,
	}}
}

// Build puts settings into the default scenario, later ones over earlier ones, and checks that
// they go together.
func Build(name string, all []Assignment) (Scenario, error) {
	s := Default()
	s.given = make(map[string]bool)
	if name != "" {
		s.Name = name
	}
	for _, a := range all {
		set := find(a.Name)
		if set == nil {
			return s, unknown(a)
		}
		if err := set.apply(&s, a.Value); err != nil {
			return s, fmt.Errorf("%s: %w", a.Where, err)
		}
		s.given[a.Name] = true
	}
	if err := s.check(); err != nil {
		return s, fmt.Errorf("scenario %s: %w", s.Name, err)
	}
	return s, nil
}

func unknown(a Assignment) error {
	if n := Nearest(a.Name); n != "" {
		return fmt.Errorf("%s: there is no such setting; did you mean %q?", a.Where, n)
	}
	return fmt.Errorf("%s: there is no such setting", a.Where)
}

// check finds what no single setting shows, and fills the links in.
func (s *Scenario) check() error {
	for _, c := range []struct {
		bad  bool
		text string
	}{
		{!s.Audio && !s.Video, "neither audio nor video: nothing is left to send"},
		{s.Trace != "" && s.Clip != "", "trace and clip are both the video's source; give one"},
		{(s.Trace != "" || s.Clip != "") && s.given["bitrate"], "a trace or a clip has its own bit rate; leave bitrate out"},
		{(s.Trace != "" || s.Clip != "") && s.given["fps"], "a trace or a clip has its own frame rate; leave fps out"},
		{s.Trace != "" && s.PayloadSize > 0 || s.Clip != "" && s.PayloadSize > 0, "payload makes packets of one size; leave trace and clip out"},
		{(s.PayloadSize > 0) != (s.PacketRate > 0), "payload and packet-rate go together"},
		{s.PayloadSize > 0 && s.given["bitrate"], "payload and packet-rate make the bit rate; leave bitrate out"},
		{!s.Video && (s.Trace != "" || s.Clip != ""), "a trace or a clip needs video"},
		{s.Role == load.Broadcast && s.Clients < 2, "a broadcast needs at least 2 clients in a room: one sends"},
		{s.Storm && s.Churn > 0, "a storm ends with the last join; leave churn out"},
		{s.Storm && s.Latency, "a storm sends no media; leave latency out"},
		{s.Insecure && s.TURN != load.TURNTLS, "only TURN by TLS has a certificate; leave insecure out or add turn = tls"},
		{s.Link != (impair.Config{}) && (s.TURN == load.TURNTCP || s.TURN == load.TURNTLS), "a stream is not impaired: leave loss, delay, jitter and rate out, or go through TURN by udp"},
		{s.Storm && s.given["duration"], "a storm ends with the last join; leave duration out"},
	} {
		if c.bad {
			return errors.New(c.text)
		}
	}
	if err := s.codecOfSource(); err != nil {
		return err
	}
	if s.Link == (impair.Config{}) {
		return nil
	}
	if _, err := impair.NewLink(s.Link); err != nil {
		return err
	}
	link := s.Link
	s.Impair = func(room, client int) *impair.Link {
		one := link
		one.Seed = uint64(room)<<32 | uint64(client) + 1
		l, err := impair.NewLink(one)
		if err != nil {
			return nil // checked above, and a seed changes nothing
		}
		return l
	}
	return nil
}

// codecOfSource takes the codec of a trace or clip, which a codec that was given must be.
func (s *Scenario) codecOfSource() error {
	var video source.Source
	var err error
	switch {
	case s.Trace != "":
		video, _, err = source.OpenTrace(s.Trace)
	case s.Clip != "":
		video, err = source.OpenClip(s.Clip)
	default:
		return nil
	}
	if err != nil {
		return err
	}
	if s.given["codec"] && s.Codec != video.Codec() {
		return fmt.Errorf("%s%s is %v, and codec is %v", s.Trace, s.Clip, video.Codec(), s.Codec)
	}
	s.Codec = video.Codec()
	return nil
}

// Lossy reports whether the clients' links lose packets by themselves, so that what is missing
// is not the server's doing.
func (s *Scenario) Lossy() bool { return s.Link.Loss > 0 || s.Link.Rate > 0 }

// MaxFile bounds a file of scenarios, in bytes.
const MaxFile = 1 << 20

// ParseFile reads the scenarios of a file; over holds settings that go over those of the file,
// such as those of the command line. name stands for the file in errors.
func ParseFile(name, text string, over []Assignment) ([]Scenario, error) {
	if len(text) > MaxFile {
		return nil, fmt.Errorf("%s: larger than %d bytes", name, MaxFile)
	}
	type part struct {
		name string
		own  []Assignment
	}
	var common []Assignment
	var parts []part
	seen := make(map[string]int) // of the current part
	number := 0
	for line := range strings.Lines(text) {
		number++
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		if title, ok := strings.CutPrefix(line, "["); ok {
			title, ok = strings.CutSuffix(title, "]")
			title = strings.TrimSpace(title)
			if !ok || title == "" {
				return nil, fmt.Errorf("%s:%d: want [name], have %q", name, number, line)
			}
			for _, p := range parts {
				if p.name == title {
					return nil, fmt.Errorf("%s:%d: a second scenario %q", name, number, title)
				}
			}
			parts = append(parts, part{name: title})
			clear(seen)
			continue
		}
		key, value, ok := strings.Cut(line, "=")
		key, value = strings.TrimSpace(key), strings.TrimSpace(value)
		if !ok || key == "" {
			return nil, fmt.Errorf("%s:%d: want key = value, have %q", name, number, line)
		}
		if first, dup := seen[key]; dup {
			return nil, fmt.Errorf("%s:%d: %s stands in line %d already", name, number, key, first)
		}
		seen[key] = number
		a := Assignment{key, value, fmt.Sprintf("%s:%d: %s", name, number, key)}
		if len(parts) == 0 {
			common = append(common, a)
		} else {
			parts[len(parts)-1].own = append(parts[len(parts)-1].own, a)
		}
	}
	if len(parts) == 0 {
		parts = append(parts, part{})
	}
	var all []Scenario
	for _, p := range parts {
		settings := append(append(append([]Assignment(nil), common...), p.own...), over...)
		s, err := Build(p.name, settings)
		if err != nil {
			return nil, err
		}
		all = append(all, s)
	}
	return all, nil
}
