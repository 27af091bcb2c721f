package rtp

import (
	"bytes"
	"math/rand/v2"
	"testing"

	pion "github.com/pion/rtp"

	"tsubame/media/param"
)

// comparePion holds our parser against pion/rtp. They agree on what is a packet, but for
// two things: pion takes any version, and refuses a packet with a malformed extension
// element where we only end the walk there.
func comparePion(t *testing.T, b []byte) {
	t.Helper()
	var p pion.Packet
	pionErr := p.Unmarshal(b)
	v, err := Parse(b)
	if err != nil {
		if pionErr == nil && p.Version == Version {
			t.Fatalf("%x: %v, pion takes it", b, err)
		}
		return
	}
	r := v.Extensions()
	var got []element
	for {
		id, value, ok := r.Next()
		if !ok {
			break
		}
		got = append(got, element{id, string(value)})
	}
	// pion knows only the two-byte profile without application bits.
	sameProfile := v.profile == profileOneByte || v.profile == profileTwoByte
	if pionErr != nil {
		if !sameProfile || r.Err() == nil {
			t.Fatalf("%x: pion says %v", b, pionErr)
		}
		return
	}
	if v.PayloadType != p.PayloadType || v.Marker != p.Marker || v.Seq != p.SequenceNumber ||
		v.Timestamp != p.Timestamp || v.SSRC != p.SSRC || int(v.CSRCCount) != len(p.CSRC) ||
		v.Padded != p.Padding || v.Padding != int(p.PaddingSize) || v.HasExtensions() != p.Extension ||
		!bytes.Equal(v.Payload(), p.Payload) {
		t.Fatalf("%x: %+v, pion %+v", b, v, p)
	}
	for i, want := range p.CSRC {
		if v.CSRC(i) != want {
			t.Fatalf("%x: CSRC %d is %x", b, i, v.CSRC(i))
		}
	}
	if !sameProfile || !v.HasExtensions() {
		return
	}
	if r.Err() != nil || len(got) != len(p.Extensions) {
		t.Fatalf("%x: %d elements, %v, pion %d", b, len(got), r.Err(), len(p.Extensions))
	}
	ids := p.GetExtensionIDs()
	for i, e := range got {
		if e.id != ids[i] {
			t.Fatalf("%x: element %d has id %d, pion %d", b, i, e.id, ids[i])
		}
		if i >= 64 {
			continue // to look each up is quadratic
		}
		if !bytes.Equal(v.Extension(e.id), p.GetExtension(e.id)) {
			t.Fatalf("%x: id %d", b, e.id)
		}
	}
}

func TestParserAgreesWithPion(t *testing.T) {
	for _, packet := range validPackets {
		b := unhex(t, packet)
		for n := range len(b) + 1 {
			comparePion(t, b[:n])
		}
	}
	// Every single bit of every valid packet, flipped.
	for _, packet := range validPackets {
		b := unhex(t, packet)
		for bit := range 8 * len(b) {
			c := bytes.Clone(b)
			c[bit/8] ^= 1 << (bit % 8)
			comparePion(t, c)
		}
	}
}

// Headers that a template writes mean the same to pion as they do to us.
func TestTemplatesAreReadByPion(t *testing.T) {
	const seed = 1
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	for range 2000 {
		perm := rnd.Perm(20)
		pick := func(i int) uint8 {
			if rnd.IntN(3) == 0 {
				return 0
			}
			return uint8(perm[i] + 1)
		}
		ids := param.Extensions{MID: pick(0), AbsSendTime: pick(1), TransportCC: pick(2), AudioLevel: pick(3), VideoOrientation: pick(4)}
		mid := "abcdefghijklmnopqrstuvwxyzABCDEF"[:rnd.IntN(MaxMID+1)]
		want := Values{
			Marker: rnd.IntN(2) == 0, Seq: uint16(rnd.Uint32()), Timestamp: rnd.Uint32(),
			AbsSendTime: rnd.Uint32() & 0xffffff, TransportSeq: uint16(rnd.Uint32()),
			AudioLevel: uint8(rnd.Uint32()), HasAudioLevel: rnd.IntN(2) == 0,
			VideoOrientation: uint8(rnd.Uint32()), HasVideoOrientation: rnd.IntN(2) == 0,
		}
		var tpl Template
		if err := tpl.Init(111, 0xCAFE, &ids, mid); err != nil {
			t.Fatal(err)
		}
		b := append(make([]byte, tpl.Len()), "payload"...)
		tpl.Put(b, &want)
		comparePion(t, b)

		var p pion.Packet
		if err := p.Unmarshal(b); err != nil {
			t.Fatalf("%+v: %x: %v", ids, b, err)
		}
		if p.PayloadType != 111 || p.SSRC != 0xCAFE || p.Marker != want.Marker || p.SequenceNumber != want.Seq ||
			p.Timestamp != want.Timestamp || string(p.Payload) != "payload" {
			t.Fatalf("%x", b)
		}
		checkElement := func(id uint8, has bool, value ...byte) {
			t.Helper()
			if id == 0 {
				return
			}
			got := p.GetExtension(id)
			if has != (got != nil) || (has && !bytes.Equal(got, value)) {
				t.Fatalf("%+v, mid %q: id %d is %x, want %x", ids, mid, id, got, value)
			}
		}
		checkElement(ids.MID, mid != "", []byte(mid)...)
		checkElement(ids.AbsSendTime, true, byte(want.AbsSendTime>>16), byte(want.AbsSendTime>>8), byte(want.AbsSendTime))
		checkElement(ids.TransportCC, true, byte(want.TransportSeq>>8), byte(want.TransportSeq))
		checkElement(ids.AudioLevel, want.HasAudioLevel, want.AudioLevel)
		checkElement(ids.VideoOrientation, want.HasVideoOrientation, want.VideoOrientation)
	}
}
