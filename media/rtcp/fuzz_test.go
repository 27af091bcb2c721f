package rtcp

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"

	"tsubame/netio/mono"
)

// FuzzReader walks arbitrary datagrams through every typed view. What a view accepts,
// the builder for it must be able to write again with the same meaning.
func FuzzReader(f *testing.F) {
	for _, s := range validPackets {
		f.Add(unhex(f, s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		before := bytes.Clone(b)
		r := NewReader(b)
		packets, body := 0, 0
		for {
			p, ok := r.Next()
			if !ok {
				break
			}
			packets++
			body += HeaderSize + len(p.Body)
			_ = view(p)
			checkRebuilt(t, p)
		}
		if packets > MaxPackets || body > len(b) {
			t.Fatalf("%d packets of %d bytes out of %d", packets, body, len(b))
		}
		if r.Err() == nil && packets == 0 {
			t.Fatal("neither a packet nor an error")
		}
		if r.blocks > MaxBlocks && !errors.Is(r.Err(), ErrLimit) {
			t.Fatal("went on behind a cap")
		}
		if !bytes.Equal(b, before) {
			t.Fatal("reading wrote to the datagram")
		}
	})
}

// checkRebuilt writes what a view reads, and reads that.
func checkRebuilt(t *testing.T, p Packet) {
	again := func(b []byte) Packet {
		t.Helper()
		r := NewReader(b)
		q, ok := r.Next()
		if !ok {
			t.Fatalf("%x: %v", b, r.Err())
		}
		return q
	}
	switch p.Kind() {
	case KindSR:
		if sr, blocks, err := p.SR(); err == nil {
			got, gotBlocks, err := again(AppendSR(nil, sr, list(blocks))).SR()
			if err != nil || got != sr || !bytes.Equal(gotBlocks.b, blocks.b) {
				t.Fatalf("%+v became %+v, %v", sr, got, err)
			}
		}
	case KindRR:
		if sender, blocks, err := p.RR(); err == nil {
			got, gotBlocks, err := again(AppendRR(nil, sender, list(blocks))).RR()
			if err != nil || got != sender || !bytes.Equal(gotBlocks.b, blocks.b) {
				t.Fatalf("%d became %d, %v", sender, got, err)
			}
		}
	case KindNACK:
		checkNACK(t, p, again)
	case KindXR:
		checkXR(t, p, again)
	case KindREMB:
		if r, err := p.REMB(); err == nil {
			got, err := again(AppendREMB(nil, r.Sender, r.Bitrate, nil)).REMB()
			// What saturated has more than 18 significant bits, so it comes back smaller.
			if err != nil || got.Bitrate > r.Bitrate || r.Bitrate-got.Bitrate > r.Bitrate>>17 {
				t.Fatalf("%d became %d, %v", r.Bitrate, got.Bitrate, err)
			}
		}
	}
}

// checkXR writes a report of what was read last of each kind.
func checkXR(t *testing.T, p Packet, again func([]byte) Packet) {
	x, err := p.XR()
	if err != nil {
		return
	}
	ntp, entries := uint64(0), []DLRR(nil)
	for {
		b, ok := x.Next()
		if !ok {
			break
		}
		if at, ok := b.ReferenceTime(); ok {
			ntp = at
		}
		for i := range b.Len() {
			entries = append(entries, b.At(i))
		}
	}
	if ntp == 0 && len(entries) == 0 {
		return
	}
	y, err := again(AppendXR(nil, x.Sender, ntp, entries)).XR()
	if err != nil || y.Sender != x.Sender {
		t.Fatalf("%d became %d, %v", x.Sender, y.Sender, err)
	}
	for {
		b, ok := y.Next()
		if !ok {
			break
		}
		if at, ok := b.ReferenceTime(); ok && at != ntp {
			t.Fatalf("%x became %x", ntp, at)
		}
		for i := range b.Len() {
			if b.At(i) != entries[i] {
				t.Fatalf("entry %d: %+v became %+v", i, entries[i], b.At(i))
			}
		}
	}
}

func list(r Reports) (blocks []ReportBlock) {
	for i := range r.Len() {
		blocks = append(blocks, r.At(i))
	}
	return blocks
}

func checkNACK(t *testing.T, p Packet, again func([]byte) Packet) {
	n, err := p.NACK()
	if err != nil {
		return
	}
	want := map[uint16]bool{}
	var seqs []uint16
	for {
		seq, ok := n.Next()
		if !ok {
			break
		}
		want[seq] = true
		seqs = append(seqs, seq)
	}
	if len(seqs) > maxNACKPairs {
		return // more than one packet may come out
	}
	m, err := again(AppendNACK(nil, n.Sender, n.Media, seqs)).NACK()
	if err != nil || m.Feedback != n.Feedback {
		t.Fatal(err)
	}
	got := map[uint16]bool{}
	for {
		seq, ok := m.Next()
		if !ok {
			break
		}
		got[seq] = true
		if !want[seq] {
			t.Fatalf("%d was not asked for", seq)
		}
	}
	if len(got) != len(want) {
		t.Fatalf("%d numbers became %d", len(want), len(got))
	}
}

// FuzzTWCC reads arbitrary feedback bodies. What it accepts has as many statuses as it
// says, and the deltas add up.
func FuzzTWCC(f *testing.F) {
	for _, name := range []string{"TWCC", "TWCC padded as libwebrtc does"} {
		f.Add(unhex(f, validPackets[name])[HeaderSize:])
	}
	f.Add(unhex(f, "00000001 00000002 FFFE 000E 00000000 9F1C 01020304 05060708 0000"))
	f.Add(unhex(f, "00000001 00000002 FFFE FFFF FFFFFF00 1FFF 1FFF 1FFF 1FFF 1FFF 1FFF 1FFF 1FFF 0007"))
	f.Fuzz(func(t *testing.T, body []byte) {
		w, err := Packet{Type: TypeRTPFB, Count: FormatTWCC, Body: body}.TWCC()
		if err != nil {
			return
		}
		head := w
		n, size := 0, 0
		arrival := int64(head.ReferenceTime) * ticksPerUnit
		for {
			s, ok := w.Next()
			if !ok {
				break
			}
			if s.Seq != head.Base+uint16(n) {
				t.Fatalf("status %d is of %d", n, s.Seq)
			}
			n++
			if !s.Received {
				continue
			}
			size++
			arrival += int64(s.Delta)
			if int64(s.Arrival/TWCCDelta) != arrival {
				t.Fatalf("arrival %v, want %d ticks", s.Arrival, arrival)
			}
		}
		if n != int(head.StatusCount) || n == 0 {
			t.Fatalf("%d statuses, count %d", n, head.StatusCount)
		}
		if size > len(body)-twccSize {
			t.Fatalf("%d deltas in %d bytes", size, len(body))
		}
	})
}

// FuzzAppendTWCC builds feedback from arbitrary arrivals and reads it back, with pion too.
func FuzzAppendTWCC(f *testing.F) {
	f.Add(uint16(0xFFF0), int64(1<<40), []byte{0, 0, 1, 0, 0, 0, 0xff, 0xff, 0, 9})
	f.Add(uint16(0), int64(1), bytes.Repeat([]byte{0, 4}, 1000))
	f.Fuzz(func(t *testing.T, base uint16, start int64, steps []byte) {
		if start <= 0 || start > 1<<60 {
			return // no clock of ours shows that
		}
		steps = steps[:min(len(steps), 8192)]
		var arrivals []mono.Time
		now := mono.Time(start)
		for ; len(steps) >= 2; steps = steps[2:] {
			step := int16(binary.BigEndian.Uint16(steps))
			if step == 0 {
				arrivals = append(arrivals, mono.Never)
				continue
			}
			// From 250 us backwards or forwards up to 16 s.
			now = max(1, now+mono.Time(step)*2*tick)
			arrivals = append(arrivals, now)
		}
		checkFeedback(t, base, arrivals)
	})
}

// FuzzSDES reads arbitrary chunks.
func FuzzSDES(f *testing.F) {
	for _, name := range []string{"SDES", "SDES of two chunks"} {
		b := unhex(f, validPackets[name])
		f.Add(b[0]&0x1f, b[HeaderSize:])
	}
	f.Fuzz(func(t *testing.T, count uint8, body []byte) {
		s, err := Packet{Type: TypeSDES, Count: count & 0x1f, Body: body}.SDES()
		if err != nil {
			t.Fatal(err)
		}
		chunks, total := 0, 0
		for {
			ssrc, cname, ok := s.Next()
			if !ok {
				break
			}
			chunks++
			total += 4 + len(cname)
			r := NewReader(AppendSDES(nil, ssrc, string(cname)))
			p, _ := r.Next()
			again, err := p.SDES()
			if err != nil {
				t.Fatal(err)
			}
			if gotSSRC, got, ok := again.Next(); !ok || gotSSRC != ssrc || !bytes.Equal(got, cname) {
				t.Fatalf("%d %q became %d %q", ssrc, cname, gotSSRC, got)
			}
		}
		if total > len(body) || (s.Err() == nil) != (chunks == int(count&0x1f)) {
			t.Fatalf("%d of %d chunks, %v", chunks, count&0x1f, s.Err())
		}
	})
}
