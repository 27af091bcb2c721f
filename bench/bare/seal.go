package bare

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/binary"
)

// The header of every packet: RTP with the extensions that a browser negotiates for video
// (RFC 8285, one-byte form), whose values lie at fixed offsets.
const (
	headerLen = 36
	tagLen    = 16

	atSeq          = 2
	atTimestamp    = 4
	atSSRC         = 8
	atTransportSeq = 17
	atSendTime     = 20

	marker = 0x80 // in the second byte
)

// template is the header of a stream as it is laid out once.
var template = [headerLen]byte{
	0x90, 96, // version 2 with an extension; payload type
	12: 0xbe, 0xde, 0, 5, // one-byte form, five words
	16: 3<<4 | 1, // transport-wide sequence number, 2 bytes
	19: 1<<4 | 2, // abs-send-time, 3 bytes
	23: 4<<4 | 11, 'v', 'i', 'd', 'e', 'o', '_', 'A', 'b', 'C', 'd', 'E', 'f',
}

// viewer is one stream to one destination.
type viewer struct {
	aead         cipher.AEAD
	salt         [12]byte
	nonce        [12]byte
	ssrc         uint32
	index        uint64 // roll-over count and sequence number of the next packet
	transportSeq uint16
	header       [headerLen]byte
}

// newViewer makes a stream with keys of its own.
func newViewer(ssrc uint32) (*viewer, error) {
	v := &viewer{ssrc: ssrc, header: template, index: uint64(ssrc) % 1000}
	binary.BigEndian.PutUint32(v.header[atSSRC:], ssrc)
	var key [16]byte
	rand.Read(key[:]) // never fails
	rand.Read(v.salt[:])
	block, err := aes.NewCipher(key[:])
	if err != nil {
		return nil, err
	}
	v.aead, err = cipher.NewGCM(block)
	return v, err
}

// setNonce builds the initialization vector of RFC 7714 section 8.1.
func (v *viewer) setNonce(index uint64) {
	hi := binary.BigEndian.Uint32(v.salt[:]) ^ v.ssrc>>16
	lo := binary.BigEndian.Uint64(v.salt[4:]) ^ (uint64(v.ssrc)<<48 | index)
	binary.BigEndian.PutUint32(v.nonce[:], hi)
	binary.BigEndian.PutUint64(v.nonce[4:], lo)
}

// seal writes the next packet of the stream to dst, which has room for exactly one, straight
// from the payload that all streams share.
func (v *viewer) seal(dst, payload []byte, timestamp, sendTime uint32, last bool) {
	copy(dst, v.header[:])
	if last {
		dst[1] |= marker
	}
	binary.BigEndian.PutUint16(dst[atSeq:], uint16(v.index))
	binary.BigEndian.PutUint32(dst[atTimestamp:], timestamp)
	binary.BigEndian.PutUint16(dst[atTransportSeq:], v.transportSeq)
	dst[atSendTime], dst[atSendTime+1], dst[atSendTime+2] = byte(sendTime>>16), byte(sendTime>>8), byte(sendTime)
	v.setNonce(v.index)
	v.aead.Seal(dst[headerLen:headerLen], v.nonce[:], payload, dst[:headerLen])
	v.index++
	v.transportSeq++
}

// open is the inverse of seal, for the packet with an index near that of the stream.
func (v *viewer) open(packet []byte) (payload []byte, err error) {
	seq := binary.BigEndian.Uint16(packet[atSeq:])
	v.setNonce(v.index - uint64(uint16(v.index)-seq))
	return v.aead.Open(nil, v.nonce[:], packet[headerLen:], packet[:headerLen])
}
