package scenario

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"tsubame/bench/load"
	"tsubame/bench/source"
	"tsubame/media/param"
)

// Setting is one thing that can be set.
type Setting struct {
	Name  string
	Value string // what its value is, in capitals; "" for true and false, where --name is true
	Help  string

	apply func(*Scenario, string) error
}

var settings = []Setting{
	{"name", "NAME", "what the run is called in tables", func(s *Scenario, v string) error { s.Name = v; return nil }},
	{"url", "URL", "signaling of the server (ws://127.0.0.1:5000/signaling)", webSocket},
	{"pid", "PID", "process of the server, to read its CPU time and memory", integer(func(s *Scenario) *int { return &s.PID }, 0, 1<<30)},
	{"rooms", "N", "rooms (1)", integer(func(s *Scenario) *int { return &s.Rooms }, 1, 1<<17)},
	{"clients", "N", "clients in each room (2)", integer(func(s *Scenario) *int { return &s.Clients }, 1, 1<<17)},
	{"role", "ROLE", "sendrecv, sendonly, recvonly or broadcast: one of a room sends (sendrecv)", role},
	{"audio", "", "with audio (true)", boolean(func(s *Scenario) *bool { return &s.Audio })},
	{"video", "", "with video (true)", boolean(func(s *Scenario) *bool { return &s.Video })},
	{"codec", "CODEC", "of video: VP8, VP9, AV1, H264 or H265 (VP8)", codec},
	{"bitrate", "RATE", "of video, 500k or 1.5M bit/s (500k)", rate(func(s *Scenario) *int { return &s.Bitrate })},
	{"fps", "N", "pictures a second (25)", integer(func(s *Scenario) *int { return &s.FrameRate }, 1, 240)},
	{"trace", "NAME", "video and its times as recorded from a browser", named(func(s *Scenario) *string { return &s.Trace }, source.Traces)},
	{"clip", "NAME", "real encoded video", named(func(s *Scenario) *string { return &s.Clip }, source.Clips)},
	{"payload", "BYTES", "packets of one size, with packet-rate", integer(func(s *Scenario) *int { return &s.PayloadSize }, 16, 1200)},
	{"packet-rate", "N", "packets a second of that size", integer(func(s *Scenario) *int { return &s.PacketRate }, 1, 100_000)},
	{"join-rate", "N", "joins a second (0: as fast as they go)", integer(func(s *Scenario) *int { return &s.JoinRate }, 0, 100_000)},
	{"warmup", "TIME", "between the last join and measuring (2s)", duration(func(s *Scenario) *time.Duration { return &s.Warmup })},
	{"duration", "TIME", "of the measured part (10s)", duration(func(s *Scenario) *time.Duration { return &s.Duration })},
	{"churn", "TIME", "each client leaves and comes back about once in this time", duration(func(s *Scenario) *time.Duration { return &s.Churn })},
	{"poll", "TIME", "how often clients read their sockets (5ms)", duration(func(s *Scenario) *time.Duration { return &s.Poll })},
	{"loss", "PERCENT", "lost on each client's link, both ways", percent(func(s *Scenario) *float64 { return &s.Link.Loss })},
	{"delay", "TIME", "of each client's link, one way", duration(func(s *Scenario) *time.Duration { return &s.Link.Delay })},
	{"jitter", "TIME", "added to the delay, 0 to this", duration(func(s *Scenario) *time.Duration { return &s.Link.Jitter })},
	{"rate", "RATE", "what each client's link carries, such as 2M bit/s", rate(func(s *Scenario) *int { return &s.Link.Rate })},
	{"latency", "", "measure forwarding latency", boolean(func(s *Scenario) *bool { return &s.Latency })},
	{"storm", "", "measure joins only; no media is sent", boolean(func(s *Scenario) *bool { return &s.Storm })},
	{"notify", "", "ask for notifications of who joins and leaves", boolean(func(s *Scenario) *bool { return &s.Notify })},
	{"shards", "N", "threads of clients (1)", integer(func(s *Scenario) *int { return &s.Shards }, 1, 64)},
	{"turn", "WAY", "media through the server's TURN: udp, tcp or tls (they go directly)", turn},
	{"insecure", "", "TURN by TLS takes any certificate, as it always does on loopback", boolean(func(s *Scenario) *bool { return &s.Insecure })},
	{"profile", "NAME", "of SRTP to offer: gcm or cm (what the server prefers)", profile},
}

// Settings returns all settings, in the order of the help text.
func Settings() []Setting { return slices.Clone(settings) }

func find(name string) *Setting {
	for i := range settings {
		if settings[i].Name == name {
			return &settings[i]
		}
	}
	return nil
}

