package session

import (
	"cmp"
	"strconv"
	"time"

	"tsubame/signal/sora"
)

// maxStats is the longest statistics that are kept, in bytes. A publisher's are some 20 KiB,
// those of a client with ten others 60 to 100 KiB. What is longer is dropped: every session of the
// server may keep this much.
const maxStats = 128 << 10

// Stats are what a client told about its side of the connection.
type Stats struct {
	JSON []byte    // its flattened getStats() report: a JSON array, as it was sent; nil: none yet
	At   time.Time // when it came
	// Dropped counts those that were too long to be kept.
	Dropped int
}

// Stats returns the latest statistics of the client. They stay as they are: the next ones
// take their place, not their memory.
func (s *Session) Stats() Stats { return s.stats }

// startPings starts asking whether the client is alive, once it can answer.
func (s *Session) startPings(now time.Time) {
	s.pingAt, s.pongBy = now.Add(s.cfg.PingInterval), now.Add(s.cfg.PongTimeout)
	s.statsAt = now.Add(s.statsEvery())
}

// statsDefault is between pings that ask for statistics where only the application wants them.
const statsDefault = time.Minute

// statsEvery returns the time between them; 0: there are none.
func (s *Session) statsEvery() time.Duration {
	if !s.settings.RTCStats && !s.settings.StatsExporter {
		return 0
	}
	return cmp.Or(s.cfg.StatsInterval, statsDefault)
}

func (s *Session) ping(now time.Time) {
	s.pingAt = now.Add(s.cfg.PingInterval)
	every := s.statsEvery()
	stats := every > 0 && !now.Before(s.statsAt)
	if stats {
		s.statsAt, s.statsAsked = now.Add(every), true
	}
	s.send(sora.AppendPing(nil, stats))
}

// pong takes a sign of life. Any pong is one, asked for or not, late or not; but statistics
// are kept only if they were asked for.
func (s *Session) pong(now time.Time, m *sora.Message) {
	if s.pingAt.IsZero() {
		return // no ping has gone out
	}
	s.pongBy = now.Add(s.cfg.PongTimeout)
	tooLong := m.StatsTooLarge || len(m.Stats) > maxStats
	if !s.statsAsked || m.Stats == nil && !tooLong {
		return
	}
	s.statsAsked = false
	if !tooLong {
		s.stats.JSON, s.stats.At = m.Stats, now
		if s.cfg.Ask {
			s.do(Report{JSON: m.Stats})
		}
		return
	}
	if s.stats.Dropped++; s.stats.Dropped == 1 {
		s.log(EventStatsDropped, "longer than "+strconv.Itoa(maxStats)+" bytes")
	}
}
