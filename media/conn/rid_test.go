package conn

import (
	"bytes"
	"encoding/binary"
	"testing"

	"tsubame/media/param"
	"tsubame/media/rtp"
	"tsubame/media/srtp"
	"tsubame/netio/mmsg"
	"tsubame/netio/packet"
)

// The ids of header extensions in these tests.
const (
	midID      = 1
	ridID      = 2
	repairedID = 3
)

// layer is one of several of an m-section, whose SSRCs are not signalled.
func layer(rid string) param.Publish {
	spec := video
	spec.RID, spec.SSRC, spec.RTXSSRC = rid, 0, 0
	spec.Extensions = param.Extensions{MID: midID, RID: ridID, RepairedRID: repairedID}
	return spec
}

// extended seals a packet with header extensions in the one-byte form, by id and text.
func (p *peer) extended(h rtp.HeaderFields, payload []byte, extensions map[uint8]string) []byte {
	st := p.streams[h.SSRC]
	if st == nil {
		st = p.session.AddStream(h.SSRC)
		p.streams[h.SSRC] = st
	}
	var slot [mmsg.SlotSize]byte
	n := rtp.PutHeader(slot[:], h)
	slot[0] |= 0x10
	b := append(slot[:n], 0xbe, 0xde, 0, 0)
	for id, text := range extensions {
		b = append(append(b, id<<4|uint8(len(text)-1)), text...)
	}
	for len(b)%4 != 0 {
		b = append(b, 0)
	}
	binary.BigEndian.PutUint16(slot[n+2:], uint16((len(b)-n-4)/4))
	n, err := p.session.SealRTP(slot[:], len(b), payload, st, uint64(h.Seq))
	if err != nil {
		p.r.t.Fatal(err)
	}
	return bytes.Clone(slot[:n])
}

// got returns as which track's the peer's packet was routed, false if it was not.
func (p *peer) got(datagram []byte) (id param.TrackID, flags packet.Flags, ok bool) {
	p.conn.HandleRTP(&p.r.env, p.r.now, datagram)
	if ok = len(p.r.env.Routed) == 1; ok {
		id = p.r.env.Routed[0].Track
		p.r.route(func(run []Packet) { flags = run[0].Meta.Flags })
	}
	return id, flags, ok
}

func TestLayersAreToldApartByTheirRID(t *testing.T) {
	r := newRig(t)
	pub := r.connect(1, srtp.AEAD_AES_128_GCM)
	high, low := pub.publish(layer("high")), pub.publish(layer("low"))
	want := func(what string, datagram []byte, want param.TrackID, recovered bool) {
		t.Helper()
		id, flags, ok := pub.got(datagram)
		if !ok || id != want || recovered != (flags&packet.FlagRecovered != 0) {
			t.Fatalf("%s: track %v (%v), flags %b", what, id, ok, flags)
		}
	}
	mid := func(id uint8, rid string) map[uint8]string { return map[uint8]string{midID: "video_1", id: rid} }
	for i, c := range []struct {
		rid   string
		track param.TrackID
	}{{"high", high}, {"low", low}} {
		ssrc := uint32(100 * (i + 1))
		media := rtp.HeaderFields{PayloadType: 96, Seq: 1, SSRC: ssrc}
		want(c.rid, pub.extended(media, frame(true, 100), mid(ridID, c.rid)), c.track, false)
		media.Seq = 3
		want("without a word of its layer, under a known SSRC", pub.packet(media, frame(false, 100)), c.track, false)
		again := rtp.HeaderFields{PayloadType: 97, Seq: 1, SSRC: ssrc + 1}
		want("its retransmission", pub.extended(again, append([]byte{0, 2}, frame(false, 100)...), mid(repairedID, c.rid)), c.track, true)
	}
	if n := r.env.Count.DropSSRC.Load(); n != 0 {
		t.Errorf("%d packets dropped for their SSRC", n)
	}
}

// Row RTP-04.
func TestPacketsOfNoKnownLayerAreRefused(t *testing.T) {
	r := newRig(t)
	pub := r.connect(1, srtp.AEAD_AES_128_GCM)
	pub.publish(layer("high"))
	without := layer("low")
	without.Extensions.RepairedRID = 0
	pub.publish(without)
	cases := []struct {
		pt   uint8
		name string
		ext  map[uint8]string
	}{
		{96, "an unknown layer", map[uint8]string{midID: "video_1", ridID: "other"}},
		{96, "no layer", map[uint8]string{midID: "video_1"}},
		{96, "no MID", map[uint8]string{ridID: "high"}},
		{96, "another MID", map[uint8]string{midID: "video_2", ridID: "high"}},
		{96, "a layer as that of retransmissions", map[uint8]string{midID: "video_1", repairedID: "high"}},
		{97, "retransmissions of an unknown layer", map[uint8]string{midID: "video_1", repairedID: "other"}},
		{97, "retransmissions under the RID of media", map[uint8]string{midID: "video_1", ridID: "high"}},
		{97, "retransmissions that cannot be told apart", map[uint8]string{midID: "video_1", repairedID: "low"}},
		{98, "another payload type", map[uint8]string{midID: "video_1", ridID: "high", repairedID: "high"}},
	}
	for i, c := range cases {
		h := rtp.HeaderFields{PayloadType: c.pt, Seq: 1, SSRC: uint32(10 + i)}
		if _, _, ok := pub.got(pub.extended(h, append([]byte{0, 1}, frame(true, 100)...), c.ext)); ok {
			t.Errorf("%s: accepted", c.name)
		}
	}
	if n := r.env.Count.DropSSRC.Load(); int(n) != len(cases) || len(pub.conn.binds) != 0 {
		t.Errorf("%d of %d packets dropped for their SSRC, %d bound", n, len(cases), len(pub.conn.binds))
	}
}

// A probe, or what was asked for of a packet that came too late itself: nothing tells yet where a
// retransmission belongs, but from the first media packet on its SSRC is known.
func TestRetransmissionMayComeBeforeTheFirstPacket(t *testing.T) {
	r := newRig(t)
	pub := r.connect(1, srtp.AEAD_AES_128_GCM)
	id := pub.publish(layer("high"))
	ext := map[uint8]string{midID: "video_1", repairedID: "high"}
	payload := append([]byte{0, 2}, frame(false, 100)...)
	if _, _, ok := pub.got(pub.extended(rtp.HeaderFields{PayloadType: 97, Seq: 1, SSRC: 11}, payload, ext)); ok {
		t.Fatal("a retransmission began the stream")
	}
	for _, seq := range []uint16{1, 3} {
		h := rtp.HeaderFields{PayloadType: 96, Seq: seq, SSRC: 10}
		if got, _, ok := pub.got(pub.extended(h, frame(seq == 1, 100), map[uint8]string{midID: "video_1", ridID: "high"})); !ok || got != id {
			t.Fatalf("packet %d: track %v, %v", seq, got, ok)
		}
	}
	if got, flags, ok := pub.got(pub.packet(rtp.HeaderFields{PayloadType: 97, Seq: 2, SSRC: 11}, payload)); !ok || got != id || flags&packet.FlagRecovered == 0 {
		t.Errorf("the same retransmission again: track %v, %v, flags %b", got, ok, flags)
	}
}
