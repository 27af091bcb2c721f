package edge

import (
	"runtime"
	"testing"
	"time"
	"unsafe"

	"tsubame/media/conn"
	"tsubame/media/ice"
	"tsubame/media/param"
	"tsubame/media/recv"
	"tsubame/media/send"
	"tsubame/netio/packet"
)

// heap collects what can be and returns the bytes that are left.
func heap() float64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc)
}

// wideOf is a subscription as browsers negotiate it, with transport-wide sequence numbers.
func wideOf(spec param.Subscribe) param.Subscribe {
	transportWide(&spec)
	return spec
}

// BenchmarkConnectionMemory reports the heap bytes of a viewer of one video and one audio
// track, and of a publisher of such, without DTLS endpoints, for which package dtls has a
// benchmark, and without packets, which are the arena's; and what the largest parts are.
func BenchmarkConnectionMemory(b *testing.B) {
	const n = 2000
	audio := param.Publish{MID: "audio_000000", Kind: param.Audio, Codec: param.Opus, SSRC: 1002,
		PayloadType: 109, ClockRate: 48000}
	for b.Loop() {
		r := newRig(b, 1, func(c *Config) {
			c.MaxConnections, c.MaxTracks = 4*n, 8*n
			c.Buffers = packet.DefaultHolders(1).Config()
		})
		pub := r.open(0, key("127.0.0.1", "127.0.0.1:50000"))
		video, voice := pub.publish(videoIn), pub.publish(audio)
		pub.establish()
		start := heap()
		peers := make([]*Conn, 0, 2*n)
		for i := range n {
			p := r.open(0, pathOf(i))
			p.c.Subscribe(wideOf(videoOut(video, 5000)))
			p.c.Subscribe(wideOf(param.Subscribe{Track: voice, Kind: param.Audio, Codec: param.Opus, SSRC: 6000, PayloadType: 109, ClockRate: 48000}))
			p.establish()
			peers = append(peers, p.c)
		}
		for i := range 32 {
			r.deliver(0, pub.key, pub.rtp(1000, uint16(i), 3000*uint32(i), vp8(i == 0, byte(i))))
			r.take()
			r.advance(2 * time.Millisecond)
			r.take()
		}
		viewers := heap()
		for i := range n {
			p := r.open(0, pathOf(n+i))
			p.publish(videoIn)
			p.publish(audio)
			p.establish()
			peers = append(peers, p.c)
		}
		r.take()
		publishers := heap()
		b.ReportMetric((viewers-start)/n, "B/viewer")
		b.ReportMetric((publishers-viewers)/n, "B/publisher")
		runtime.KeepAlive(peers)
		runtime.KeepAlive(r)
	}
	b.ReportMetric(float64(unsafe.Sizeof(live{})+unsafe.Sizeof(Conn{})+unsafe.Sizeof(conn.Conn{})), "B/conn")
	b.ReportMetric(float64(unsafe.Sizeof(ice.Agent{})), "B/ice")
	b.ReportMetric(float64(unsafe.Sizeof(send.Stream{})), "B/send")
	b.ReportMetric(float64(unsafe.Sizeof(recv.Stream{})), "B/recv")
	b.ReportMetric(float64(unsafe.Sizeof(recv.TWCC{})), "B/twcc")
}

// BenchmarkPublisherPackets reports the packet memory that a publisher of 1.5 Mbps at 30 frames
// a second takes, whose retransmission ring holds the most of it.
func BenchmarkPublisherPackets(b *testing.B) {
	const publishers, frames, perFrame, size = 20, 120, 5, 1230
	for b.Loop() {
		r := newRig(b, 1, func(c *Config) { c.Buffers = packet.DefaultHolders(1).Config() })
		pubs := make([]*peer, publishers)
		for i := range pubs {
			pubs[i] = r.open(0, pathOf(i))
			pubs[i].publish(videoIn)
			pubs[i].establish()
		}
		touched := func() (bytes float64) {
			for _, c := range r.p.arena.Stats().Classes {
				bytes += float64(c.Touched) * float64(c.Size+64) // and the header
			}
			return bytes
		}
		before := touched()
		payload := make([]byte, size)
		copy(payload, vp8(true, 1))
		for f := range frames {
			for _, p := range pubs {
				for i := range perFrame {
					p.r.deliver(0, p.key, p.rtp(1000, uint16(f*perFrame+i), 3000*uint32(f), payload))
				}
			}
			r.take()
			r.advance(time.Second / 30)
		}
		b.ReportMetric((touched()-before)/publishers, "arena-B/publisher")
	}
}
