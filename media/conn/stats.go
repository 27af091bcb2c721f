package conn

import (
	"runtime"
	"sync/atomic"
	"unsafe"

	"tsubame/media/param"
	"tsubame/media/rtcp"
)

// Stats are the totals of a connection since it began: they only grow. Bytes are those of whole
// datagrams, without what a TURN relay or a stream puts around them.
type Stats struct {
	// RTP, as SRTP. What came counts whatever became of it; what was sent is what the transmit queue
	// or the stream has taken.
	RTPIn, RTPOut Tally
	Decrypted     Tally // of RTPIn, what authenticated
	AuthFailures  uint64
	Replayed      uint64 // packets that had been seen before, by their index; RTCP too

	Padded       Tally  // decrypted packets with RTP padding, and the bytes of the padding
	RTXIn        uint64 // retransmissions received, and probes in their guise
	REDIn        uint64 // redundant audio (RFC 2198)
	RTXOut       uint64 // packets sent again
	AudioLevels  uint64 // received with an audio level (RFC 6464),
	Orientations uint64 // with a video orientation,
	Wide         uint64 // with a transport-wide sequence number
	Missing      uint64 // packets of the peer that did not come in order, of which
	Repairs      uint64 // came by RTX or as redundancy
	GivenUp      uint64 // are no longer asked for

	RTCPIn, RTCPOut           Tally             // datagrams
	RTCPKindsIn, RTCPKindsOut [rtcpKinds]uint64 // packets in them, by rtcp.Kind

	NACKsIn, NACKsOut uint64 // sequence numbers asked for, by the peer and of it
	PLIsIn, PLIsOut   uint64 // key frames, by PLI or FIR

	DTLSIn, DTLSOut Tally

	ChannelDataOut uint64 // datagrams sent through a TURN relay on a channel, and
	IndicationsOut uint64 // in Data indications
}

// statsWords is how many numbers Stats are.
const statsWords = unsafe.Sizeof(Stats{}) / 8

// In returns all that came of media, reports and keys; Out what was sent of it.
func (s *Stats) In() Tally  { return sum(s.RTPIn, s.RTCPIn, s.DTLSIn) }
func (s *Stats) Out() Tally { return sum(s.RTPOut, s.RTCPOut, s.DTLSOut) }

func sum(all ...Tally) (t Tally) {
	for _, a := range all {
		t.Packets, t.Bytes = t.Packets+a.Packets, t.Bytes+a.Bytes
	}
	return t
}

// Received and Sent return how many RTCP packets of a kind there were.
func (s *Stats) Received(k rtcp.Kind) uint64 { return s.RTCPKindsIn[k] }
func (s *Stats) Sent(k rtcp.Kind) uint64     { return s.RTCPKindsOut[k] }

// SharedStats are Stats that one goroutine at a time writes and any may read, all of one moment. The
// zero value is ready.
type SharedStats struct {
	turn  atomic.Uint32 // odd while they are being written
	words [statsWords]atomic.Uint64
}

// publish writes them. It waits for nobody.
func (p *SharedStats) publish(s *Stats) {
	p.turn.Add(1)
	for i, v := range (*[statsWords]uint64)(unsafe.Pointer(s)) {
		if p.words[i].Load() != v { // most stay what they are, and a store is dear
			p.words[i].Store(v)
		}
	}
	p.turn.Add(1)
}

// Load reads them. It may be called by any goroutine, at any time; it waits while they are being
// written, for less than a microsecond about once a second.
func (p *SharedStats) Load() (s Stats) {
	for {
		turn := p.turn.Load()
		if turn&1 == 0 {
			for i := range p.words {
				(*[statsWords]uint64)(unsafe.Pointer(&s))[i] = p.words[i].Load()
			}
			if p.turn.Load() == turn {
				return s
			}
		}
		runtime.Gosched()
	}
}

// CameDTLS counts a DTLS datagram of the peer's.
func (c *Conn) CameDTLS(size int) { c.tallies.dtlsIn.add(size) }

// PublishStats writes what has been counted to where others read it: with each report, and when the
// connection has ended.
func (c *Conn) PublishStats() {
	if c.Shared != nil {
		s := c.stats()
		c.Shared.publish(&s)
	}
}

// stats adds up what has been counted.
func (c *Conn) stats() Stats {
	t := &c.tallies
	s := Stats{
		RTPIn: c.rtpIn, RTCPIn: c.rtcpIn.Tally, RTCPOut: t.rtcpOut, DTLSIn: t.dtlsIn, DTLSOut: t.dtlsOut,
		Decrypted: Tally{c.rtpIn.Packets - t.undecrypted.Packets, c.rtpIn.Bytes - t.undecrypted.Bytes},
		Padded:    t.padded, RTXIn: t.gone.rtx, REDIn: t.gone.red, Wide: t.gone.wide,
		AudioLevels: t.levels, Orientations: t.orientations, RTXOut: t.rtxOut,
		Missing: t.missing, Repairs: t.recovered, GivenUp: t.givenUp,
		NACKsIn: uint64(c.asked.nacksIn), NACKsOut: uint64(c.asked.nacksOut),
		PLIsIn: uint64(c.asked.plisIn), PLIsOut: uint64(c.asked.plisOut),
		ChannelDataOut: c.relayedOut - t.indications, IndicationsOut: t.indications,
	}
	for kind := range s.RTCPKindsIn {
		s.RTCPKindsIn[kind], s.RTCPKindsOut[kind] = uint64(c.rtcpIn.kinds[kind]), uint64(t.rtcpKinds[kind])
	}
	for _, p := range c.pubs {
		if p == nil {
			continue
		}
		a := &p.arrived
		s.RTXIn, s.REDIn, s.Wide = s.RTXIn+a.rtx, s.REDIn+a.red, s.Wide+a.wide
		if p.spec.Kind == param.Video {
			s.Orientations += a.own
		} else {
			s.AudioLevels += a.own
		}
	}
	if c.session != nil {
		packets, bytes := c.session.Sealed()
		s.RTPOut = Tally{packets - t.unsent.Packets, bytes - t.unsent.Bytes}
		n := c.session.Counters()
		s.AuthFailures, s.Replayed = n.Auth.Load(), n.Replay.Load()
	}
	return s
}
