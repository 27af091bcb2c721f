package configs

import (
	"bytes"
	"fmt"
	"os"
	"strings"
)

// MaxFile is the largest configuration file, in bytes.
const MaxFile = 1 << 20

// Warning is about a line that has no effect.
type Warning struct {
	File    string
	Line    int
	Key     string
	Nearest string // the known key that is most like it; empty: none is
}

// String returns the warning as one line of text.
func (w Warning) String() string {
	s := fmt.Sprintf("%s:%d: unknown key %q", w.File, w.Line, w.Key)
	if w.Nearest != "" {
		s += fmt.Sprintf(", did you mean %q?", w.Nearest)
	}
	return s
}

// Load reads the file at path over the defaults. An error names the file and, where there
// is one, the line. Unknown keys are warnings: a sora.conf may hold keys that do not exist
// here yet.
func Load(path string) (Config, []Warning, error) {
	info, err := os.Stat(path)
	if err != nil {
		return Config{}, nil, fmt.Errorf("configuration: %w", err)
	}
	if info.Size() > MaxFile {
		return Config{}, nil, fmt.Errorf("configuration: %s is larger than %d bytes", path, MaxFile)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return Config{}, nil, fmt.Errorf("configuration: %w", err)
	}
	return Parse(path, data)
}

// Parse reads data over the defaults; name stands for the file in errors and warnings.
func Parse(name string, data []byte) (Config, []Warning, error) {
	c := Defaults()
	var warnings []Warning
	seen := map[string]int{}
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	for number := 1; len(data) > 0; number++ {
		var line []byte
		line, data, _ = bytes.Cut(data, []byte("\n"))
		k, v, err := parseLine(strings.TrimSuffix(string(line), "\r"))
		if err != nil {
			return Config{}, nil, fmt.Errorf("%s:%d: %w", name, number, err)
		}
		if k == "" {
			continue
		}
		if first, dup := seen[k]; dup {
			return Config{}, nil, fmt.Errorf("%s:%d: duplicated key %q, first given in line %d", name, number, k, first)
		}
		seen[k] = number
		known := find(k)
		if known == nil {
			warnings = append(warnings, Warning{File: name, Line: number, Key: k, Nearest: nearest(k)})
			continue
		}
		if err := known.set(&c, v); err != nil {
			return Config{}, nil, fmt.Errorf("%s:%d: %s: %w", name, number, k, err)
		}
	}
	if k, other, problem := c.contradiction(); problem != "" {
		return Config{}, nil, fmt.Errorf("%s:%d: %s: %s", name, max(seen[k], seen[other]), k, problem)
	}
	return c, warnings, nil
}

// contradiction says what no single value shows: which key goes against which other, and how.
func (c *Config) contradiction() (key, other, problem string) {
	a, codec := &c.Session.Allow, c.Session.DefaultCodec
	on := map[string]bool{"VP8": a.VP8, "VP9": a.VP9, "AV1": a.AV1, "H264": a.H264, "H265": a.H265}
	if !on[codec] {
		return strings.ToLower(codec), "default_video_codec_type", "is false, but default_video_codec_type is " + codec
	}
	if c.Session.PongTimeout <= c.Session.PingInterval {
		return "websocket_signaling_pong_timeout", "websocket_signaling_ping_interval", "is not longer than websocket_signaling_ping_interval"
	}
	return c.portContradiction()
}

// parseLine returns an empty key for a line without content. A # after the start of a line
// is part of the value.
func parseLine(line string) (k, v string, err error) {
	if rest := strings.TrimLeft(line, " "); rest == "" || rest[0] == '#' {
		return "", "", nil
	}
	k, v, ok := strings.Cut(line, "=")
	k, v = strings.TrimSpace(k), strings.TrimSpace(v)
	if !ok || k == "" {
		return "", "", fmt.Errorf("invalid line format: want key = value")
	}
	return k, v, nil
}

func find(name string) *key {
	for i := range keys {
		if keys[i].name == name {
			return &keys[i]
		}
	}
	return nil
}

// nearest returns the known key with the smallest edit distance, if it is small for the
// length of the name.
func nearest(name string) string {
	best, bestDistance := "", 1+len(name)/3
	if len(name) > 2*maxKey {
		return ""
	}
	for _, k := range keys {
		if d := distance(name, k.name); d < bestDistance {
			best, bestDistance = k.name, d
		}
	}
	return best
}

// maxKey bounds the work of distance; the longest key has 37 characters.
const maxKey = 64

// distance counts the single-byte insertions, deletions and substitutions between a and b
// (Levenshtein), one row of the table at a time.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
