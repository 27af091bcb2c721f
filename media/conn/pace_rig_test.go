package conn

import (
	"encoding/binary"
	"testing"
	"time"

	"tsubame/media/param"
	"tsubame/media/recv"
	"tsubame/media/rtcp"
	"tsubame/media/rtp"
	"tsubame/media/srtp"
	"tsubame/netio/mmsg"
	"tsubame/netio/mono"
)

// wideID is the id of the transport-wide sequence number.
const wideID = 3

// arrival is a packet as a viewer got it.
type arrival struct {
	rtp.View
	at      mono.Time
	payload []byte
	wide    uint16
	hasWide bool
}

// paced is a publisher of video and audio with viewers that report on transport-wide numbers.
type paced struct {
	*rig
	pub          *peer
	video, audio param.TrackID
	viewers      []*pacedViewer
	seq, voice   uint16
	frames       uint32
	serial       uint32 // in each payload of video: what packet it is
}

type pacedViewer struct {
	*peer
	r    *paced
	got  []arrival
	twcc recv.TWCC
}

func newPaced(t testing.TB, viewers int) *paced {
	r := &paced{rig: newRig(t)}
	r.pub = r.connect(1, srtp.AEAD_AES_128_GCM)
	r.video = r.pub.publish(video)
	r.audio = r.pub.publish(param.Publish{Kind: param.Audio, Codec: param.Opus, MID: "a", SSRC: 3000, PayloadType: 111, ClockRate: 48000})
	for i := range viewers {
		v := &pacedViewer{peer: r.connect(uint32(2+i), srtp.AEAD_AES_128_GCM), r: r}
		v.conn.Network = new(Network)
		r.viewers = append(r.viewers, v)
		v.watch(r.video, 5000)
		spec := &param.Subscribe{Track: r.audio, Kind: param.Audio, Codec: param.Opus, SSRC: 7000, PayloadType: 111, ClockRate: 48000}
		spec.Extensions.TransportCC = wideID
		if ok, _ := v.conn.Subscribe(&r.env, r.now, spec); !ok {
			t.Fatal("no room for audio")
		}
	}
	r.env.KeyFrames = nil
	return r
}

func (v *pacedViewer) watch(id param.TrackID, ssrc uint32) {
	spec := watch(id, ssrc)
	spec.Extensions.TransportCC, spec.Feedback.TransportCC = wideID, true
	if ok, _ := v.conn.Subscribe(&v.r.env, v.r.now, spec); !ok {
		v.r.t.Fatal("no room for video")
	}
}

// limit makes the estimate of a viewer that many bit/s, of which the beginning is the most, as
// if it had been found so.
func (v *pacedViewer) limit(bitrate uint64) {
	o := v.conn.out
	o.fed, v.conn.quality.rated = true, true
	o.est.REMB(v.r.now, bitrate)
	v.conn.retune()
	if o.est.Target() > bitrate {
		v.r.t.Fatalf("the estimate is %d", o.est.Target())
	}
}

// collect gives every viewer what was queued for it.
func (r *paced) collect() {
	r.t.Helper()
	for i := range r.env.Out.Len() {
		k, b := r.env.Out.Packet(i)
		for _, v := range r.viewers {
			if to := mustPath(r.t, v.conn); k != to || rtp.IsRTCP(b) {
				continue
			}
			var buf [mmsg.SlotSize]byte
			n, err := v.session.OpenRTP(buf[:], b)
			if err != nil {
				r.t.Fatalf("the viewer cannot open what it was sent: %v", err)
			}
			data := append([]byte(nil), buf[:n]...)
			h, err := rtp.Parse(data)
			if err != nil {
				r.t.Fatal(err)
			}
			a := arrival{View: h, at: r.now, payload: data[h.HeaderLen : len(data)-h.Padding]}
			ids := param.Extensions{TransportCC: wideID}
			x := h.Known(&ids)
			a.wide, a.hasWide = x.TransportSeq, x.HasTransportSeq
			v.got = append(v.got, a)
		}
	}
	r.env.Out.Reset()
}

