package source

import (
	"encoding/binary"
	"errors"

	"tsubame/bench/source/shape"
)

// The packetizers turn one encoded frame into RTP payloads of at most chromiumPayload bytes.
// They run when a clip is opened. Picture numbers are written when a payload is sent.

// errFrame is an encoded frame that cannot be read.
var errFrame = errors.New("source: malformed encoded frame")

// cut divides a frame into as few parts as hold it with head bytes before each, of sizes that
// are equal or differ by one byte.
func cut(frame []byte, head int) (parts [][]byte) {
	room := chromiumPayload - head
	for n := max(1, (len(frame)+room-1)/room); n > 0; n-- {
		size := len(frame) / n // what is left over makes later parts larger
		parts = append(parts, frame[:size])
		frame = frame[size:]
	}
	return parts
}

// packetizeVP8 is RFC 7741.
func packetizeVP8(frame []byte) (payloads [][]byte, key bool, err error) {
	if len(frame) < shape.VP8FrameTag {
		return nil, false, errFrame
	}
	key = frame[0]&1 == 0
	for i, part := range cut(frame, shape.VP8Descriptor) {
		b := make([]byte, shape.VP8Descriptor, shape.VP8Descriptor+len(part))
		shape.PutVP8Descriptor(b, shape.Video{Start: i == 0})
		payloads = append(payloads, append(b, part...))
	}
	return payloads, key, nil
}

// packetizeVP9 is RFC 9628, without flexible mode and layers.
func packetizeVP9(frame []byte, width, height uint16) (payloads [][]byte, key bool, err error) {
	// The uncompressed header of profile 0: frame marker, profile, show_existing_frame,
	// frame_type.
	if len(frame) == 0 || frame[0]&0xf0 != 0x80 {
		return nil, false, errFrame
	}
	key = frame[0]&0x0c == 0
	parts := cut(frame, 5+8) // the structure is in one of them only
	for i, part := range parts {
		var head [shape.Max]byte
		n := shape.PutVP9Descriptor(head[:], shape.Video{Start: i == 0, End: i == len(parts)-1, Key: key}, width, height)
		payloads = append(payloads, append(head[:n:n], part...))
	}
	return payloads, key, nil
}

// Types of OBUs (AV1 Bitstream & Decoding Process Specification, section 6.2.2).
const (
	obuSequence  = 1
	obuDelimiter = 2
	obuTileList  = 8
	obuPadding   = 15
)

// splitOBUs returns the OBUs of a temporal unit without their size fields, and without those
// that are not to be sent (RTP Payload Format For AV1, section 5).
func splitOBUs(unit []byte) (obus [][]byte, key bool, err error) {
	for len(unit) > 0 {
		kind, head := unit[0]>>3&0x0f, 1
		if unit[0]&0x04 != 0 { // extension
			head = 2
		}
		if len(unit) < head || unit[0]&0x02 == 0 {
			return nil, false, errFrame
		}
		size, n := binary.Uvarint(unit[head:]) // leb128 is the same
		if n <= 0 || size > uint64(len(unit)-head-n) {
			return nil, false, errFrame
		}
		body := unit[head+n : head+n+int(size)]
		obu := append([]byte{unit[0] &^ 0x02}, unit[1:head]...)
		unit = unit[head+n+int(size):]
		switch kind {
		case obuDelimiter, obuTileList, obuPadding:
			continue
		case obuSequence:
			key = true
		}
		obus = append(obus, append(obu, body...))
	}
	if len(obus) == 0 {
		return nil, false, errFrame
	}
	return obus, key, nil
}

// packetizeAV1 is the RTP Payload Format For AV1, section 4: packets of about equal sizes, of
// which the last is the shortest.
func packetizeAV1(unit []byte) (payloads [][]byte, key bool, err error) {
	obus, key, err := splitOBUs(unit)
	if err != nil {
		return nil, false, err
	}
	const overhead = 1 + 3*2 // aggregation header, lengths
	total := 0
	for _, o := range obus {
		total += len(o) + 2
	}
	n := (total + chromiumPayload - overhead - 1) / (chromiumPayload - overhead)
	limit := min((total+n-1)/n+overhead, chromiumPayload)
	continues := false
	for len(obus) > 0 {
		b := []byte{0}
		if continues {
			b[0] |= 0x80 // Z
		}
		if key && len(payloads) == 0 {
			b[0] |= 0x08 // N
		}
		// All elements have their lengths (W=0). Each is taken to need two bytes.
		continues = false
		for len(obus) > 0 && limit-len(b) > 2 && !continues {
			size := min(len(obus[0]), limit-len(b)-2)
			b = binary.AppendUvarint(b, uint64(size))
			b = append(b, obus[0][:size]...)
			if continues = size < len(obus[0]); continues {
				obus[0] = obus[0][size:]
			} else {
				obus = obus[1:]
			}
		}
		if continues {
			b[0] |= 0x40 // Y
		}
		payloads = append(payloads, b)
	}
	return payloads, key, nil
}

// Types of NAL units (RFC 6184 section 5.2).
const (
	nalIDR   = 5
	nalAUD   = 9
	nalSTAPA = 24
	nalFUA   = 28
)

// packetizeH264 is RFC 6184 in non-interleaved mode: NAL units that are small are sent
// together (STAP-A), one that is too large in parts (FU-A).
func packetizeH264(nals [][]byte) (payloads [][]byte, key bool, err error) {
	for len(nals) > 0 {
		if len(nals[0]) < 2 {
			return nil, false, errFrame
		}
		key = key || nals[0][0]&0x1f == nalIDR
		n, size := 0, 1
		for n < len(nals) && size+2+len(nals[n]) <= chromiumPayload {
			key = key || nals[n][0]&0x1f == nalIDR
			size += 2 + len(nals[n])
			n++
		}
		switch n {
		case 0:
			if len(nals[0]) > chromiumPayload {
				payloads = appendFUA(payloads, nals[0])
				nals = nals[1:]
				continue
			}
			fallthrough
		case 1:
			payloads = append(payloads, nals[0])
			nals = nals[1:]
		default:
			payloads = append(payloads, aggregate(nals[:n]))
			nals = nals[n:]
		}
	}
	if len(payloads) == 0 {
		return nil, false, errFrame
	}
	return payloads, key, nil
}

// aggregate makes a STAP-A, whose NRI is the highest of its units'.
func aggregate(nals [][]byte) []byte {
	b := []byte{nalSTAPA}
	for _, nal := range nals {
		b[0] = max(b[0]&0x60, nal[0]&0x60) | nalSTAPA
		b = binary.BigEndian.AppendUint16(b, uint16(len(nal)))
		b = append(b, nal...)
	}
	return b
}

// appendFUA sends a NAL unit in parts.
func appendFUA(payloads [][]byte, nal []byte) [][]byte {
	indicator, kind := nal[0]&0x60|nalFUA, nal[0]&0x1f
	parts := cut(nal[1:], 2)
	for i, part := range parts {
		head := kind
		if i == 0 {
			head |= 0x80 // S
		}
		if i == len(parts)-1 {
			head |= 0x40 // E
		}
		payloads = append(payloads, append([]byte{indicator, head}, part...))
	}
	return payloads
}
