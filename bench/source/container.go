package source

import (
	"bytes"
	"encoding/binary"
	"errors"
)

// Readers of the files in which clips are kept. Whole files are in memory; frames point into
// them.

// errContainer is a file that cannot be read.
var errContainer = errors.New("source: malformed clip file")

// ivf is an IVF file: VP8, VP9 or AV1.
type ivf struct {
	width, height uint16
	fps           int
	frames        [][]byte
}

func readIVF(b []byte) (f ivf, err error) {
	if len(b) < 32 || string(b[:4]) != "DKIF" {
		return f, errContainer
	}
	head := int(binary.LittleEndian.Uint16(b[6:]))
	rate, scale := binary.LittleEndian.Uint32(b[16:]), binary.LittleEndian.Uint32(b[20:])
	if head < 32 || head > len(b) || scale == 0 {
		return f, errContainer
	}
	f.width, f.height = binary.LittleEndian.Uint16(b[12:]), binary.LittleEndian.Uint16(b[14:])
	f.fps = int(rate / scale)
	for b = b[head:]; len(b) > 0; {
		if len(b) < 12 {
			return f, errContainer
		}
		size := binary.LittleEndian.Uint32(b)
		if b = b[12:]; uint64(size) > uint64(len(b)) {
			return f, errContainer
		}
		f.frames = append(f.frames, b[:size])
		b = b[size:]
	}
	return f, nil
}

// readAnnexB reads an H.264 byte stream (ITU-T H.264 annex B), in which every access unit
// begins with a delimiter, into access units of NAL units, without the delimiters.
func readAnnexB(b []byte) (units [][][]byte, err error) {
	code := []byte{0, 0, 1}
	begin := bytes.Index(b, code)
	if begin < 0 {
		return nil, errContainer
	}
	for b = b[begin+3:]; b != nil; {
		nal := b
		if next := bytes.Index(b, code); next >= 0 {
			nal, b = b[:next], b[next+3:]
		} else {
			b = nil
		}
		nal = bytes.TrimRight(nal, "\x00") // of a longer start code, or trailing zeroes
		switch {
		case len(nal) == 0:
			return nil, errContainer
		case nal[0]&0x1f == nalAUD:
			units = append(units, nil)
		case len(units) == 0:
			return nil, errContainer
		default:
			units[len(units)-1] = append(units[len(units)-1], nal)
		}
	}
	return units, nil
}

// readOgg reads the packets of an Ogg stream (RFC 3533) of Opus (RFC 7845), without its two
// headers.
func readOgg(b []byte) (packets [][]byte, err error) {
	var packet []byte
	for len(b) > 0 {
		if len(b) < 27 || string(b[:4]) != "OggS" || len(b) < 27+int(b[26]) {
			return nil, errContainer
		}
		lacing := b[27 : 27+int(b[26])]
		b = b[27+len(lacing):]
		for _, n := range lacing {
			if int(n) > len(b) {
				return nil, errContainer
			}
			packet = append(packet, b[:n]...)
			b = b[n:]
			if n < 255 { // the packet's last segment
				packets = append(packets, packet)
				packet = nil
			}
		}
	}
	if len(packets) < 3 || !bytes.HasPrefix(packets[0], []byte("OpusHead")) || !bytes.HasPrefix(packets[1], []byte("OpusTags")) {
		return nil, errContainer
	}
	return packets[2:], nil
}
