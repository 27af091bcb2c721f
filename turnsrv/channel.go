package turnsrv

import (
	"encoding/binary"

	"github.com/pion/stun/v3"

	"tsubame/turnsrv/stunwire"
)

// ChannelHeader is how many bytes stand before the data of ChannelData (RFC 8656 section 12.4):
// channel and length.
const ChannelHeader = 4

// Channel numbers that a client may bind (RFC 8656 section 12). They make the first byte of
// ChannelData 64 to 79, by which it is told from all else on the port (RFC 7983).
const (
	minChannel = 0x4000
	maxChannel = 0x4FFF
)

// Padded returns n rounded up to the next multiple of four. Over a stream ChannelData is padded
// to that (RFC 8656 section 12.5); its length field still says n.
func Padded(n int) int { return (n + 3) &^ 3 }

// PutChannelHeader writes the header of ChannelData that carries n bytes into the first
// ChannelHeader bytes of buf.
func PutChannelHeader(buf []byte, channel uint16, n int) {
	_ = buf[ChannelHeader-1]
	binary.BigEndian.PutUint16(buf, channel)
	binary.BigEndian.PutUint16(buf[2:], uint16(n))
}

// IndicationHeader returns how many bytes stand before the data of a Data indication that
// comes from peer: 36 for an IPv4 address and 48 for an IPv6 address.
func IndicationHeader(peer Address) int {
	return headerLen + attrHeaderLen + stunwire.AddressLen(peer.Addr) + attrHeaderLen
}

// PutIndication makes a Data indication (RFC 8656 section 11.4) of n bytes that stand at offset
// IndicationHeader(peer) of buf: it writes what comes before them and pads them. It returns the
// size of the whole, at most 3 more than header and data. id makes the transaction id; nobody
// answers indications, so it only has to differ from one to the next.
func PutIndication(buf []byte, peer Address, n int, id uint64) int {
	data := IndicationHeader(peer)
	end := data + Padded(n)
	clear(buf[data+n : end])
	binary.BigEndian.PutUint16(buf, typeDataIndication)
	binary.BigEndian.PutUint16(buf[2:], uint16(end-headerLen))
	binary.BigEndian.PutUint32(buf[4:], stunwire.MagicCookie)
	binary.BigEndian.PutUint32(buf[8:], 0)
	binary.BigEndian.PutUint64(buf[12:], id)
	head := stunwire.AppendAddress(buf[:headerLen], 0, stun.AttrXORPeerAddress, peer.Addr, peer.Port)
	binary.BigEndian.PutUint16(buf[len(head):], uint16(stun.AttrData))
	binary.BigEndian.PutUint16(buf[len(head)+2:], uint16(n))
	return end
}
