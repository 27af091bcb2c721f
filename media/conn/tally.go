package conn

import (
	"tsubame/media/param"
	"tsubame/media/rtcp"
	"tsubame/media/rtp"
	"tsubame/netio/mono"
)

// Tally counts packets and their bytes.
type Tally struct{ Packets, Bytes uint64 }

func (t *Tally) add(bytes int) { t.Packets, t.Bytes = t.Packets+1, t.Bytes+uint64(bytes) }

// rtcpKinds is how many kinds of RTCP packets package rtcp tells apart.
const rtcpKinds = rtcp.KindXR + 1

// rtcpIn is what came of RTCP: datagrams, and the packets in those that could be read, by
// rtcp.Kind. So many packets come within months; a peer that has sent more has only made its own
// figures wrong.
type rtcpIn struct {
	Tally
	kinds [rtcpKinds]uint32
}

// arrived is what the publisher's packets were, beyond what recv.Stream counts.
type arrived struct {
	rtx  uint64 // retransmissions and probes, by their payload type
	red  uint64 // redundant audio
	wide uint64 // with a transport-wide sequence number
	own  uint64 // with an audio level or, video, an orientation
}

// extensions counts a packet by the header extensions that it has.
func (a *arrived) extensions(x *rtp.Known) {
	if x.HasTransportSeq {
		a.wide++
	}
	if x.HasAudioLevel || x.HasVideoOrientation {
		a.own++
	}
}

// tallies are the counts of one connection that change seldom: what every packet changes stands in
// a cache line that it touches anyway, or is made of what is counted for other reasons.
type tallies struct {
	undecrypted Tally // RTP datagrams that came to nothing before they were decrypted, or by it
	padded      Tally // packets with RTP padding, and the bytes of it
	unsent      Tally // sealed, but refused by the stream that carries them
	dtlsIn      Tally
	dtlsOut     Tally
	rtcpOut     Tally
	rtcpKinds   [rtcpKinds]uint32 // of rtcpOut
	rtxOut      uint64
	indications uint64 // of what went through relays, in Data indications

	// Of the streams that the peer sends, up to their last report; what has ended included.
	missing, recovered, givenUp uint64
	gone                        arrived // of tracks that have ended: rtx, red and wide
	levels, orientations        uint64  // and own, of audio and of video
}

// rtcpSent counts one compound of n bytes, sealed.
func (t *tallies) rtcpSent(n int, kinds *[rtcpKinds]uint8) {
	t.rtcpOut.add(n)
	for kind, n := range kinds {
		t.rtcpKinds[kind] += uint32(n)
	}
}

// ended takes the counts of a track that ends.
func (t *tallies) ended(kind param.Kind, a *arrived) {
	t.gone.rtx += a.rtx
	t.gone.red += a.red
	t.gone.wide += a.wide
	if kind == param.Video {
		t.orientations += a.own
	} else {
		t.levels += a.own
	}
}

// kindsOf counts the packets of a compound that we have made.
func kindsOf(compound []byte) (kinds [rtcpKinds]uint8) {
	for r := rtcp.NewReader(compound); ; {
		p, ok := r.Next()
		if !ok {
			return kinds
		}
		kinds[p.Kind()]++
	}
}

// undecrypted counts an RTP datagram that goes no further. There is nothing to do for it.
func (c *Conn) undecrypted(datagram []byte) mono.Time {
	c.tallies.undecrypted.add(len(datagram))
	return mono.Never
}

// relayedBy counts n datagrams that were sent by a path with that frame, which may be none.
func (c *Conn) relayedBy(f *Frame, n uint64) {
	if f.head == 0 {
		return
	}
	c.relayedOut += n
	if f.IsIndication() {
		c.tallies.indications += n
	}
}

// ended closes the stream of a track that the peer sends no more, and keeps what it has counted.
func (c *Conn) ended(env *Env, p *publisher) {
	p.count(env.Count, &c.tallies)
	c.tallies.ended(p.spec.Kind, &p.arrived)
	p.stream.Close()
}
