package edge

import (
	"encoding/binary"

	"tsubame/media/rtcp"
	"tsubame/media/rtp"
	"tsubame/media/srtp"
	"tsubame/netio/mmsg"
	"tsubame/netio/mono"
	"tsubame/turnsrv"
)

// Thousands of viewers send tens of thousands of datagrams a second, nearly all of them
// transport-wide feedback, and NACKs by the million when a machine has too much to do. When a
// shard does not get through with them the kernel's buffer overflows, and among what it drops
// are the connectivity checks that consent hangs on: viewers are lost for feedback of which
// nobody could make any use by then. So a shard that is behind drops feedback itself, before it
// looks up or decrypts anything of it, and gets to the checks and the media.
//
// Behind is a shard that has found so many full batches in one socket without it ever being
// empty: a fifth of what the kernel's buffer holds.
const (
	pressedAfter = 32
	fullBatch    = 32 // datagrams that a batch has to have at least to be a full one
)

// What a shard that is behind still takes of each batch.
const (
	pressedFeedback = 4
	pressedNACKs    = 16
)

// laneTurns is how many turns in a row a shard that is behind may leave its media lane for its
// sockets: a turn takes one batch, and may otherwise send thousands of packets after each, so
// that the sockets would get the less of its time the more there is to do.
const laneTurns = 7

// press is what a shard knows of one socket. The zero value is a socket that was empty.
type press struct {
	full            int       // batches in a row
	at              mono.Time // of the last of them
	feedback, nacks int       // taken of this batch
}

// begin takes note of a batch.
func (p *press) begin(now mono.Time, in *mmsg.RxBatch) {
	p.at, p.feedback, p.nacks = now, 0, 0
	if in.Room() > 0 || in.Len() < fullBatch {
		p.full = 0
		return
	}
	p.full++
}

// pressOf takes note of a batch and returns what is known of its socket.
func (s *shard) pressOf(now mono.Time, in *mmsg.RxBatch) *press {
	p := &s.press[0]
	if in.Len() > 0 && in.Key(0).Is4() {
		p = &s.press[1]
	}
	p.begin(now, in)
	return p
}

// behind reports whether the shard is.
func (p *press) behind() bool { return p.full >= pressedAfter }

// leaveLane reports whether the media lane has to wait for the next turn, since the sockets
// cannot.
func (s *shard) leaveLane(now mono.Time) bool {
	for i := range s.press {
		if p := &s.press[i]; p.behind() && p.at == now && s.left < laneTurns {
			s.left++
			return true
		}
	}
	s.left = 0
	return false
}

// drops reports whether a datagram is to be dropped for others, and takes it off what this
// batch may have otherwise.
func (p *press) drops(b []byte) bool {
	if rtp.Classify(b) == rtp.ClassChannelData && len(b) > turnsrv.ChannelHeader {
		b = b[turnsrv.ChannelHeader:]
	}
	switch format, ok := soleFeedback(b); {
	case !ok:
		return false
	case format == rtcp.FormatTWCC:
		p.feedback++
		return p.feedback > pressedFeedback
	default:
		p.nacks++
		return p.nacks > pressedNACKs
	}
}

// soleFeedback tells transport-wide feedback and NACKs by the first header of an SRTCP packet,
// which is not encrypted; false if anything else is, or could be, in it. It is a guess about
// what nobody has authenticated: good enough to drop by.
func soleFeedback(b []byte) (format uint8, ok bool) {
	if len(b) < rtcp.HeaderSize || b[1] != rtcp.TypeRTPFB {
		return 0, false
	}
	format = b[0] & 0x1f
	rest := len(b) - 4*(1+int(binary.BigEndian.Uint16(b[2:])))
	if rest != srtp.AEAD_AES_128_GCM.RTCPOverhead() && rest != srtp.AES_CM_128_HMAC_SHA1_80.RTCPOverhead() {
		return 0, false
	}
	return format, format == rtcp.FormatTWCC || format == rtcp.FormatNACK
}
