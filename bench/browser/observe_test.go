//go:build browser

package browser

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

const (
	// arriveTimeout is from the moment that both sides are connected. It is far
	// more than a call needs, because a machine with two cores encodes and decodes
	// everybody's picture.
	arriveTimeout = 50 * time.Second
	poll          = 100 * time.Millisecond
)

// media are the figures of one inbound RTP stream.
type media struct {
	Packets       int
	Lost          int
	Codec         string
	FramesDecoded int
	KeyFrames     int
	Freezes       int
	Energy        float64
	Nacks         int
	Rtx           int
	Width         int

	Bytes int // of payload
	// Of audio: what was played, and what of it the decoder made up where nothing came.
	Samples   int
	Concealed int
}

// picture is what a canvas read back from a <video>.
type picture struct {
	Width, Height int
	Band          [3]int
	Colour        int
	Frame         int
	Readable      bool
	Mean          float64
}

type remote struct {
	Video   *media
	Audio   *media
	Picture *picture
}

// sent are the figures of one outbound RTP stream.
type sent struct {
	At      float64 // of the figures, in milliseconds
	Packets int
	Bytes   int
	Codec   string
	PLIs    int
	Frames  int // encoded
	Width   int
	Target  float64 // of the encoder, in bit/s
}

// report is what the probe sees of one page.
type report struct {
	State  string
	Remote map[string]remote
	Sent   struct {
		Video *sent
		Audio *sent
	}
	Errors []string
	Tiles  []string
}

func (tb *tab) report() report {
	tb.t.Helper()
	return eval[report](tb, "probe.report()")
}

// figures is report without the pictures, which takes less time.
func (tb *tab) figures() report {
	tb.t.Helper()
	return eval[report](tb, "probe.report({ pictures: false })")
}

// requireNoErrors fails for each error that the page or the SDK saw, and shows what the SDK
// did before.
func (tb *tab) requireNoErrors() {
	tb.t.Helper()
	errors := eval[[]string](tb, "probe.errors")
	for _, text := range errors {
		tb.t.Errorf("%s: swallowed error: %s", tb.name, text)
	}
	if len(errors) > 0 {
		timeline := eval[[]string](tb, "globalThis.rig?.timeline().slice(-40) ?? []")
		tb.t.Logf("%s: the end of the SDK's timeline:\n%s", tb.name, strings.Join(timeline, "\n"))
	}
}

// eventually polls until the condition holds; state describes what is there
// instead, for the failure.
func eventually(t *testing.T, timeout time.Duration, what string, condition func() (ok bool, state any)) {
	t.Helper()
	start := time.Now()
	deadline := start.Add(timeout)
	tick := time.NewTicker(poll)
	defer tick.Stop()
	for {
		ok, state := condition()
		if ok {
			t.Logf("%.1f s: %s", time.Since(start).Seconds(), what)
			return
		}
		if time.Now().After(deadline) {
			text, err := json.Marshal(state)
			if err != nil {
				text = fmt.Append(nil, state)
			}
			t.Fatalf("not within %v: %s; there is %s", timeout, what, text)
		}
		<-tick.C
	}
}

// bandColours are the COLOURS of signal/web/static/pattern.js.
var bandColours = [][3]int{
	{0xd6, 0x3a, 0x3a}, {0xe0, 0x8a, 0x1e}, {0xc9, 0xb4, 0x1c}, {0x3f, 0xa3, 0x4d},
	{0x1f, 0x9f, 0xa8}, {0x3b, 0x6f, 0xd4}, {0x85, 0x4f, 0xcf}, {0xcf, 0x4a, 0x9b},
}

// bandTolerance is how far a channel of the band may be off after the codec, its
// colour subsampling and scaling. The colours differ by more than twice as much in
// at least one channel.
const bandTolerance = 36

func isBand(got [3]int, pattern int) bool {
	for c, want := range bandColours[pattern] {
		if d := got[c] - want; d > bandTolerance || d < -bandTolerance {
			return false
		}
	}
	return true
}

// arrival gathers the evidence that one connection's media arrive at one page.
type arrival struct {
	Pattern  int
	First    remote
	Last     remote
	Frames   []int // distinct frame counters that were read back from the picture
	Expected string
}

// requireArrives waits until VP8 video and audio of connection id reach the page:
// more frames are decoded, the picture is the moving pattern of that number, and
// the sound has energy.
func (tb *tab) requireArrives(id string, pattern int) {
	tb.t.Helper()
	tb.requireVideo(id, pattern)
	tb.requireAudio(id)
}

func (tb *tab) requireVideo(id string, pattern int) {
	tb.t.Helper()
	tb.requireVideoIn("VP8", id, pattern)
}

