package session

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

func statsConfig() *Config {
	cfg := testConfig()
	cfg.StatsInterval = 30 * time.Second
	return cfg
}

// Row SIG-13.
func TestAClientThatAnswersPingsStays(t *testing.T) {
	p := play(t, testConfig(), viewer)
	for range 100 {
		if d := p.s.Deadline().Sub(p.now); d != 5*time.Second {
			t.Fatalf("next tick in %v", d)
		}
		p.goOn(`
clock: 5s
	server: ping
client: pong
`)
	}
}

// Row SIG-13.
func TestAClientThatNeverAnswersPingsGoes(t *testing.T) {
	p := play(t, testConfig(), viewer)
	for range 11 {
		p.goOn(`
clock: 5s
	server: ping
`)
	}
	p.goOn(`
clock: 4999ms
clock: 1ms
	channel: leave
	media: close
	server: close 4490 PONG-TIMEOUT-ERROR
`)
}

// Row SIG-13.
func TestALatePongIsInTime(t *testing.T) {
	cfg := testConfig()
	cfg.PingInterval = 40 * time.Second
	play(t, cfg, viewer+`
clock: 40s
	server: ping
clock: 19999ms
client: pong
clock: 20001ms
	server: ping
clock: 39998ms
clock: 1ms
	channel: leave
	media: close
	server: close 4490 PONG-TIMEOUT-ERROR
`)
}

// Row SIG-13.
func TestPongsNobodyAskedForAreSignsOfLife(t *testing.T) {
	cfg := testConfig()
	cfg.PingInterval = 50 * time.Second
	play(t, cfg, offeredViewer+`
# Before pings have begun they do nothing: the answer is what is waited for.
client: pong
client: answer
	media: set remote
media: established
	channel: announce
channel: announced
	server: notify self
clock: 49s
client: pong
client: pong
clock: 1s
	server: ping
clock: 50s
	server: ping
clock: 9s
	channel: leave
	media: close
	server: close 4490 PONG-TIMEOUT-ERROR
`)
}

func TestSomePingsAskForStatistics(t *testing.T) {
	p := play(t, statsConfig(), viewer+`
clock: 5s
	server: ping
client: pong
`)
	if s := p.s.Stats(); s.JSON != nil || !s.At.IsZero() {
		t.Errorf("statistics out of nothing: %+v", s)
	}
	p.goOn(`
clock: 25s
	server: ping stats
client: {"type":"pong","stats":[{"id":"a","type":"transport","timestamp":1}]}
clock: 5s
	server: ping
client: pong
`)
	if s := p.s.Stats(); string(s.JSON) != `[{"id":"a","type":"transport","timestamp":1}]` || p.now.Sub(s.At) != 5*time.Second {
		t.Errorf("%+v", s)
	}
	p.goOn(`
clock: 25s
	server: ping stats
client: {"type":"pong","stats":[]}
clock: 29s
	server: ping
clock: 5s
	server: ping stats
`)
	if s := p.s.Stats(); string(s.JSON) != `[]` {
		t.Errorf("the latest are kept: %+v", s)
	}
}

func TestStatisticsNobodyAskedForAreNotKept(t *testing.T) {
	p := play(t, statsConfig(), viewer+`
client: {"type":"pong","stats":["unasked"]}
clock: 30s
	server: ping stats
client: {"type":"pong","stats":["asked"]}
client: {"type":"pong","stats":["once more"]}
`)
	if s := p.s.Stats(); string(s.JSON) != `["asked"]` {
		t.Errorf("%+v", s)
	}
}

// Nothing is asked for without an interval, as clients without getStats() like it.
func TestStatisticsCanBeOff(t *testing.T) {
	p := play(t, testConfig(), viewer+`
clock: 59s
	server: ping
client: {"type":"pong","stats":[1]}
clock: 5s
	server: ping
`)
	if s := p.s.Stats(); s.JSON != nil {
		t.Errorf("%+v", s)
	}
}

// The pong counts whatever it brings along.
func TestStatisticsAreBounded(t *testing.T) {
	cfg := statsConfig()
	cfg.PongTimeout = time.Hour
	long := `["` + strings.Repeat("x", maxStats) + `"]`
	p := play(t, cfg, viewer+fmt.Sprintf(`
clock: 30s
	server: ping stats
client: {"type":"pong","stats":["short"]}
clock: 30s
	server: ping stats
client: {"type":"pong","stats":%s}
	log: statistics dropped: longer than %d bytes
clock: 30s
	server: ping stats
client: {"type":"pong","stats":%[1]s}
`, long, maxStats))
	if s := p.s.Stats(); string(s.JSON) != `["short"]` || s.Dropped != 2 {
		t.Errorf("%d bytes, %d dropped", len(s.JSON), s.Dropped)
	}
}
