// Package conn is one connection of the media plane: ICE, DTLS and SRTP of one peer, the
// tracks that it publishes and the tracks that it receives.
//
// A connection belongs to one shard, whose goroutine alone may call it, and it is sans-IO:
// datagrams and now go in; datagrams go out through the transmit queue of Env, decrypted
// packets through Env.Routed. It never opens a socket, reads a clock, starts a goroutine
// (the DTLS endpoint that it feeds has its own) or keeps a pointer to its shard: Env, the
// shard's tools, is lent to it for the length of each call, so that it can be handed to
// another shard by message.
package conn

import (
	"time"

	"tsubame/media/bwe"
	"tsubame/media/pace"
	"tsubame/media/param"
	"tsubame/media/recv"
	"tsubame/media/router"
	"tsubame/media/rtcp"
	"tsubame/media/rtx"
	"tsubame/media/send"
	"tsubame/media/srtp"
	"tsubame/netio/count"
	"tsubame/netio/flow"
	"tsubame/netio/mmsg"
	"tsubame/netio/mono"
	"tsubame/netio/packet"
	"tsubame/turnsrv"
)

// Env is what a shard lends to its connections while it calls them. It belongs to the
// shard's goroutine.
type Env struct {
	Shard  int
	NTP    uint64 // the wall clock of this iteration's now, as a 64-bit NTP timestamp
	Arena  *packet.Arena
	Mag    *packet.Magazine
	RTX    *rtx.Pool
	Tracks *router.Table
	Fanout *router.Fanout
	Out    *mmsg.TxQueue
	Count  *Counters

	// Peers are the addresses of ours that relayed flows go to, by flow.Via.Peer.
	Peers [flow.MaxPeers]turnsrv.Address

	// Missing is what the publishers' streams take their lists of missing packets from.
	Missing recv.Tables

	// Lent is what the subscribers' streams take their tables from.
	Lent send.Tables

	// History is what the estimators take theirs from, Waiting what the pacers do.
	History bwe.Tables
	Waiting pace.Tables

	// Paced are the connections in which something began to wait for its turn: their Deadline
	// is another one. The shard takes them off.
	Paced []uint32

	// Random is where the numbers of streams begin; nil: wherever chance has it. What a run is
	// to be repeated by sets it.
	Random func() uint32

	// Routed are the packets that connections have decrypted in this batch, in order of
	// arrival, with one reference each that goes over to the router.
	Routed []Routed

	red *redRun // what AddRedundancy adds; nil: no viewer was ever sent that

	// KeyFrames are the tracks whose publisher is to be asked for a key frame.
	KeyFrames []param.TrackID

	// CacheAge is how old what a ring holds for viewers that start may be; 0: nothing is held.
	CacheAge time.Duration
	replayed router.Run // what a replay sends next

	feedSince mono.Time // when the present interval of replays began, and
	feedLeft  int       // what is left of what they may be given in it

	packets [router.MaxRun]Packet // what Resolve returns
	scratch [mmsg.SlotSize]byte
	seqs    []uint16
	blocks  []rtcp.ReportBlock
	ssrcs   []uint32
}

// wantKeyFrame notes that a viewer needs one of the track. A viewer that waits says so for
// every packet, hence the look at the last note.
func (e *Env) wantKeyFrame(id param.TrackID) {
	if n := len(e.KeyFrames); n > 0 && e.KeyFrames[n-1] == id {
		return
	}
	e.KeyFrames = append(e.KeyFrames, id)
}

// Routed is one decrypted packet on its way to the router.
type Routed struct {
	Track param.TrackID
	Ref   packet.Ref
	Video bool
}

// Packet is one packet of a run as all viewers of one shard are sent it. It is lent for as
// long as the run's references are held.
type Packet struct {
	Meta *packet.Meta
	Body []byte // the payload, and Pad bytes of RTP padding (RFC 3550 section 5.1)
	Ref  packet.Ref
	Pad  uint8
	red  *redPacket // see AddRedundancy; nil: no viewer here is sent redundant audio
}

// Resolve looks up the packets of a run, once for all viewers. What it returns is good until
// the next call.
func (e *Env) Resolve(run *router.Run) []Packet {
	packets := e.packets[:run.N]
	for i := range packets {
		p := &packets[i]
		ref := run.Refs[i]
		p.Meta, p.Body, p.Ref, p.Pad, p.red = e.Arena.Meta(ref), e.Arena.Payload(ref), ref, run.Pads[i], nil
		if p.Pad > 0 {
			begin := int(p.Meta.HeaderLen)
			p.Body = e.Arena.Bytes(ref)[begin : begin+len(p.Body)+int(p.Pad)]
		}
	}
	return packets
}

// Equalise writes padding behind the payloads of a run, so that they leave in as few groups
// of one length as can be. Only the shard that received the run may call it, once, before
// anybody else sees it: readers of the retransmission ring, who may have seen the packets
// already, never look behind the payload.
func (e *Env) Equalise(run *router.Run) {
	var lengths [router.MaxRun]int
	var room [router.MaxRun]uint8
	n := int(run.N)
	for i, ref := range run.Refs[:n] {
		lengths[i] = len(e.Arena.Payload(ref))
		end := int(e.Arena.Meta(ref).HeaderLen) + lengths[i]
		room[i] = uint8(min(router.MaxPad, len(e.Arena.Bytes(ref))-end, max(maxPadded-lengths[i], 0)))
	}
	total := router.Equalise(lengths[:n], room[:n], run.Pads[:n])
	if total == 0 {
		return
	}
	for i, pad := range run.Pads[:n] {
		if pad == 0 {
			continue
		}
		begin := int(e.Arena.Meta(run.Refs[i]).HeaderLen) + lengths[i]
		b := e.Arena.Bytes(run.Refs[i])[begin : begin+int(pad)]
		clear(b)
		b[pad-1] = pad
		e.Count.PaddedPackets.Inc()
	}
	e.Count.PaddedBytes.Add(uint64(total))
}

