package source

import (
	"fmt"
	"sync"
	"time"

	"tsubame/media/param"
)

// Bounds of what Video and Fixed make.
const (
	minBitrate = 10_000
	maxBitrate = 50_000_000
	maxFPS     = 240
	maxPackets = 20_000 // a second
)

// chromiumPayload is the most that Chromium 156 puts into a video packet with the header
// extensions that this server offers: the largest packet of the traces recorded with them has
// 1,191 bytes.
const chromiumPayload = 1191 - traceOverhead

// Video returns video at any bitrate (bit/s of RTP payload, 10 kbit/s to 50 Mbit/s) and frame
// rate (1 to 240), in the manner of Chromium: how frames vary in size and how far they come
// from their time is that of the codec's trace of a noisy picture, and a frame's packets are
// as splitFrame says, all within 0.2 to 0.6 ms. Publishers with other seeds send other bytes
// at other times. Frames are at least as large as a payload's head.
func Video(c param.Codec, bitrate, fps int, seed uint64) (Source, error) {
	if bitrate < minBitrate || bitrate > maxBitrate || fps < 1 || fps > maxFPS {
		return nil, fmt.Errorf("source: video of %d bit/s with %d frames/s is out of range", bitrate, fps)
	}
	p, err := patternOf(c)
	if err != nil {
		return nil, err
	}
	m := &model{
		pattern: p, av1: c == param.AV1, interval: time.Second / time.Duration(fps),
		mean: float64(bitrate) / 8 / float64(fps), random: newFiller(^seed),
		i: int(mix(seed) % uint64(len(p.sizes))), fps: int64(fps),
	}
	m.base = phase(seed, m.interval)
	m.packets = make([]wire, 0, int(m.mean*p.largest)/chromiumPayload+2)
	return newStream(c, m, seed), nil
}

// Opus returns sound: 50 packets a second of sizes and times as in the traces of Chromium with
// its fake microphone (a beep a second, little between).
func Opus(seed uint64) (Source, error) {
	r, err := openRecorded("vp8-noise-1.75mbps")
	if err != nil {
		return nil, err
	}
	l := r.audio
	return newStream(param.Opus, l.from(seed), seed), nil
}

// Fixed returns VP8 frames of one packet each, with payloads of size bytes, at even times.
func Fixed(size, packetsPerSecond int) (Source, error) {
	return FixedRuns(param.VP8, size, packetsPerSecond, 1)
}

// FixedRuns returns payloads of size bytes (video: 72 to 1,460, Opus: 1 to 1,460), of which
// run make a frame and are sent at once; frames come at even times. The packets a second are a
// multiple of run; frames of Opus have one packet, and 20 ms by their timestamps, however often
// they come.
func FixedRuns(c param.Codec, size, packetsPerSecond, run int) (Source, error) {
	least := minVideoPayload
	if c == param.Opus {
		least = 1
	}
	switch {
	case size < least || size > maxPayload:
		return nil, fmt.Errorf("source: payloads of %d bytes", size)
	case packetsPerSecond < 1 || packetsPerSecond > maxPackets:
		return nil, fmt.Errorf("source: %d packets/s", packetsPerSecond)
	case run < 1 || run > packetsPerSecond || packetsPerSecond%run != 0 || c == param.Opus && run > 1:
		return nil, fmt.Errorf("source: %d packets/s in frames of %d", packetsPerSecond, run)
	case c < param.Opus || c > param.H265:
		return nil, fmt.Errorf("source: codec %d", c)
	}
	g := &grid{perSecond: int64(packetsPerSecond / run), packets: make([]wire, run)}
	for i := range g.packets {
		g.packets[i].size = size
	}
	return newStream(c, g, uint64(size)), nil
}

// grid is a schedule of equal frames at even times.
type grid struct {
	packets   []wire
	perSecond int64
	n         int64
}

func (g *grid) next(f *frame) {
	f.at, f.packets = time.Duration(g.n/g.perSecond)*time.Second+time.Duration(g.n%g.perSecond*int64(time.Second)/g.perSecond), g.packets
	g.n++
}

// pattern is how a codec's frames vary.
type pattern struct {
	sizes   []float64       // each frame's in parts of the mean one
	largest float64         // of them
	late    []time.Duration // each frame's distance from an even grid, not negative
}

