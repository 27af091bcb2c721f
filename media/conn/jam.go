package conn

import (
	"time"

	"tsubame/media/param"
	"tsubame/netio/mono"
)

// A viewer behind a stream that does not get through with what it is sent is sent no more video
// until the next key frame (row ICE-14): what its decoder cannot use anyway makes room for audio.
// The key frame is not asked for at once, and the later the more often it has come to that:
// it is the largest thing of all to send, and all other viewers of the track pay for it too.
const (
	jamHold   = 500 * time.Millisecond // doubled with each time, up to
	jamLonger = 4                      // so many times
)

// jam is what is known of that. The zero value: it has never happened.
type jam struct {
	until mono.Time // no key frame is asked for before
	times uint8     // that it has come to that, without as long a time in between

	begun   bool      // the stream has taken something
	taken   uint16    // the highest sequence number that it took
	refused mono.Time // when it refused something last
}

// took takes note that a stream has taken the packet seq. Late ones are below the highest.
func (j *jam) took(seq uint16) {
	if !j.begun || int16(seq-j.taken) > 0 {
		j.begun, j.taken = true, seq
	}
}

// interrupted takes note that a stream has refused a packet of the subscription.
func (s *subscriber) interrupted(env *Env, now mono.Time) {
	if s.spec.Kind != param.Video {
		return
	}
	env.Count.Interrupted.Inc()
	s.stream.Interrupt()
	s.replays, s.replay.over = false, true
	j := &s.jam
	j.refused = now
	hold := jamHold << j.times
	switch {
	case j.until != 0 && now.Sub(j.until) < hold:
		j.times = min(j.times+1, jamLonger)
	case j.until != 0:
		j.times = 0
	}
	j.until = now.Add(jamHold << j.times)
}

// received takes the highest sequence number that the viewer reports. With all that the stream
// took nothing is left in it to wait behind: the jam is over, and its key frame asked for with the
// next packet. Neither what was refused nor what is missing from the source has any part in that:
// none of it will ever be reported. There is no number that would be too high, since what is late
// may be taken or refused below those that came before.
func (j *jam) received(now mono.Time, highest uint16) {
	if now < j.until && (!j.begun || int16(highest-j.taken) >= 0) {
		j.until = now
	}
}

// through takes when we sent the newest sender report, of any stream, that the viewer says it has.
// What was sent before is no longer under way then, whatever became of it: the home of the stream
// may be another shard, and refuse there what was taken here.
func (j *jam) through(now, sent mono.Time) {
	if now < j.until && sent > j.refused {
		j.until = now
	}
}

// mayAsk reports whether a key frame may be asked for on behalf of the viewer.
func (s *subscriber) mayAsk(now mono.Time) bool { return now >= s.jam.until }