// maxPadded is how long a payload may get by padding: what fits a slot with all that is
// added to it.
const maxPadded = mmsg.SlotSize - send.MaxHeader - srtp.MaxRTPOverhead - MaxFrame

// Counters are what the connections of one shard count, by reason.
type Counters struct {
	RTPIn           count.Word // RTP packets received on a validated path
	RTPInBytes      count.Word
	RTPOut          count.Word // RTP packets sealed and queued
	RTPOutBytes     count.Word
	TurnUDPOut      count.Word // datagrams of any kind that went through a relay over UDP, and
	TurnUDPOutBytes count.Word // their bytes, framed
	RTCPIn          count.Word
	RTCPOut         count.Word
	RTXOut          count.Word // retransmissions served from the ring
	NACKIn          count.Word // sequence numbers that subscribers asked for
	NACKOut         count.Word // sequence numbers that we asked publishers for
	NACKMiss        count.Word // asked for, but no longer in the ring
	NACKOld         count.Word // of those, older than all that is in the ring: nobody looked
	NACKCovered     count.Word // NACKs with such numbers that a key frame sent since makes up for
	NACKOver        count.Word // asked for beyond what one peer may
	NACKAwaited     count.Word // asked for, but the publisher has yet to repeat it itself
	NACKRefused     count.Word // asked for too often, or never sent
	PLIIn           count.Word
	PLIOut          count.Word

	// What became of packets that publishers' streams lack, counted with each report:
	LostSuspected  count.Word // asked for before anything of their stream told of them
	LostUnanswered count.Word // given up: asked for in vain
	LostOverflowed count.Word // because more were missing than are asked for at a time
	LostBursts     count.Word // because a key frame is quicker
	LostSuperseded count.Word // because they are from before a key frame, or a jump
	RTXRepeated    count.Word // retransmissions of what was there
	Paced          count.Word // packets that waited for their turn, so as not to come too fast
	PacedEarly     count.Word // of those, sent ahead of it for want of room
	Probes         count.Word // clusters of packets sent to learn what the way to a viewer takes
	ProbePackets   count.Word // packets in them that were sent for nothing else
	ProbeBytes     count.Word
	PacedDropped   count.Word // of those, not sent: their connection or track had ended, or their number was another's

	PaddedPackets count.Word // packets brought to their neighbours' length: once, not for each viewer
	PaddedBytes   count.Word // by so much
	FeedbackIn    count.Word // transport-wide feedback and REMB from subscribers
	Recovered     count.Word // packets that came by RTX
	PaddingOnly   count.Word // packets without media: probes
	KeyFrames     count.Word // that publishers began
	BlindStarts   count.Word // viewers that began without one, having waited for long

	KeyFramesIgnored count.Word // times that a publisher had ignored requests for recv.KeyFrameIgnored

	REDIn        count.Word // packets of redundant audio received (RFC 2198)
	REDRecovered count.Word // packets that came as redundancy of others
	REDOut       count.Word // packets sent with redundancy

	Replays         count.Word // viewers that began with what the key frame cache held, and
	ReplayedPackets count.Word // the packets that they were sent of it
	ReplaysGivenUp  count.Word // of those viewers, the ones that did not catch up and waited for a key frame
	CacheRefreshes  count.Word // key frames asked for because the one in the cache was too old

	SourceSwitches count.Word // tracks whose peer went on under another SSRC

	DropNoKeys      count.Word // RTP before the DTLS handshake was done
	DropHeader      count.Word // not RTP or RTCP by its header
	DropSSRC        count.Word // an SSRC that was not negotiated, or one too many
	DropPayloadType count.Word // a payload type that was not negotiated for its SSRC
	DropAuth        count.Word // did not authenticate
	DropReplay      count.Word // seen before
	DropPayload     count.Word // authenticated, but malformed inside
	DropDup         count.Word // a duplicate by sequence number
	DropLate        count.Word // too old to tell, or too far ahead to be believed at once
	DropArena       count.Word // no buffer left
	DropPolicer     count.Word // the peer sends more than it may
	DropTxFull      count.Word // no room in the transmit queue
	DropNoPath      count.Word // nothing to send on
	Interrupted     count.Word // video packets that a stream refused: their viewers wait for a key frame
	DropSeal        count.Word // the sealer refused: a second seal of one index
	DropNotReady    count.Word // the subscriber waits for a key frame
	RTXMalformed    count.Word
	DropRED         count.Word // redundant audio that cannot be taken apart
	DropREDType     count.Word // of it, what is of a payload type that was not negotiated
	RTCPBad         count.Word // compound packets with something malformed in them
}

// refused counts why a packet did not open.
func (n *Counters) refused(err error) {
	switch err {
	case srtp.ErrReplay:
		n.DropReplay.Inc()
	case srtp.ErrTooManySSRCs:
		n.DropSSRC.Inc()
	case srtp.ErrShort, srtp.ErrMalformed:
		n.DropHeader.Inc()
	default:
		n.DropAuth.Inc()
	}
}
