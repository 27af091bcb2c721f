package srtp

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
)

// Labels of the key derivation (RFC 3711 section 4.3.2).
const (
	labelRTPKey   = 0x00
	labelRTPSalt  = 0x02
	labelRTCPKey  = 0x03
	labelRTCPSalt = 0x05
)

// gcm is one direction of AEAD_AES_128_GCM (RFC 7714).
type gcm struct {
	rtp, rtcp         cipher.AEAD
	rtpSalt, rtcpSalt [12]byte

	// Scratch that would escape to the heap if it were local.
	nonce [12]byte
	aad   [rtcpHeaderLen + indexLen]byte
}

// newGCM derives the session keys from a master key and salt.
func newGCM(key, salt []byte) (*gcm, error) {
	return newGCMFromSessionKeys(
		derive(key, salt, labelRTPKey, 16), derive(key, salt, labelRTPSalt, 12),
		derive(key, salt, labelRTCPKey, 16), derive(key, salt, labelRTCPSalt, 12))
}

func newGCMFromSessionKeys(rtpKey, rtpSalt, rtcpKey, rtcpSalt []byte) (*gcm, error) {
	g := &gcm{rtpSalt: [12]byte(rtpSalt), rtcpSalt: [12]byte(rtcpSalt)}
	var err error
	if g.rtp, err = newAEAD(rtpKey); err != nil {
		return nil, err
	}
	g.rtcp, err = newAEAD(rtcpKey)
	return g, err
}

func newAEAD(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

func (g *gcm) sealRTP(slot []byte, headerLen int, payload []byte, ssrc uint32, index uint64) (int, error) {
	g.setNonce(&g.rtpSalt, ssrc, index)
	n := headerLen + len(payload) + gcmTagLen
	// The capacity is cut at n so that Seal, which appends, can never write behind the packet.
	g.rtp.Seal(slot[headerLen:headerLen:n], g.nonce[:], payload, slot[:headerLen])
	return n, nil
}

func (g *gcm) sealRTCP(slot []byte, plainLen int, ssrc, index uint32) (int, error) {
	g.setNonce(&g.rtcpSalt, ssrc, uint64(index))
	end := plainLen + gcmTagLen
	g.setControlAAD(slot, index|encryptedBit<<24)
	g.rtcp.Seal(slot[rtcpHeaderLen:rtcpHeaderLen:end], g.nonce[:], slot[rtcpHeaderLen:plainLen], g.aad[:])
	copy(slot[end:], g.aad[rtcpHeaderLen:])
	return end + indexLen, nil
}

// openRTP is the inverse of sealRTP. On an error dst is zeroed as far as it was written.
func (g *gcm) openRTP(dst, datagram []byte, headerLen int, ssrc uint32, index uint64) (int, error) {
	g.setNonce(&g.rtpSalt, ssrc, index)
	n := len(datagram) - gcmTagLen
	_, err := g.rtp.Open(dst[headerLen:headerLen:n], g.nonce[:], datagram[headerLen:], datagram[:headerLen])
	if err != nil {
		return 0, ErrAuth
	}
	copy(dst, datagram[:headerLen])
	return n, nil
}

// openRTCP is the inverse of sealRTCP. word is the E bit and index.
func (g *gcm) openRTCP(dst, datagram []byte, ssrc, word uint32) (int, error) {
	g.setNonce(&g.rtcpSalt, ssrc, uint64(word&maxRTCPIndex))
	g.setControlAAD(datagram, word)
	end := len(datagram) - indexLen
	n := end - gcmTagLen
	_, err := g.rtcp.Open(dst[rtcpHeaderLen:rtcpHeaderLen:n], g.nonce[:], datagram[rtcpHeaderLen:end], g.aad[:])
	if err != nil {
		return 0, ErrAuth
	}
	copy(dst, datagram[:rtcpHeaderLen])
	return n, nil
}

// setControlAAD builds the associated data of a control packet: its clear header, and the E bit
// and index, which stand behind the tag (RFC 7714 section 9.2).
func (g *gcm) setControlAAD(packet []byte, word uint32) {
	copy(g.aad[:], packet[:rtcpHeaderLen])
	binary.BigEndian.PutUint32(g.aad[rtcpHeaderLen:], word)
}

// setNonce builds the initialization vector: two zero bytes, SSRC, 48 bits of index, all
// exclusive-or salt. That is RFC 7714 section 8.1, and 9.1 as well: the 31 bits of an SRTCP
// index stand where the lower half of the 48 does.
func (g *gcm) setNonce(salt *[12]byte, ssrc uint32, index uint64) {
	hi := binary.BigEndian.Uint32(salt[:]) ^ ssrc>>16
	lo := binary.BigEndian.Uint64(salt[4:]) ^ (uint64(ssrc)<<48 | index)
	binary.BigEndian.PutUint32(g.nonce[:], hi)
	binary.BigEndian.PutUint64(g.nonce[4:], lo)
}

// derive is the key derivation of RFC 3711 section 4.3 with AES-CM as the function and a key
// derivation rate of 0. A salt of 96 bits, as GCM has it, is one of 112 with zeros at the end
// (RFC 7714 section 11).
func derive(key, salt []byte, label byte, n int) []byte {
	block, err := aes.NewCipher(key)
	if err != nil {
		panic("srtp: " + err.Error()) // NewSession has checked the length
	}
	var iv [aes.BlockSize]byte
	copy(iv[:14], salt)
	iv[7] ^= label
	out := make([]byte, n)
	cipher.NewCTR(block, iv[:]).XORKeyStream(out, out)
	return out
}
