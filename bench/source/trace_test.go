package source

import (
	"bytes"
	"testing"
	"time"

	"tsubame/bench/traces"
	"tsubame/media/codec"
	"tsubame/media/param"
)

// must returns what is to be there.
func must[T any](t testing.TB) func(v T, err error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// everySource is one of each kind.
func everySource(t testing.TB) map[string]Source {
	all := make(map[string]Source)
	for _, name := range Traces() {
		v, a, err := OpenTraceAt(name, 7)
		if err != nil {
			t.Fatal(err)
		}
		all[name], all[name+" sound"] = v, a
	}
	for _, c := range []param.Codec{param.VP8, param.VP9, param.AV1, param.H264, param.H265} {
		all["video of "+c.String()] = must[Source](t)(Video(c, 1_000_000, 20, 3))
		all["large video of "+c.String()] = must[Source](t)(Video(c, 50_000_000, 25, 4))
		all["fixed "+c.String()] = must[Source](t)(FixedRuns(c, 1100, 300, 6))
	}
	all["opus"] = must[Source](t)(Opus(5))
	all["fixed opus"] = must[Source](t)(FixedRuns(param.Opus, 100, 50, 1))
	return all
}

// laps is enough packets for three rounds of any trace.
const laps = 10_000

func TestTimesNeverGoBack(t *testing.T) {
	for name, s := range everySource(t) {
		var p Packet
		last := time.Duration(0)
		for i := range laps {
			if s.Next(&p); p.At < last {
				t.Fatalf("%s: packet %d at %v is behind %v", name, i, p.At, last)
			}
			last = p.At
		}
	}
}

func TestTimestampsGoOnThroughTheSeam(t *testing.T) {
	for name, s := range everySource(t) {
		var p Packet
		s.Next(&p)
		at, timestamp := p.At, p.Timestamp
		for i := range laps {
			if s.Next(&p); p.Timestamp == timestamp {
				continue
			}
			step, gap := p.Timestamp-timestamp, p.At-at
			at, timestamp = p.At, p.Timestamp
			if gap > 500*time.Millisecond { // a busy machine was recorded
				t.Fatalf("%s: packet %d comes %v behind the one before", name, i, gap)
			}
			if s.Codec() == param.Opus {
				if step != opusRate/50 {
					t.Fatalf("%s: packet %d: the timestamp rises by %d", name, i, step)
				}
			} else if diff := time.Duration(step)*time.Second/videoRate - gap; diff.Abs() > 20*time.Microsecond {
				t.Fatalf("%s: packet %d: the timestamp rises by %d, the time by %v", name, i, step, gap)
			}
		}
	}
}

func TestATraceIsPlayedAsItWasRecorded(t *testing.T) {
	for _, name := range Traces() {
		recorded := must[*traces.Trace](t)(traces.Open(name))
		v, a, err := OpenTrace(name)
		if err != nil {
			t.Fatal(err)
		}
		for what, pair := range map[string]struct {
			Source
			records []traces.Record
		}{"video": {v, recorded.Video}, "audio": {a, recorded.Audio}} {
			var p Packet
			for i, r := range pair.records {
				pair.Next(&p)
				want := r.Bytes - traceOverhead
				if what == "video" {
					want = max(want, minVideoPayload)
				}
				if p.At != r.At || len(p.Payload) != want || what == "video" && p.Marker != r.Marker {
					t.Fatalf("%s: %s packet %d: %v, %d bytes, marker %v; recorded %+v", name, what, i, p.At, len(p.Payload), p.Marker, r)
				}
			}
		}
	}
}

func TestCodecsReadThePayloads(t *testing.T) {
	for name, s := range everySource(t) {
		var p Packet
		start, last := true, uint32(0)
		for i := range 1000 {
			if i == 500 {
				s.KeyFrame()
			}
			s.Next(&p)
			d, err := codec.Peek(s.Codec(), p.Payload)
			if err != nil {
				t.Fatalf("%s: packet %d: %v", name, i, err)
			}
			if s.Codec() == param.Opus {
				if d.KeyFrame || p.KeyFrame || d.DTX {
					t.Fatalf("%s: packet %d: %+v", name, i, d)
				}
				continue
			}
			if i > 0 {
				start = p.Timestamp != last
			}
			last = p.Timestamp
			if d.KeyFrame != (start && p.KeyFrame) {
				t.Fatalf("%s: packet %d: key frame %v, first of it %v", name, i, p.KeyFrame, d.KeyFrame)
			}
			if (s.Codec() == param.VP8 || s.Codec() == param.VP9) && d.FrameStart != start {
				t.Fatalf("%s: packet %d: starts a frame: %v", name, i, d.FrameStart)
			}
		}
	}
}

func TestKeyFramesComeAtTheStartAndWhenAskedFor(t *testing.T) {
	for name, s := range everySource(t) {
		if s.Codec() == param.Opus {
			continue
		}
		var p Packet
		frames, keys, last := 0, 0, uint32(1)
		for frames < 700 {
			s.Next(&p)
			if p.Timestamp == last {
				continue
			}
			last = p.Timestamp
			if p.KeyFrame {
				keys++
			}
			if want := frames == 0 || frames == 400; p.KeyFrame != want {
				t.Fatalf("%s: frame %d is a key frame: %v", name, frames, p.KeyFrame)
			}
			if frames++; frames == 400 {
				s.KeyFrame()
				s.KeyFrame()
			}
		}
		if keys != 2 {
			t.Fatalf("%s: %d key frames", name, keys)
		}
	}
}

func TestPacketsCanBeToldByTheirEnds(t *testing.T) {
	for name, s := range everySource(t) {
		var p Packet
		seen := make(map[string]bool)
		for i := range laps {
			s.Next(&p)
			if len(p.Payload) < 9 {
				continue // silence
			}
			end := string(p.Payload[len(p.Payload)-8:])
			if seen[end] {
				t.Fatalf("%s: packet %d ends like one before", name, i)
			}
			seen[end] = true
		}
	}
}

func TestSourcesRepeatBySeed(t *testing.T) {
	a, b, c := everySource(t), everySource(t), must[Source](t)(Video(param.VP8, 1_000_000, 20, 4))
	for name, s := range a {
		var p, q Packet
		for range 100 {
			s.Next(&p)
			b[name].Next(&q)
			if p.At != q.At || !bytes.Equal(p.Payload, q.Payload) {
				t.Fatalf("%s: %v and %v", name, p.At, q.At)
			}
		}
	}
	var p, q Packet
	must[Source](t)(Video(param.VP8, 1_000_000, 20, 3)).Next(&p)
	c.Next(&q)
	if p.At == q.At || bytes.Equal(p.Payload, q.Payload) {
		t.Fatal("another seed, the same packets")
	}
}

func TestUnknownTraceIsRefused(t *testing.T) {
	if v, a, err := OpenTrace("vp8-none"); err == nil {
		t.Fatal(v, a)
	}
}

func TestNextAllocatesNothing(t *testing.T) {
	for name, s := range everySource(t) {
		var p Packet
		if n := testing.AllocsPerRun(5000, func() { s.Next(&p) }); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

func BenchmarkNextOfTrace(b *testing.B) {
	v, _, err := OpenTrace("vp9-noise-1.75mbps")
	if err != nil {
		b.Fatal(err)
	}
	var p Packet
	b.ReportAllocs()
	for b.Loop() {
		v.Next(&p)
	}
}

func BenchmarkNextOfModel(b *testing.B) {
	s := must[Source](b)(Video(param.VP9, 1_000_000, 20, 1))
	var p Packet
	b.ReportAllocs()
	for b.Loop() {
		s.Next(&p)
	}
}
