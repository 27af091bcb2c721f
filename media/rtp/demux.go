package rtp

// Class is a protocol by the first byte of a datagram (RFC 7983 section 7).
type Class uint8

// The classes. RTP and RTCP share one; IsRTCP tells them apart.
const (
	ClassUnknown     Class = iota // empty datagrams too; drop
	ClassSTUN                     // 0..3
	ClassDTLS                     // 20..63
	ClassChannelData              // 64..79: TURN channel numbers 0x4000..0x4FFF
	ClassRTP                      // 128..191: RTP or RTCP of version 2
)

// String returns a word fit for a metric's label.
func (c Class) String() string {
	switch c {
	case ClassSTUN:
		return "stun"
	case ClassDTLS:
		return "dtls"
	case ClassChannelData:
		return "channeldata"
	case ClassRTP:
		return "rtp"
	}
	return "unknown"
}

// Classify tells what a datagram may be by its first byte. It promises nothing about
// the rest. ZRTP (16..19) and QUIC (192..255) are unknown here.
func Classify(b []byte) Class {
	if len(b) == 0 {
		return ClassUnknown
	}
	switch c := b[0]; {
	case c >= 128 && c <= 191:
		return ClassRTP
	case c <= 3:
		return ClassSTUN
	case c >= 20 && c <= 63:
		return ClassDTLS
	case c >= 64 && c <= 79:
		return ClassChannelData
	}
	return ClassUnknown
}

// IsRTCP tells RTCP from RTP on one port (RFC 5761 section 4): RTCP packet types are
// 192..223, which RTP could only have with the marker and a payload type of 64..95, and
// those are never negotiated. It is for datagrams of ClassRTP.
func IsRTCP(b []byte) bool { return len(b) >= 2 && b[1] >= 192 && b[1] <= 223 }
