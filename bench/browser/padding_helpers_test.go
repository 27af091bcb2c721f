//go:build browser

package browser

import (
	"fmt"
	"testing"
	"time"

	"tsubame/bench/harness"
)

const (
	paddedKbps  = 1500
	paddedTime  = 15 * time.Second // the call is watched
	backlogTime = 5 * time.Second  // in which a decoder that was kept waiting has to catch up
	rampTime    = 12 * time.Second // at most, until the encoder's target is near what was asked for

	// minPadded is the share of a publisher's packets that must have been padded. Chromium cuts
	// a frame into packets of which up to half are a byte longer, and sends those of a large
	// frame in groups, of which some are equal in themselves: a quarter was measured.
	minPadded = 0.1

	// minPackets is how many packets a frame must have for there to be something to pad.
	minPackets = 3

	// paddedTries is how often the calls may be had: each takes half a minute or a whole one.
	paddedTries = 2

	// maxPad is the most that one packet is padded by.
	maxPad = 16

	// maxWaiting is how many frames can be on their way to the decoder at a look.
	maxWaiting = 8
)

// busy is a picture that takes more than two packets a frame whatever the codec, and of which
// two processors encode four and decode eight.
var busy = wish{Noise: true, FPS: 15, Width: 320, Height: 180}

// figures are what one page says of the picture that it sends or receives.
type figures struct {
	At     float64 // ms
	Target float64 // bit/s

	Encoded, Packets       int
	Received, Decoded      int
	Dropped, Freezes, Lost int
	Keys, Asked            int // key frames sent or decoded; those that were asked for, by either
}

// waiting is how many frames have come and are neither decoded nor dropped.
func (f figures) waiting() int { return f.Received - f.Decoded - f.Dropped }

// paddingScript reads them. What a browser does not have is an error, so that it cannot pass
// for zero; only Full Intra Requests are not everywhere.
const paddingScript = `(async () => {
	const pc = probe.peers.find((pc) => pc.connectionState === "connected");
	const f = {};
	const take = (s, names) => {
		for (const [ours, name] of Object.entries(names)) {
			if (s[name] === undefined) throw new Error(s.type + " has no " + name);
			f[ours] = s[name];
		}
		f.asked = s.pliCount + (s.firCount ?? 0);
	};
	for (const s of (await pc.getStats()).values()) {
		if (s.kind !== "video") continue;
		if (s.type === "outbound-rtp") take(s, {
			at: "timestamp", target: "targetBitrate", encoded: "framesEncoded", packets: "packetsSent",
			keys: "keyFramesEncoded", asked: "pliCount",
		});
		if (s.type === "inbound-rtp") take(s, {
			at: "timestamp", received: "framesReceived", decoded: "framesDecoded", dropped: "framesDropped",
			freezes: "freezeCount", lost: "packetsLost", keys: "keyFramesDecoded", asked: "pliCount",
		});
	}
	return f;
})()`

// paddedCall is a publisher and its viewers on a server of their own.
type paddedCall struct {
	scene     *scene
	codec     string
	publisher *client
	viewers   []*client
	before    paddedLook
}

// paddedLook is what there is to see of a call at one time.
type paddedLook struct {
	padded, size uint64 // packets and bytes by the server's counters
	sent         figures
	seen         []figures // by each viewer
}

// startPaddedCall starts a server that pads or does not, and a call in a codec on it, with
// a viewer in each of the browsers.
func startPaddedCall(t *testing.T, codec string, pattern int, pads bool, viewers ...browser) *paddedCall {
	t.Helper()
	o := harness.Options{Args: []string{"-dev"}}
	if !pads {
		o.Config = map[string]string{"equalise_padding": "false", "frame_window": "0 ms"}
	}
	c := &paddedCall{scene: newSceneWith(t, o), codec: codec}
	c.publisher = c.scene.client(sharedChromium(t), codec, pattern)
	for _, b := range viewers {
		name := "chromium"
		if _, ok := b.(*firefox); ok {
			name = "firefox"
		}
		c.viewers = append(c.viewers, c.scene.client(b, name, 0))
	}
	c.publisher.joinWith("sendonly", options{"videoCodecType": codec, "videoBitRate": paddedKbps, "audio": false}, busy)
	for _, v := range c.viewers {
		v.joinWith("recvonly", options{"audio": false}, wish{})
	}
	return c
}

