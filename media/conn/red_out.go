package conn

import (
	"tsubame/media/codec"
	"tsubame/media/param"
	"tsubame/media/router"
	"tsubame/media/rtp"
)

// The bounds of the redundant audio (RFC 2198) that viewers are sent.
const (
	// maxREDPayload bounds a payload with its redundancy, in bytes: what would be longer has less
	// redundancy, or none. Larger packets get lost more easily, and audio is not to be cut.
	maxREDPayload = 1000
	// redReach is how far apart the numbers of a packet and the one before it may be: what was
	// lost and probes are in between.
	redReach = 64
	// redLevels is how many packets before it a packet carries at most.
	redLevels = 2
)

// A viewer who reports this much loss, in 1/256, is sent two levels of redundancy, until it has
// reported less than the other for so many reports in a row: a second level costs as much
// again, and helps only where losses come in pairs.
const (
	redLossHigh = 256 * 5 / 100
	redLossLow  = 256 * 2 / 100
	redCalm     = 8
)

// redViewer is how a viewer is sent redundant audio.
type redViewer struct {
	payloadType uint8 // of RED; 0: the viewer is sent plain Opus
	inner       uint8 // payload type of the blocks
	levels      uint8
}

// begin takes what was negotiated.
func (r *redViewer) begin(redType, inner uint8) {
	*r = redViewer{payloadType: redType, inner: inner, levels: 1}
}

// reported takes the loss of a receiver report. calm counts those with little of it.
func (r *redViewer) reported(loss uint8, calm *uint8) {
	switch {
	case loss >= redLossHigh:
		r.levels, *calm = redLevels, 0
	case loss >= redLossLow:
		*calm = 0
	default:
		if *calm++; *calm >= redCalm {
			r.levels, *calm = 1, 0
		}
	}
}

// redPayload is what viewers are sent of one packet, with one level of redundancy.
type redPayload struct {
	n     uint16
	heads uint8 // redundant blocks
	inner uint8 // the payload type that they have now
	bytes [maxREDPayload]byte
}

// redPacket is the same for each number of levels, less one. What would be the same as with
// fewer levels is not there.
type redPacket [redLevels]redPayload

// redRun is a run's.
type redRun [router.MaxRun]redPacket

// remember makes the track, which has a sink here, one whose packets get redundancy.
func (e *Env) remember(id param.TrackID) {
	if e.red == nil {
		e.red = new(redRun)
	}
	e.Fanout.Remember(id)
}

// AddRedundancy makes the packets of a run, as Resolve has returned them, ones that viewers with
// RED are sent with copies of the packets before them: once for all viewers of this shard. last
// remembers the track's last payloads, and takes those of the run.
func (e *Env) AddRedundancy(last *router.Redundancy, packets []Packet) {
	for i := range packets {
		p := &packets[i]
		if len(p.Body) == 0 { // a probe
			continue
		}
		p.red = &e.red[i]
		for levels := 1; levels <= redLevels; levels++ {
			p.red[levels-1].build(last, p, levels)
		}
		last.Note(p.Meta.Seq, p.Meta.Timestamp, p.Body)
	}
}

// build writes p with copies of so many packets before it. It makes nothing of it if there are
// not as many that are known and fit.
func (r *redPayload) build(last *router.Redundancy, p *Packet, levels int) {
	r.n = 0
	var offsets [redLevels]uint32
	var payloads [redLevels][]byte
	size, seq := codec.REDLastHeader+len(p.Body), p.Meta.Seq
	for i := levels - 1; i >= 0; i-- { // the oldest comes first
		before, ts, payload, ok := last.Before(seq)
		// A pause of Opus, which says every 400 ms that it goes on, is longer than can be said. What
		// is far by number may be another source's, with a clock of its own.
		if offset := p.Meta.Timestamp - ts; ok && offset-1 < codec.MaxREDOffset && seq-before <= redReach {
			seq, offsets[i], payloads[i] = before, offset, payload
			size += codec.REDBlockHeader + len(payload)
			continue
		}
		return
	}
	if size > maxREDPayload {
		return
	}
	b := r.bytes[:0]
	for i := range levels {
		b = codec.AppendREDBlock(b, 0, offsets[i], len(payloads[i]))
	}
	b = codec.AppendREDPrimary(b, 0)
	for _, payload := range payloads[:levels] {
		b = append(b, payload...)
	}
	b = append(b, p.Body...)
	r.n, r.heads, r.inner = uint16(len(b)), uint8(levels), 0
}

// payload returns the bytes for viewers who know Opus by the payload type inner. It is the same
// for most of them, so that it is as a rule written already.
func (r *redPayload) payload(inner uint8) []byte {
	if r.inner != inner {
		r.inner = inner
		for i := range int(r.heads) {
			r.bytes[codec.REDBlockHeader*i] = 0x80 | inner
		}
		r.bytes[codec.REDBlockHeader*int(r.heads)] = inner
	}
	return r.bytes[:r.n]
}

// wrap returns what a viewer is sent of p, and makes the header in front of it, in buf, say so:
// redundant audio if that was negotiated and there is something to add, else p as it is.
func (r *redViewer) wrap(env *Env, p *Packet, buf []byte) []byte {
	for levels := r.levels; r.payloadType != 0 && levels > 0; levels-- {
		if with := &p.red[levels-1]; with.n != 0 {
			buf[rtp.OffsetMarker] = buf[rtp.OffsetMarker]&0x80 | r.payloadType
			env.Count.REDOut.Inc()
			return with.payload(r.inner)
		}
	}
	return p.Body
}
