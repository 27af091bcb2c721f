package source

import (
	"fmt"
	"strings"
	"sync"
	"time"

	"tsubame/bench/traces"
	"tsubame/media/param"
)

// traceOverhead is what a record's bytes have around the RTP payload. The browser's extensions
// take eight bytes in RFC 8285's one-byte form, behind four of their own: transport-wide-cc
// (three bytes) in all packets, and abs-send-time (four) or, with sound, audio-level (two) and
// at the beginning sdes:mid (two) beside it. The recorder writes other headers as if they had
// this size.
const traceOverhead = traces.HeaderSize + traces.TagSize

// recorded is a trace in the form of schedules.
type recorded struct {
	codec        param.Codec
	video, audio loop
}

var recordings struct {
	sync.Mutex
	names map[string]*recorded
}

// Traces lists the names that OpenTrace takes.
func Traces() []string { return traces.Names() }

// OpenTrace returns the video and the Opus audio of a recorded trace, with its times and sizes,
// from its beginning; both go on without end. The few video packets of less than 72 bytes of
// payload (parameter sets of H.264 by themselves) are made that long.
func OpenTrace(name string) (video, audio Source, err error) { return OpenTraceAt(name, 0) }

// OpenTraceAt is OpenTrace, beginning in the midst of the trace as the seed says, so that
// publishers of one trace differ. Seed 0 is the beginning.
func OpenTraceAt(name string, seed uint64) (video, audio Source, err error) {
	r, err := openRecorded(name)
	if err != nil {
		return nil, nil, err
	}
	v, a := r.video, r.audio // what loops is shared, where it stands is not
	return newStream(r.codec, v.from(seed), seed), newStream(param.Opus, a.from(seed), ^seed), nil
}

// codecOf is what a name of a trace or a clip begins with.
func codecOf(name string) (param.Codec, error) {
	word, _, _ := strings.Cut(name, "-")
	for c := param.Opus; c <= param.H265; c++ {
		if strings.EqualFold(c.String(), word) {
			return c, nil
		}
	}
	return 0, fmt.Errorf("source: %q does not begin with a codec's name", name)
}

func openRecorded(name string) (*recorded, error) {
	recordings.Lock()
	defer recordings.Unlock()
	if r := recordings.names[name]; r != nil {
		return r, nil
	}
	t, err := traces.Open(name)
	if err != nil {
		return nil, fmt.Errorf("source: %w", err)
	}
	c, err := codecOf(name)
	if err != nil {
		return nil, err
	}
	r := &recorded{codec: c}
	if r.video, err = newLoop(t.Video, true); err != nil {
		return nil, fmt.Errorf("source: trace %s: video: %w", name, err)
	}
	if r.audio, err = newLoop(t.Audio, false); err != nil {
		return nil, fmt.Errorf("source: trace %s: audio: %w", name, err)
	}
	if recordings.names == nil {
		recordings.names = make(map[string]*recorded)
	}
	recordings.names[name] = r
	return r, nil
}

// newLoop groups records into frames. The period is as many mean intervals as there are
// frames, so that the seam looks like any other place; that of audio is in whole frames of
// sound, so that its clock does not drift. The two need not be the same: each stream's
// timestamps go with its own times.
func newLoop(records []traces.Record, video bool) (loop, error) {
	var frames []frame
	wires := make([]wire, 0, len(records))
	for i, r := range records {
		if i == 0 || r.Frame != records[i-1].Frame {
			frames = append(frames, frame{at: r.At})
		}
		f := &frames[len(frames)-1]
		size := r.Bytes - traceOverhead
		if video {
			size = max(size, minVideoPayload)
		}
		wires = append(wires, wire{at: r.At - f.at, size: min(max(size, 1), maxPayload)})
		f.packets = wires[len(wires)-len(f.packets)-1 : len(wires) : len(wires)]
	}
	if video && len(frames) > 0 && !records[len(records)-1].Marker {
		frames = frames[:len(frames)-1] // the recording ended within
	}
	if len(frames) < 2 {
		return loop{}, fmt.Errorf("%d frames are too few", len(frames))
	}
	first, last := frames[0], frames[len(frames)-1]
	l := loop{frames: frames, period: time.Duration(len(frames)) * opusFrame}
	if video {
		l.period = (last.at - first.at) * time.Duration(len(frames)) / time.Duration(len(frames)-1)
	}
	// The seam keeps the order.
	end := last.at + last.packets[len(last.packets)-1].at
	l.period = max(l.period, end-first.at)
	return l, nil
}
