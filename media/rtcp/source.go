package rtcp

import "encoding/binary"

const (
	sdesEnd   = 0
	sdesCNAME = 1
	maxText   = 255 // an SDES item and a BYE reason have one byte of length
)

// SDES walks the chunks of a source description (RFC 3550 section 6.5).
type SDES struct {
	rest   []byte
	chunks uint8
	err    error
}

// SDES returns a reader of the packet's chunks. The error is ErrType.
func (p Packet) SDES() (SDES, error) {
	if p.Type != TypeSDES {
		return SDES{}, ErrType
	}
	return SDES{rest: p.Body, chunks: p.Count}, nil
}

// Next returns the SSRC and the CNAME of the next chunk; the CNAME is nil if the chunk
// has none. After false, Err tells whether this was the end.
func (s *SDES) Next() (ssrc uint32, cname []byte, ok bool) {
	if s.chunks == 0 || s.err != nil {
		return 0, nil, false
	}
	s.chunks--
	if len(s.rest) < 4 {
		return s.fail()
	}
	ssrc = binary.BigEndian.Uint32(s.rest)
	at := 4
	for {
		if at >= len(s.rest) {
			return s.fail() // the item list is not ended
		}
		item := s.rest[at]
		if item == sdesEnd {
			break
		}
		if at+2 > len(s.rest) || at+2+int(s.rest[at+1]) > len(s.rest) {
			return s.fail()
		}
		end := at + 2 + int(s.rest[at+1])
		if item == sdesCNAME && cname == nil {
			cname = s.rest[at+2 : end : end]
		}
		at = end
	}
	// The chunk is filled with zeros up to the next multiple of four, with one at least.
	// Body starts on such a boundary and so do all chunks.
	end := (at + 4) &^ 3
	if end > len(s.rest) {
		return s.fail()
	}
	s.rest = s.rest[end:]
	return ssrc, cname, true
}

func (s *SDES) fail() (uint32, []byte, bool) {
	s.rest, s.err = nil, ErrMalformed
	return 0, nil, false
}

// Err returns ErrMalformed if a chunk reaches past the packet's end, else nil.
func (s *SDES) Err() error { return s.err }

// Sources is a view of a list of SSRCs.
type Sources struct{ b []byte }

// Len returns the number of SSRCs.
func (s Sources) Len() int { return len(s.b) / 4 }

// At returns SSRC i.
func (s Sources) At(i int) uint32 { return binary.BigEndian.Uint32(s.b[4*i:]) }

// BYE returns the sources that leave (RFC 3550 section 6.6); the reason is ignored. The
// errors are ErrType and ErrShort.
func (p Packet) BYE() (Sources, error) {
	if p.Type != TypeBYE {
		return Sources{}, ErrType
	}
	n := 4 * int(p.Count)
	if len(p.Body) < n {
		return Sources{}, ErrShort
	}
	return Sources{p.Body[:n]}, nil
}

// AppendSDES appends a source description of one chunk with a CNAME. One longer than 255
// bytes is cut to that.
func AppendSDES(dst []byte, ssrc uint32, cname string) []byte {
	cname = cname[:min(len(cname), maxText)]
	// SSRC, item type and length, text, then one zero at least.
	n := (4 + 2 + len(cname) + 4) &^ 3
	dst = appendHeader(dst, TypeSDES, 1, n)
	dst = binary.BigEndian.AppendUint32(dst, ssrc)
	dst = append(dst, sdesCNAME, uint8(len(cname)))
	dst = append(dst, cname...)
	for pad := n - 4 - 2 - len(cname); pad > 0; pad-- {
		dst = append(dst, 0)
	}
	return dst
}

// AppendBYE appends a BYE without a reason, in as many packets as it takes at 31 sources
// each. Without sources it appends nothing.
func AppendBYE(dst []byte, ssrcs ...uint32) []byte {
	for len(ssrcs) > 0 {
		n := min(len(ssrcs), maxReports)
		dst = appendHeader(dst, TypeBYE, n, 4*n)
		for _, ssrc := range ssrcs[:n] {
			dst = binary.BigEndian.AppendUint32(dst, ssrc)
		}
		ssrcs = ssrcs[n:]
	}
	return dst
}
