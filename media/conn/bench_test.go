package conn

import (
	"testing"
	"time"

	"tsubame/media/rtcp"
	"tsubame/media/rtp"
	"tsubame/media/srtp"
)

// BenchmarkNACKService is a NACK of 16 packets, from the sealed compound to the sealed
// retransmissions.
func BenchmarkNACKService(b *testing.B) {
	const asked = 16
	r := newRig(b)
	pub := r.connect(1, srtp.AEAD_AES_128_GCM)
	viewer := r.connect(2, srtp.AEAD_AES_128_GCM)
	id := pub.publish(video)
	viewer.conn.Subscribe(&r.env, r.now, watch(id, 5000))
	var seqs []uint16
	for i := range 512 {
		h := rtp.HeaderFields{PayloadType: 96, Seq: uint16(i), Timestamp: 3000 * uint32(i), SSRC: 1000}
		pub.conn.HandleRTP(&r.env, r.now, pub.packet(h, frame(i == 0, 1100)))
		r.route(func(run []Packet) { viewer.conn.Send(&r.env, r.now, 0, run) })
		for _, got := range viewer.received() {
			seqs = append(seqs, seqOf(got))
		}
	}
	var compounds [][]byte
	b.ReportAllocs()
	for n := 0; b.Loop(); n++ {
		if n%1024 == 0 {
			b.StopTimer()
			compounds = compounds[:0]
			for i := range 1024 {
				at := i * asked % (len(seqs) - asked)
				compounds = append(compounds, viewer.control(rtcp.AppendNACK(nil, 1, 5000, seqs[at:at+asked])))
			}
			b.StartTimer()
		}
		r.now = r.now.Add(time.Second) // long enough for the same packet again
		viewer.conn.subs[0].stream.Sent(64 << 10)
		viewer.conn.HandleRTCP(&r.env, r.now, compounds[n%1024])
		r.env.Out.Reset()
	}
	served := float64(r.env.Count.RTXOut.Load())
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/served, "ns/packet")
}