// settle waits until the publisher may send about as much as it was told to. Where the machine
// has no time for that it may send less, which requirePadded judges.
func (c *paddedCall) settle() {
	t := c.scene.t
	t.Helper()
	tick, end := time.NewTicker(poll), time.After(rampTime)
	defer tick.Stop()
	for f := (figures{}); f.Target < 0.8*paddedKbps*1000; {
		select {
		case <-end:
			t.Logf("%s: the encoder's target is %.0f kbps after %v", c.codec, f.Target/1000, rampTime)
			return
		case <-tick.C:
			f = eval[figures](c.publisher.tab, paddingScript)
		}
	}
}

func (c *paddedCall) look() (l paddedLook) {
	l.sent = eval[figures](c.publisher.tab, paddingScript)
	for _, v := range c.viewers {
		l.seen = append(l.seen, eval[figures](v.tab, paddingScript))
	}
	n := c.scene.server.Counters()
	l.padded, l.size = n["padded_packets"], n["padded_bytes"]
	return l
}

// view is what one viewer had of a call between two looks, and what the server did to it.
type view struct {
	codec, viewer    string
	encoded, decoded float64 // frames a second
	kbps             float64 // that the encoder was allowed at the end
	perFrame         float64 // packets
	keys, asked      int     // key frames sent, and requests for them that came to the publisher
	requests         int     // for key frames, by the viewer
	dropped, freezes int
	lost             int     // packets
	undecoded        int     // frames that were received and neither decoded nor dropped
	share            float64 // of the packets that were padded
	pad              float64 // bytes of padding in each of those
}

func (v view) String() string {
	return fmt.Sprintf("%s in %s: %.2f of %.2f frames a second decoded, %.1f packets each, %.0f kbps, %d dropped, %d undecoded, "+
		"%d freezes, %d packets lost; %d key frames, %d asked for, %d by this viewer; %.0f %% of packets padded, by %.1f bytes",
		v.codec, v.viewer, v.decoded, v.encoded, v.perFrame, v.kbps, v.dropped, v.undecoded,
		v.freezes, v.lost, v.keys, v.asked, v.requests, 100*v.share, v.pad)
}

// views compares a look with the one before.
func (c *paddedCall) views(after paddedLook) (all []view) {
	from, to := c.before.sent, after.sent
	packets, padded := to.Packets-from.Packets, after.padded-c.before.padded
	for i, v := range c.viewers {
		b, a := c.before.seen[i], after.seen[i]
		w := view{
			codec: c.codec, viewer: v.name, kbps: to.Target / 1000,
			encoded:  1000 * float64(to.Encoded-from.Encoded) / (to.At - from.At),
			decoded:  1000 * float64(a.Decoded-b.Decoded) / (a.At - b.At),
			perFrame: float64(packets) / float64(to.Encoded-from.Encoded),
			keys:     to.Keys - from.Keys, asked: to.Asked - from.Asked, requests: a.Asked - b.Asked,
			dropped: a.Dropped - b.Dropped, freezes: a.Freezes - b.Freezes, lost: a.Lost - b.Lost,
			undecoded: a.waiting() - b.waiting(),
			share:     float64(padded) / float64(packets),
		}
		// A browser that was kept waiting has frames to decode; broken ones do not get fewer.
		for tick, end := time.Tick(poll), time.Now().Add(backlogTime); w.undecoded > maxWaiting && time.Now().Before(end); {
			<-tick
			w.undecoded = eval[figures](v.tab, paddingScript).waiting() - b.waiting()
		}
		if padded > 0 {
			w.pad = float64(after.size-c.before.size) / float64(padded)
		}
		all = append(all, w)
	}
	return all
}