// Nearest returns the setting, or one of the other names, that is most like name; "" if none
// is.
func Nearest(name string, others ...string) string {
	for i := range settings {
		others = append(others, settings[i].Name)
	}
	return nearest(name, others)
}

func nearest(name string, all []string) string {
	best, least := "", 2+len(name)/4
	if len(name) > 64 {
		return ""
	}
	for _, a := range all {
		if d := distance(strings.ToLower(name), strings.ToLower(a)); d < least && d < len(a) {
			best, least = a, d
		}
	}
	return best
}

// distance counts insertions, deletions and substitutions of bytes (Levenshtein).
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

type apply = func(*Scenario, string) error

func integer(field func(*Scenario) *int, low, high int) apply {
	return func(s *Scenario, v string) error {
		n, err := strconv.Atoi(v)
		if err != nil {
			return fmt.Errorf("%q is not a whole number", v)
		}
		if n < low || n > high {
			return fmt.Errorf("%d is not in %d to %d", n, low, high)
		}
		*field(s) = n
		return nil
	}
}

func boolean(field func(*Scenario) *bool) apply {
	return func(s *Scenario, v string) error {
		if v != "true" && v != "false" {
			return fmt.Errorf("%q is neither true nor false", v)
		}
		*field(s) = v == "true"
		return nil
	}
}

func duration(field func(*Scenario) *time.Duration) apply {
	return func(s *Scenario, v string) error {
		d, err := time.ParseDuration(strings.ReplaceAll(v, " ", ""))
		if err != nil {
			return fmt.Errorf("%q is no time such as 10s, 5ms or 2m", v)
		}
		if d < 0 || d > 24*time.Hour {
			return fmt.Errorf("%v is not in 0 to 24h", d)
		}
		*field(s) = d
		return nil
	}
}

// rate reads bits a second with k or M behind them.
func rate(field func(*Scenario) *int) apply {
	return func(s *Scenario, v string) error {
		number, unit := strings.TrimSpace(strings.TrimSuffix(v, "bit/s")), 1.0
		switch {
		case strings.HasSuffix(number, "k"):
			number, unit = strings.TrimSuffix(number, "k"), 1e3
		case strings.HasSuffix(number, "M"):
			number, unit = strings.TrimSuffix(number, "M"), 1e6
		}
		x, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
		if err != nil || x != x {
			return fmt.Errorf("%q is no bit rate such as 500k or 1.5M", v)
		}
		if x *= unit; x < 1000 || x > 1e9 {
			return fmt.Errorf("%q is not in 1k to 1000M", v)
		}
		*field(s) = int(x)
		return nil
	}
}

func percent(field func(*Scenario) *float64) apply {
	return func(s *Scenario, v string) error {
		x, err := strconv.ParseFloat(strings.TrimSpace(strings.TrimSuffix(v, "%")), 64)
		if err != nil || !(x >= 0 && x <= 100) {
			return fmt.Errorf("%q is not in 0 to 100 percent", v)
		}
		*field(s) = x / 100
		return nil
	}
}

// one finds v among words, or says which there are.
func one(v string, words []string) error {
	if slices.Contains(words, v) {
		return nil
	}
	if n := nearest(v, words); n != "" {
		return fmt.Errorf("there is no %q; did you mean %q?", v, n)
	}
	return fmt.Errorf("%q is none of %s", v, strings.Join(words, ", "))
}

func named(field func(*Scenario) *string, words func() []string) apply {
	return func(s *Scenario, v string) error {
		*field(s) = v
		return one(v, words())
	}
}

func webSocket(s *Scenario, v string) error {
	u, err := url.Parse(v)
	if err != nil || u.Host == "" || u.Scheme != "ws" && u.Scheme != "wss" {
		return fmt.Errorf("%q is no address such as ws://127.0.0.1:5000/signaling", v)
	}
	s.URL = v
	return nil
}

func role(s *Scenario, v string) error {
	s.Role = load.Role(v)
	return one(v, []string{string(load.SendRecv), string(load.SendOnly), string(load.RecvOnly), string(load.Broadcast)})
}

func turn(s *Scenario, v string) error {
	s.TURN = load.TURN(v)
	return one(v, []string{string(load.TURNUDP), string(load.TURNTCP), string(load.TURNTLS)})
}

func profile(s *Scenario, v string) error {
	s.Profile = v
	return one(v, []string{"gcm", "cm"})
}

func codec(s *Scenario, v string) error {
	var words []string
	for _, c := range []param.Codec{param.VP8, param.VP9, param.AV1, param.H264, param.H265} {
		if strings.EqualFold(c.String(), v) {
			s.Codec = c
			return nil
		}
		words = append(words, c.String())
	}
	return one(v, words)
}
