package srtp

import "encoding/binary"

// opener is the receiving half of a profile. The caller has made sure that the packet is long
// enough for what its header announces and that dst has room. No method changes any state but
// for a packet whose tag is right.
type opener interface {
	openRTP(dst, datagram []byte, headerLen int) (int, error)
	openRTCP(dst, datagram []byte) (int, error)
}

// OpenRTP decrypts an SRTP packet, header included, into dst, which has to have room for all
// but the tag and must not overlap datagram unless both start at the same byte. The plain packet
// is dst[:n]. On an error dst holds nothing of use and no state has changed. The caller passes
// packets of bound SSRCs only: a new SSRC costs memory for as long as the session lives.
func (s *Session) OpenRTP(dst, datagram []byte) (n int, err error) {
	headerLen, err := s.checkRTP(dst, datagram)
	if err == nil {
		n, err = s.open.openRTP(dst, datagram, headerLen)
	}
	return n, s.counters.count(err)
}

// OpenRTCP decrypts an SRTCP packet into dst, under the rules of OpenRTP.
func (s *Session) OpenRTCP(dst, datagram []byte) (n int, err error) {
	if err = s.checkRTCP(dst, datagram); err == nil {
		n, err = s.open.openRTCP(dst, datagram)
	}
	return n, s.counters.count(err)
}

// checkRTP does what needs no key, and returns the length of the header, which is what the
// ciphertext comes after.
func (s *Session) checkRTP(dst, b []byte) (headerLen int, err error) {
	overhead := s.profile.RTPOverhead()
	if len(b) < rtpHeaderLen+overhead {
		return 0, ErrShort
	}
	if b[0]>>6 != 2 {
		return 0, ErrMalformed
	}
	headerLen = rtpHeaderLen + 4*int(b[0]&0x0f) // CSRCs
	if b[0]&0x10 != 0 {                         // extension: profile, length in words, words
		if len(b) < headerLen+4 {
			return 0, ErrMalformed
		}
		headerLen += 4 + 4*int(binary.BigEndian.Uint16(b[headerLen+2:]))
	}
	if len(b) < headerLen+overhead {
		return 0, ErrMalformed
	}
	if len(dst) < len(b)-overhead {
		return 0, ErrBuffer
	}
	return headerLen, nil
}

// checkRTCP does what needs no key.
func (s *Session) checkRTCP(dst, b []byte) error {
	overhead := s.profile.RTCPOverhead()
	if len(b) < rtcpHeaderLen+overhead {
		return ErrShort
	}
	if b[0]>>6 != 2 {
		return ErrMalformed
	}
	// E bit and index stand last under GCM, and before the tag under HMAC-SHA1.
	word := len(b) - indexLen
	if s.profile == AES_CM_128_HMAC_SHA1_80 {
		word -= cmTagLen
	}
	if b[word]&encryptedBit == 0 {
		return ErrPlain
	}
	if len(dst) < len(b)-overhead {
		return ErrBuffer
	}
	return nil
}
