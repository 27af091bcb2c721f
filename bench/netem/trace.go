package netem

import (
	"encoding/binary"
	"time"
)

// Kind is what a packet is, as far as it can be told from outside (RFC 7983).
type Kind uint8

// What a packet may be.
const (
	Other Kind = iota
	STUN
	DTLS
	RTP
	RTCP
)

// Record is one packet that came out of a direction of a Box.
type Record struct {
	At   time.Time
	Size int // of the IP packet, bytes
	Kind Kind
	Type uint8  // the payload type of RTP; 1 for requests and 2 for answers of STUN
	SSRC uint32 // of RTP
	Port uint16 // the client's port, as the server sees it
}

// maxRecords bounds what a Box writes down; what comes later is not written down.
const maxRecords = 1 << 20

// classify reads what a packet is.
func classify(p []byte) (r Record) {
	r.Size = len(p)
	d, ok := peekUDP(p)
	if !ok {
		return r
	}
	b := d.payload()
	switch {
	case len(b) >= 20 && b[0] < 4 && binary.BigEndian.Uint32(b[4:]) == 0x2112a442:
		r.Kind = STUN
		if r.Type = 2; b[0] == 0 && b[1] == 1 {
			r.Type = 1
		}
	case len(b) > 0 && b[0] >= 20 && b[0] < 64:
		r.Kind = DTLS
	case len(b) >= 12 && b[0]>>6 == 2 && b[1] >= 192 && b[1] < 224:
		r.Kind = RTCP
	case len(b) >= 12 && b[0]>>6 == 2:
		r.Kind, r.Type, r.SSRC = RTP, b[1]&0x7f, binary.BigEndian.Uint32(b[8:])
	}
	return r
}