// requireVideoIn is requireVideo for another codec, as in "AV1".
func (tb *tab) requireVideoIn(codec, id string, pattern int) {
	tb.t.Helper()
	tb.requireVideos(shown{codec, id, pattern})
}

// shown is a connection whose picture has to be on a page.
type shown struct {
	codec   string
	id      string
	pattern int
}

// requireVideos waits until the pictures of all these connections have moved on the page.
func (tb *tab) requireVideos(all ...shown) {
	tb.t.Helper()
	arrivals := make([]arrival, len(all))
	names := ""
	for i, s := range all {
		arrivals[i] = arrival{Pattern: s.pattern, Expected: s.id}
		names += " " + s.id
	}
	eventually(tb.t, arriveTimeout, tb.name+" sees the moving pattern of"+names, func() (bool, any) {
		r := tb.report()
		missing := []arrival{}
		for i := range arrivals {
			if a := &arrivals[i]; !a.see(r.Remote[a.Expected]) {
				missing = append(missing, *a)
			}
		}
		return len(missing) == 0, []any{missing, r}
	})
	for i, s := range all {
		if got := arrivals[i].Last.Video.Codec; got != "video/"+s.codec {
			tb.t.Errorf("%s: video of %s is %q and not %s", tb.name, s.id, got, s.codec)
		}
	}
}

// see takes what the probe sees now, and reports whether the picture is the right one and
// moves.
func (a *arrival) see(now remote) bool {
	a.Last = now
	if now.Video == nil || now.Picture == nil {
		return false
	}
	if a.First.Video == nil {
		a.First = now
	}
	p := now.Picture
	if p.Readable && p.Colour == a.Pattern && isBand(p.Band, a.Pattern) && !slices.Contains(a.Frames, p.Frame) {
		a.Frames = append(a.Frames, p.Frame)
	}
	return len(a.Frames) >= 5 && now.Video.FramesDecoded >= a.First.Video.FramesDecoded+10
}

func (tb *tab) requireAudio(id string) {
	tb.t.Helper()
	var first *media
	eventually(tb.t, arriveTimeout, tb.name+" hears "+id, func() (bool, any) {
		now := tb.figures().Remote[id].Audio
		if first == nil {
			first = now
		}
		// A quiet tone of the pattern has an energy of about 0.0008 a second, a tone
		// that the jitter buffer conceals fades to nothing.
		return first != nil && now != nil && now.Energy > first.Energy+0.0002 && now.Packets > first.Packets+25, now
	})
}

// requireOnly waits until the page shows exactly these connections.
func (tb *tab) requireOnly(ids ...string) {
	tb.t.Helper()
	want := slices.Sorted(slices.Values(ids))
	eventually(tb.t, arriveTimeout, fmt.Sprintf("%s shows %v and nobody else", tb.name, want), func() (bool, any) {
		tiles := eval[[]string](tb, "probe.tileIds()")
		if slices.Equal(tiles, want) {
			return true, nil
		}
		return false, []any{tiles, tb.figures()}
	})
}

// notify is the part of a notification that the tests look at.
type notify struct {
	EventType          string `json:"event_type"`
	ConnectionID       string `json:"connection_id"`
	Role               string `json:"role"`
	ChannelConnections int    `json:"channel_connections"`
	TURNTransportType  string `json:"turn_transport_type"`
	ClientID           string `json:"client_id"`
	SessionID          string `json:"session_id"`
	AuthnMetadata      any    `json:"authn_metadata"`
	Data               []struct {
		ConnectionID  string `json:"connection_id"`
		ClientID      string `json:"client_id"`
		AuthnMetadata any    `json:"authn_metadata"`
	} `json:"data"`
}

// requireNotify waits for a notification and returns it.
func (tb *tab) requireNotify(timeout time.Duration, eventType, id string) notify {
	tb.t.Helper()
	var found notify
	eventually(tb.t, timeout, tb.name+" is told "+eventType+" of "+id, func() (bool, any) {
		all := eval[[]notify](tb, "rig.notifies()")
		i := slices.IndexFunc(all, func(n notify) bool { return n.EventType == eventType && n.ConnectionID == id })
		if i < 0 {
			return false, all
		}
		found = all[i]
		return true, nil
	})
	return found
}

// jsString quotes for JavaScript.
func jsString(s string) string { return jsValue(s) }

// jsValue writes what JSON has as JavaScript.
func jsValue(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // the tests' own values encode
	}
	return string(b)
}

// channelName makes a channel of its own for each test.
func channelName(t *testing.T) string { return strings.ToLower(t.Name()) }
