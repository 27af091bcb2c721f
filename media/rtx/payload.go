package rtx

import (
	"encoding/binary"
	"errors"
)

// OSNSize is how many bytes a retransmission's payload has in front of the original one:
// the original sequence number.
const OSNSize = 2

// ErrShort says that a payload has no room for an original sequence number. Browsers send
// such packets, which are padding and nothing else, on the RTX stream to probe the
// bandwidth: they are counted and dropped.
var ErrShort = errors.New("rtx: payload shorter than its original sequence number")

// AppendPayload appends a retransmission's payload to dst (RFC 4588 section 4): the
// original sequence number osn, then the original payload.
func AppendPayload(dst []byte, osn uint16, payload []byte) []byte {
	return append(binary.BigEndian.AppendUint16(dst, osn), payload...)
}

// ParsePayload takes a retransmission's payload apart, without RTP padding. The original
// payload is a part of b; it may be empty. The only error is ErrShort.
func ParsePayload(b []byte) (osn uint16, payload []byte, err error) {
	if len(b) < OSNSize {
		return 0, nil, ErrShort
	}
	return binary.BigEndian.Uint16(b), b[OSNSize:], nil
}