// watchPadding has calls in all codecs at once, each on a server of its own, and watches them
// for a while.
func watchPadding(t *testing.T, pads bool, codecs []string, viewers func(codec string) []browser) (all []view) {
	t.Helper()
	var calls []*paddedCall
	for i, codec := range codecs {
		calls = append(calls, startPaddedCall(t, codec, 2*i, pads, viewers(codec)...))
	}
	for _, c := range calls {
		for _, v := range c.viewers {
			v.requireVideoFrom(c.publisher)
		}
	}
	for _, c := range calls {
		c.settle()
	}
	for _, c := range calls {
		c.before = c.look()
	}
	<-time.After(paddedTime)
	for _, c := range calls {
		all = append(all, c.views(c.look())...)
	}
	for _, c := range calls { // what is read back is that the picture still is what was sent
		for _, v := range c.viewers {
			v.requireVideoFrom(c.publisher)
			v.leave()
		}
		c.publisher.leave()
	}
	for _, v := range all {
		t.Logf("padding %v: %v", pads, v)
	}
	return all
}

// requireHarmless has calls without padding and with it, and requires that no viewer can tell
// one from the other.
func requireHarmless(t *testing.T, codecs []string, viewers func(codec string) []browser) {
	t.Helper()
	requireNoHarm(t, func() (h harm) {
		plain := watchPadding(t, false, codecs, viewers)
		padded := watchPadding(t, true, codecs, viewers)
		for i, v := range padded {
			v.requirePadded(t)
			h.add(v.harm(plain[i]))
			if plain[i].share != 0 {
				t.Errorf("padded though it is switched off: %v", plain[i])
			}
		}
		return h
	})
}

// requireNoHarm has calls until in one of them no harm was done. A disturbance that only the
// machine's other work can have caused does not come each time, or the machine stalls each
// time; but broken frames and requests for key frames are never put down to that.
func requireNoHarm(t *testing.T, call func() harm) {
	t.Helper()
	for try := 1; ; try++ {
		stalls := watchStalls()
		h, stall := call(), stalls.longest()
		if len(h.tempo)+len(h.picture) == 0 {
			return
		}
		t.Logf("%d. try: %q, %q; this process waited %v for a processor", try, h.picture, h.tempo, stall)
		switch {
		case try < paddedTries:
		case len(h.picture) == 0 && stall >= starved:
			t.Logf("the machine had no processor for its browsers, but every frame was decoded")
			return
		default:
			t.Fatalf("padding did harm in each of %d calls: %q, %q", try, h.picture, h.tempo)
		}
	}
}

// requirePadded looks whether the server did what the test is about.
func (v view) requirePadded(t *testing.T) {
	t.Helper()
	// AV1's packets of a frame have one length as they come from Chromium.
	if v.codec != "AV1" && v.share < minPadded {
		t.Errorf("hardly anything is padded: %v", v)
	}
	if v.pad > maxPad {
		t.Errorf("more than %d bytes of padding: %v", maxPad, v)
	}
	if v.perFrame < minPackets {
		t.Errorf("hardly anything could be padded: %v", v)
	}
}

// harm is what viewers had to bear that they had not without padding.
type harm struct {
	tempo   []string // what a machine without a free processor does as well
	picture []string // what it does not
}

func (h *harm) add(more harm) {
	h.tempo = append(h.tempo, more.tempo...)
	h.picture = append(h.picture, more.picture...)
}

// harm compares with a call without padding.
func (v view) harm(plain view) (h harm) {
	say := func(to *[]string, bad bool, what string) {
		if bad {
			*to = append(*to, fmt.Sprintf("%s in %s: %s", v.codec, v.viewer, what))
		}
	}
	say(&h.tempo, v.encoded < (1-maxDeviation)*plain.encoded, "fewer frames are encoded")
	say(&h.tempo, v.decoded < (1-maxDeviation)*plain.decoded, "fewer frames are decoded")
	say(&h.tempo, v.freezes > plain.freezes, "the picture froze")
	say(&h.tempo, v.dropped > plain.dropped, "frames were dropped")
	say(&h.picture, v.decoded < (1-maxDeviation)*v.encoded, "not all that was encoded is decoded")
	say(&h.picture, v.undecoded > maxWaiting, "frames could not be decoded")
	say(&h.picture, v.requests > plain.requests, "the viewer asked for key frames")
	say(&h.picture, v.asked > plain.asked, "the publisher was asked for key frames")
	say(&h.picture, v.keys > plain.keys, "there were more key frames")
	return h
}