// advance lets time pass, with the timers of all viewers served when they say so.
func (r *paced) advance(d time.Duration) {
	r.t.Helper()
	for end := r.now.Add(d); ; {
		next := end
		for _, v := range r.viewers {
			if at := v.conn.Deadline(); at != mono.Never && at < next {
				next = max(at, r.now)
			}
		}
		r.now = max(r.now, next)
		for _, v := range r.viewers {
			if v.conn.Deadline().Due(r.now) {
				v.conn.ICE.Validate(r.now, mustPath(r.t, v.conn))
				v.conn.Tick(&r.env, r.now)
			}
		}
		r.collect()
		if r.now >= end {
			return
		}
		r.now = min(end, r.now.Add(time.Millisecond)) // as shards do: see tickInterval
	}
}

// frame sends a frame of video of n full packets to all viewers, as runs.
func (r *paced) frame(keyFrame bool, n int) {
	r.t.Helper()
	r.frames++
	for i := range n {
		b := frame(keyFrame && i == 0, 1100)
		if i > 0 {
			b[0] = 0
		}
		r.serial++
		binary.BigEndian.PutUint32(b[8:], r.serial)
		h := rtp.HeaderFields{PayloadType: 96, Marker: i == n-1, Seq: r.seq, Timestamp: 3000 * r.frames, SSRC: 1000}
		r.seq++
		r.pub.conn.HandleRTP(&r.env, r.now, r.pub.packet(h, b))
		if len(r.env.Routed) == 32 || i == n-1 {
			r.route(func(run []Packet) {
				for _, v := range r.viewers {
					v.conn.Send(&r.env, r.now, 0, run)
				}
			})
		}
	}
	r.collect()
}

// speak sends a packet of audio to all viewers.
func (r *paced) speak() {
	r.t.Helper()
	r.voice++
	h := rtp.HeaderFields{PayloadType: 111, Seq: r.voice, Timestamp: 960 * uint32(r.voice), SSRC: 3000}
	r.pub.conn.HandleRTP(&r.env, r.now, r.pub.packet(h, []byte("speech")))
	r.route(func(run []Packet) {
		for _, v := range r.viewers {
			v.conn.Send(&r.env, r.now, 1, run)
		}
	})
	r.collect()
}

// of returns what a viewer got under an SSRC.
func (v *pacedViewer) of(ssrc uint32) (list []arrival) {
	for _, a := range v.got {
		if a.SSRC == ssrc {
			list = append(list, a)
		}
	}
	return list
}

// report sends transport-wide feedback on what has arrived since the last, delayed by the same for
// each.
func (v *pacedViewer) report(from int) (to int) {
	for _, a := range v.got[from:] {
		if a.hasWide {
			v.twcc.Record(a.at, a.wide)
		}
	}
	if len(v.got) > from {
		b := v.twcc.AppendFeedback(rtcp.AppendRR(nil, 1, nil), v.r.now, 1, 5000)
		v.conn.HandleRTCP(&v.r.env, v.r.now, v.control(b))
	}
	return len(v.got)
}

// settled holds that nothing waits and every buffer is free again.
func (r *paced) settled() {
	r.t.Helper()
	r.pub.conn.Close(&r.env, nil, nil)
	for i := range uint32(r.env.Tracks.Len()) {
		if tr := r.env.Tracks.Index(i); tr.Info().HasRTX {
			r.env.RTX.Close(tr.Info().RTX, r.env.Mag)
		}
	}
	if n := r.env.Arena.Outstanding(); n != 0 {
		r.t.Errorf("%d buffers were not given back", n)
	}
	if n := r.env.Waiting.Lent(); n != 0 {
		r.t.Errorf("%d blocks were not given back", n)
	}
	if n := r.env.Count.DropSeal.Load(); n != 0 {
		r.t.Errorf("%d times something was to be sealed twice", n)
	}
}

func headerOf(seq uint16, frame uint32) rtp.HeaderFields {
	return rtp.HeaderFields{PayloadType: 96, Seq: seq, Timestamp: 3000 * frame, SSRC: 1000}
}
