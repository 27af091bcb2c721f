package edge

import (
	"bytes"
	"encoding/binary"
	"testing"
	"time"

	"tsubame/media/param"
	"tsubame/media/rtcp"
	"tsubame/turnsrv"
)

// What paths leave to UDP: 1,280 bytes are the least of IPv6 (RFC 8200 section 5) and of what goes
// through tunnels of it, 1,400 what tunnels, mobile networks and PPPoE leave of Ethernet's 1,500.
const (
	leastPath  = 1280 - 40 - 8
	leastPath4 = 1280 - 20 - 8
	usualPath  = 1400 - 40 - 8
)

// browserRTP are the most bytes of an RTP packet of libwebrtc's, headers and all, to which SRTP adds
// its tag: 1,200, less what RFC 4588 adds to a packet that is sent again.
const browserRTP = 1200 - 2

// Packets as long as libwebrtc's can be go on within what any path carries, however they travel,
// for the first time or again; our headers name the section in each packet, theirs need not. Only
// inside ChannelData over IPv6's least path up to four bytes are too many, and the kernel cuts them.
//
// Nothing is cut here: RTP has no way to. A publisher whose packets are longer than any browser's
// reaches viewers whose paths are as wide as its own, and what the headers differ by.
func TestLongestPacketsFitThePath(t *testing.T) {
	r := newRig(t, 1, nil)
	pub := r.open(0, pathB)
	in := videoIn
	in.Extensions = param.Extensions{AbsSendTime: 2, TransportCC: 3, MID: midExtension, VideoOrientation: 7}
	track := pub.publish(in)
	pub.establish()
	v := r.open(0, pathA)
	out := videoOut(track, 5000)
	out.MID = "video_ABCDEF"
	out.Extensions = in.Extensions
	v.c.Subscribe(out)
	v.establish()

	// Once we have reported, libwebrtc leaves the MID out: 4 bytes of header, and 4 and 3 of the
	// two times, padded.
	const theirs = 12 + 4 + 8
	payload := bytes.Repeat([]byte{7}, browserRTP-theirs)
	copy(payload, vp8(true, 7))
	var direct, again int
	for seq := range uint16(3) {
		r.deliver(0, pub.key, pub.rtp(1000, seq, 3000, payload))
	}
	r.settle()
	sent := sentTo(r.take(), v.key)
	for _, d := range sent {
		direct = max(direct, len(d.bytes))
	}
	got := v.received(sent)
	if len(got) != 3 {
		t.Fatalf("%d packets, want 3", len(got))
	}
	r.advance(200 * time.Millisecond)
	r.take()
	r.deliver(0, v.key, v.rtcp(rtcp.AppendNACK(nil, 1, 5000, []uint16{binary.BigEndian.Uint16(got[1][2:])})))
	r.advance(50 * time.Millisecond)
	sent = sentTo(r.take(), v.key)
	for _, d := range sent {
		again = max(again, len(d.bytes))
	}
	if got = v.received(sent); len(got) != 1 || !bytes.HasSuffix(got[0], payload) {
		t.Fatalf("%d packets were sent again, want 1", len(got))
	}
	channel, indication := again+turnsrv.ChannelHeader, again+turnsrv.IndicationHeader(turnsrv.Address{Port: 1})
	t.Logf("a packet of %d bytes goes on as %d bytes, and again as %d; then in ChannelData %d, in an indication up to %d",
		browserRTP, direct, again, channel, indication)
	if direct > leastPath || again > leastPath || channel > leastPath4 || indication > usualPath {
		t.Errorf("%d bytes directly, %d again, %d in ChannelData, %d in an indication", direct, again, channel, indication)
	}
	r.finish()
}