var patterns struct {
	sync.Mutex
	codecs map[param.Codec]*pattern
}

// models are the traces that patterns come from. There is none of H.265, whose encoders vary
// like those of H.264.
var models = map[param.Codec]string{
	param.VP8: "vp8-noise-1.75mbps", param.VP9: "vp9-noise-1.75mbps", param.AV1: "av1-noise-1.75mbps",
	param.H264: "h264-noise-0.6mbps", param.H265: "h264-noise-0.6mbps",
}

func patternOf(c param.Codec) (*pattern, error) {
	patterns.Lock()
	defer patterns.Unlock()
	if p := patterns.codecs[c]; p != nil {
		return p, nil
	}
	name, ok := models[c]
	if !ok {
		return nil, fmt.Errorf("source: %v is no video codec", c)
	}
	r, err := openRecorded(name)
	if err != nil {
		return nil, err
	}
	p := newPattern(&r.video)
	if patterns.codecs == nil {
		patterns.codecs = make(map[param.Codec]*pattern)
	}
	patterns.codecs[c] = p
	return p, nil
}

func newPattern(l *loop) *pattern {
	p := &pattern{}
	interval := l.period / time.Duration(len(l.frames))
	var total float64
	var earliest time.Duration
	for i, f := range l.frames {
		size := 0
		for _, w := range f.packets {
			size += w.size
		}
		total += float64(size)
		p.sizes = append(p.sizes, float64(size))
		d := f.at - time.Duration(i)*interval
		earliest = min(earliest, d)
		p.late = append(p.late, d)
	}
	mean := total / float64(len(p.sizes))
	for i := range p.sizes {
		p.sizes[i] /= mean
		p.largest = max(p.largest, p.sizes[i])
		p.late[i] -= earliest
	}
	return p
}

// model is a schedule by a pattern.
type model struct {
	*pattern
	av1      bool
	interval time.Duration
	fps      int64
	mean     float64 // bytes of a frame
	random   filler

	i       int   // in the pattern
	n       int64 // frames so far
	base    time.Duration
	owed    float64 // parts of a byte
	packets []wire
}

func (m *model) next(f *frame) {
	// Lateness and span together are below the interval, so that order is kept.
	late := min(m.late[m.i], m.interval/2)
	second, part := m.n/m.fps, m.n%m.fps
	f.at = m.base + time.Duration(second)*time.Second + time.Duration(part*int64(time.Second)/m.fps) + late
	m.owed += m.sizes[m.i] * m.mean
	size := int(m.owed)
	m.owed -= float64(size)
	m.packets = splitFrame(m.packets[:0], max(size, minVideoPayload), m.av1, &m.random)
	spread(m.packets, m.interval/2, &m.random)
	f.packets = m.packets
	m.n++
	if m.i++; m.i == len(m.sizes) {
		m.i = 0
	}
}

// splitFrame appends the packets of a frame as Chromium does: as few as hold it, of sizes that
// are equal or differ by one byte, the larger ones last; those of AV1 are equal but for the
// last one, which is a little shorter.
func splitFrame(packets []wire, size int, av1 bool, random *filler) []wire {
	n := (size + chromiumPayload - 1) / chromiumPayload
	if av1 && n > 1 {
		// Seen: shorter by 2 to 20 bytes.
		short := 2 + int(random.random()%uint64(max(1, 19-n)))
		each := min((size+short+n-1)/n, chromiumPayload)
		for range n - 1 {
			packets = append(packets, wire{size: each})
		}
		return append(packets, wire{size: size - each*(n-1)})
	}
	for i := range n {
		each := size / n
		if i >= n-size%n {
			each++
		}
		packets = append(packets, wire{size: each})
	}
	return packets
}

// spread gives packets their times: all within 0.2 to 0.6 ms, unevenly, and below a limit.
func spread(packets []wire, limit time.Duration, random *filler) {
	n := len(packets)
	if n < 2 {
		return
	}
	span := min(200*time.Microsecond+time.Duration(random.random()%uint64(400*time.Microsecond)), limit-1)
	var total time.Duration
	for i := 1; i < n; i++ {
		total += time.Duration(1 + random.random()%8)
		packets[i].at = total
	}
	for i := 1; i < n; i++ {
		packets[i].at = packets[i].at * span / total
	}
}
