//go:build browser

package browser

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

// tiny is a picture of which two processors can encode ten and decode ninety.
var tiny = wish{FPS: 5, Width: 192, Height: 108}

// flow watches whether media of everybody else come to one client.
type flow struct {
	*client
	first map[string]remote // what had come of each when it was seen first
}

// missing returns those of whom sound and pictures have not come for a while: packets and
// decoded frames have to become more.
func (f *flow) missing(others []*client) map[string]remote {
	f.t.Helper()
	r := f.figures()
	missing := map[string]remote{}
	for _, other := range others {
		now := r.Remote[other.id]
		then, seen := f.first[other.id]
		if !seen && now.Video != nil && now.Audio != nil {
			f.first[other.id], then, seen = now, now, true
		}
		if !seen || now.Audio.Packets < then.Audio.Packets+5 || now.Video.Packets < then.Video.Packets+5 ||
			now.Video.FramesDecoded < then.Video.FramesDecoded+5 {
			missing[other.id] = now
		}
	}
	return missing
}

// requireEverybody waits until each of the clients shows exactly the others and gets their
// sound and pictures.
func requireEverybody(t *testing.T, timeout time.Duration, all []*client) {
	t.Helper()
	waiting := make([]*flow, len(all))
	for i, c := range all {
		c.requireOnly(ids(without(all, c))...)
		waiting[i] = &flow{c, map[string]remote{}}
	}
	eventually(t, timeout, fmt.Sprintf("each of %d gets media of all others", len(all)), func() (bool, any) {
		state := map[string]any{}
		waiting = slices.DeleteFunc(waiting, func(f *flow) bool {
			missing := f.missing(without(all, f.client))
			if len(missing) > 0 {
				state[f.name] = missing
			}
			return len(missing) == 0
		})
		return len(waiting) == 0, state
	})
}

func TestSDKTenInOneChannel(t *testing.T) {
	const (
		participants = 10
		timeout      = 2 * time.Minute // for ninety streams
	)
	s, b := newScene(t), sharedChromium(t)
	// Long packets of sound are fewer, and as many streams.
	o := options{"videoCodecType": "VP8", "videoBitRate": 60, "audioBitRate": 16, "audioOpusParamsPtime": 60}
	all := make([]*client, participants)
	for i := range all {
		all[i] = s.client(b, fmt.Sprint("participant ", i+1), i%len(bandColours))
		all[i].joinWith("sendrecv", o, tiny)
	}
	requireEverybody(t, timeout, all)
	all[4].requireVideoFrom(without(all, all[4])...)
	if n := all[0].requireNotify(arriveTimeout, "connection.created", all[9].id); n.ChannelConnections != participants {
		t.Errorf("the first is told of %d connections", n.ChannelConnections)
	}

	leaver := all[3]
	leaver.leave()
	rest := without(all, leaver)
	for _, c := range rest {
		c.requireOnly(ids(without(rest, c))...)
	}
	leaver.joinWith("sendrecv", o, tiny)
	requireEverybody(t, timeout, all)
	leaver.requireVideoFrom(rest...)
}
