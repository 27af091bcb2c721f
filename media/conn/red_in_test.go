package conn

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"tsubame/media/codec"
	"tsubame/media/rtp"
	"tsubame/netio/packet"
)

func TestWhatIsLostComesOutOfTheRedundancyAheadOfThePacketThatHasIt(t *testing.T) {
	c := newRedCall(t, sound)
	all := speech(6)
	n := newNumbers(t, all)
	var order []string
	for _, i := range []int{0, 1, 4, 5} { // 2 and 3 are lost
		c.arrive(redType, all[i], red(all, i, 2))
		got := c.fanOut()[2]
		n.take(got)
		for _, h := range got {
			order = append(order, h.payload)
			if h.payloadType != opusType {
				t.Errorf("payload type %d", h.payloadType)
			}
		}
	}
	n.once(all)
	if !slices.IsSorted(order) {
		t.Errorf("in the order %q", order)
	}
	k := c.env.Count
	if k.REDIn.Load() != 4 || k.REDRecovered.Load() != 2 || k.DropRED.Load()+k.DropREDType.Load()+k.DropDup.Load() != 0 {
		t.Errorf("%d RED, %d recovered, %d of other types", k.REDIn.Load(), k.REDRecovered.Load(), k.DropREDType.Load())
	}
	if st := c.pub.conn.pubs[0].stream.Stats(); st.Received != 4 || st.Recovered != 2 {
		t.Errorf("%+v", st)
	}
}

// Whatever is lost, as long as no more in a row than the redundancy has, and whatever comes
// twice or late: each payload is sent on exactly once, under its own numbers.
func TestAnyLossUpToTheRedundancyIsRepaired(t *testing.T) {
	for seed := range uint64(100) {
		r := rand.New(rand.NewPCG(seed, 7))
		levels := 1 + r.IntN(4)
		all := speech(200)
		ts := r.Uint32()
		for i := range all { // pauses and steps of other lengths
			all[i].timestamp = ts
			switch r.IntN(12) {
			case 0:
				ts += tick * uint32(2+r.IntN(8))
			case 1:
				ts += tick / 2
			default:
				ts += tick
			}
		}
		c := newRedCall(t, sound)
		n := newNumbers(t, all)
		lost, plain := 0, r.IntN(2) == 0
		var late []int
		send := func(i int) {
			typ, payload := uint8(redType), red(all, i, levels)
			if plain && len(payload) == 1+len(all[i].payload) {
				typ, payload = opusType, []byte(all[i].payload)
			}
			c.arrive(typ, all[i], payload)
			n.take(c.fanOut()[2])
		}
		for i := range all {
			reaches := i+1 == len(all) || all[i+1].timestamp-all[i].timestamp <= codec.MaxREDOffset
			if i > 0 && i < len(all)-levels-1 && lost < levels && reaches && near(all[i+1-lost-1:i+1+levels-lost]) && r.IntN(3) == 0 {
				if lost++; r.IntN(8) == 0 {
					late = append(late, i)
				}
				continue
			}
			lost = 0
			send(i)
			if r.IntN(10) == 0 && i > 0 {
				c.pub.conn.HandleRTP(&c.env, c.now, c.last) // twice
				n.take(c.fanOut()[2])
			}
			for len(late) > 0 && r.IntN(3) == 0 {
				send(late[0])
				late = late[1:]
			}
		}
		n.once(all)
		if got := c.env.Arena.Outstanding(); got != 0 {
			t.Errorf("%d buffers are out", got)
		}
		if t.Failed() {
			t.Fatalf("seed %d, %d levels", seed, levels)
		}
	}
}

// near reports whether all of them are within reach of the last.
func near(s []spoken) bool { return s[len(s)-1].timestamp-s[0].timestamp <= codec.MaxREDOffset }

func TestAPacketThatWasRecoveredAndComesLateIsADuplicate(t *testing.T) {
	c := newRedCall(t, sound)
	all := speech(4)
	n := newNumbers(t, all)
	for _, i := range []int{0, 2, 1, 3} {
		c.arrive(redType, all[i], red(all, i, 1))
		n.take(c.fanOut()[2])
	}
	n.once(all)
	if d := c.env.Count.DropDup.Load(); d != 1 {
		t.Errorf("%d duplicates", d)
	}
}

// It comes behind others that had redundancy for less, and has more itself.
func TestALatePacketsOwnRedundancyFillsWhatIsOlder(t *testing.T) {
	c := newRedCall(t, sound)
	all := speech(6)
	n := newNumbers(t, all)
	for _, i := range []int{0, 4, 2, 5} { // 4 has 3, and 2, which is late, has 1
		c.arrive(redType, all[i], red(all, i, 1))
		n.take(c.fanOut()[2])
	}
	n.once(all)
}

// libwebrtc sends what it has no redundancy for as it is.
func TestPlainOpusAndRedundantAudioMixInOneStream(t *testing.T) {
	c := newRedCall(t, sound)
	all := speech(9)
	n := newNumbers(t, all)
	for _, i := range []int{0, 1, 3, 4, 6, 8} {
		if i == 0 || i == 4 {
			c.arrive(opusType, all[i], []byte(all[i].payload))
		} else {
			c.arrive(redType, all[i], red(all, i, 1))
		}
		n.take(c.fanOut()[2])
	}
	n.once(all)
	if drops := c.env.Count.DropPayloadType.Load(); drops != 0 {
		t.Errorf("%d dropped by their payload type", drops)
	}
}

// A packet too large for redundancy is sent plain, and is no one's redundancy: the next one's
// block is of the packet before it.
func TestABlockIsPlacedByItsTimestampWhereAPacketWasSkipped(t *testing.T) {
	for _, lost := range []int{-1, 2, 3} {
		c := newRedCall(t, sound)
		all := speech(6)
		n := newNumbers(t, all)
		for i, s := range all {
			if i == lost {
				continue
			}
			switch i {
			case 3:
				c.arrive(opusType, s, []byte(s.payload))
			case 4:
				c.arrive(redType, s, red([]spoken{all[2], all[4]}, 1, 1))
			default:
				c.arrive(redType, s, red(all, i, 1))
			}
			n.take(c.fanOut()[2])
		}
		n.once(slices.DeleteFunc(slices.Clone(all), func(s spoken) bool { return lost == 3 && s == all[3] }))
		if t.Failed() {
			t.Fatalf("%d lost", lost)
		}
	}
}

func TestRecoveredPacketsAreNotAskedFor(t *testing.T) {
	spec := sound
	spec.Feedback.NACK = true
	c := newRedCall(t, spec)
	all := speech(10)
	for _, i := range []int{0, 1, 3, 4, 7, 8, 9} { // of 5 and 6 only 6 comes again
		c.arrive(redType, all[i], red(all, i, 1))
		c.route(nil)
	}
	p := c.pub.conn.pubs[0]
	c.now = c.now.Add(time.Second / 10)
	if seqs := p.stream.AppendNACK(c.now, 0, nil); !slices.Equal(seqs, []uint16{all[5].seq}) {
		t.Errorf("asked for %d, want %d only", seqs, all[5].seq)
	}
	// What was recovered is kept for viewers who lose it themselves.
	if ref, ok := c.env.RTX.Get(p.shared.Info().RTX, p.newest-3); !ok || string(c.env.Arena.Payload(ref)) != all[6].payload {
		t.Error("the recovered packet is not in the ring")
	} else {
		c.env.Mag.Release(ref)
	}
}

func TestARecoveredPacketHasTheLevelOfThePacketThatBroughtIt(t *testing.T) {
	spec := sound
	spec.Extensions.AudioLevel = 1
	c := newRedCall(t, spec)
	all := speech(3)
	for _, i := range []int{0, 2} {
		var slot [200]byte
		h := rtp.HeaderFields{PayloadType: redType, Seq: all[i].seq, Timestamp: all[i].timestamp, SSRC: soundSSRC, Marker: true}
		head := rtp.PutHeader(slot[:], h)
		var w rtp.ExtWriter
		w.Begin(slot[:], head, false)
		w.PutByte(1, 0x80|uint8(40+i))
		head = w.End()
		st := c.pub.streams[soundSSRC]
		if st == nil {
			st = c.pub.session.AddStream(soundSSRC)
			c.pub.streams[soundSSRC] = st
		}
		size, err := c.pub.session.SealRTP(slot[:], head, red(all, i, 1), st, uint64(all[i].seq))
		if err != nil {
			t.Fatal(err)
		}
		c.pub.conn.HandleRTP(&c.env, c.now, slot[:size])
	}
	var metas []packet.Meta
	for _, p := range c.env.Routed {
		metas = append(metas, *c.env.Arena.Meta(p.Ref))
	}
	if len(metas) != 3 {
		t.Fatalf("%d packets", len(metas))
	}
	m := metas[1]
	if m.Flags != packet.FlagAudioLevel|packet.FlagRecovered|packet.FlagFrameStart || m.AudioLevel != 0x80|42 || m.Seq != metas[0].Seq+1 ||
		m.Timestamp != all[1].timestamp || m.Arrival != metas[2].Arrival {
		t.Errorf("%+v", m)
	}
	if metas[2].Flags&packet.FlagRecovered != 0 || metas[2].AudioLevel != 0x80|42 {
		t.Errorf("%+v", metas[2])
	}
	c.route(nil)
}

// Row RTP-16.
func TestRedundantAudioOfNoUseIsDroppedAndCounted(t *testing.T) {
	all := speech(3)
	primary := func(typ uint8, payload string) []byte { return append([]byte{typ}, payload...) }
	for _, x := range []struct {
		name               string
		payload            []byte
		bad, types, passed int // what is counted, and how many packets go on
	}{
		{"good", red(all, 2, 1), 0, 0, 2},
		{"a block past the end", append(blockHeader(opusType, tick, 1000), primary(opusType, "x")...), 1, 0, 0},
		{"headers only", blockHeader(opusType, tick, 0), 1, 0, 0},
		{"ten blocks", append(slices.Concat(blockHeader(opusType, 1, 0), blockHeader(opusType, 1, 0), blockHeader(opusType, 1, 0),
			blockHeader(opusType, 1, 0), blockHeader(opusType, 1, 0), blockHeader(opusType, 1, 0), blockHeader(opusType, 1, 0),
			blockHeader(opusType, 1, 0), blockHeader(opusType, 1, 0), blockHeader(opusType, 1, 0)), primary(opusType, "x")...), 1, 0, 0},
		{"RED in RED", primary(redType, string(red(all, 2, 1))), 0, 1, 0},
		{"a primary of FEC", primary(127, "everything"), 0, 1, 0},
		{"a block of FEC", append(blockHeader(127, tick, 1), primary(opusType, "fx")...), 0, 1, 1},
		{"a block of RED", append(blockHeader(redType, tick, 1), primary(opusType, "rx")...), 0, 1, 1},
		{"an empty block", append(blockHeader(opusType, tick, 0), primary(opusType, "x")...), 0, 0, 1},
		{"a block of its own time", append(blockHeader(opusType, 0, 1), primary(opusType, "sx")...), 0, 0, 1},
		{"a block from before the packet that has come", append(blockHeader(opusType, 3*tick, 1), primary(opusType, "bx")...), 0, 0, 1},
		{"a copy of the packet that has come", append(blockHeader(opusType, 2*tick, 1), primary(opusType, "cx")...), 0, 0, 1},
		{"an empty primary", append(blockHeader(opusType, tick, 1), primary(opusType, "e")...), 0, 0, 2},
	} {
		c := newRedCall(t, sound)
		c.arrive(redType, all[0], red(all, 0, 1))
		c.route(nil)
		c.arrive(redType, all[2], x.payload) // 1 is lost
		passed := len(c.env.Routed)
		c.route(nil)
		k := c.env.Count
		if int(k.DropRED.Load()) != x.bad || int(k.DropREDType.Load()) != x.types || passed != x.passed || k.REDIn.Load() != 2 {
			t.Errorf("%s: %d malformed, %d of other types, %d passed on", x.name, k.DropRED.Load(), k.DropREDType.Load(), passed)
		}
		if n := c.env.Arena.Outstanding(); n != 0 {
			t.Errorf("%s: %d buffers are out", x.name, n)
		}
	}
}

// Row RTP-16.
func TestRedundancyNeverMakesMoreOfAPeersPacketsThanItMaySend(t *testing.T) {
	c := newRedCall(t, sound)
	c.pub.conn.policer.Init(0, 100) // packets a second
	routed, arrived := 0, 0
	all := speech(60000)
	begin := c.now
	for i := 0; i < 5000; i += codec.MaxREDBlocks + 1 { // all others are only in the redundancy
		c.arrive(redType, all[i], red(all, i, codec.MaxREDBlocks))
		arrived++
		routed += len(c.env.Routed)
		c.route(nil)
	}
	most := 100*c.now.Sub(begin).Seconds() + 50
	if float64(routed) > most || routed < 900 || c.env.Count.DropPolicer.Load() == 0 {
		t.Errorf("%d packets made %d, more than %.0f", arrived, routed, most)
	}
}

func TestProbesUnderThePayloadTypeOfRedundantAudioAreProbes(t *testing.T) {
	c := newRedCall(t, sound)
	all := speech(3)
	n := newNumbers(t, all)
	c.arrive(redType, all[0], red(all, 0, 1))
	n.take(c.fanOut()[2])
	c.pub.padNext = true
	c.arrive(redType, all[1], []byte{0, 0, 0, 4})
	if got := c.fanOut()[2]; len(got) != 0 {
		t.Errorf("sent on: %+v", got)
	}
	if k := c.env.Count; k.PaddingOnly.Load() != 1 || k.DropRED.Load() != 0 {
		t.Errorf("%d probes, %d malformed", k.PaddingOnly.Load(), k.DropRED.Load())
	}
}

func TestProbesAreSteppedOver(t *testing.T) {
	var p probes
	if got := p.before(70000); got != 69999 {
		t.Errorf("before anything was marked: %d", got)
	}
	for _, seq := range []uint64{70001, 70003, 70002, 70010, 70073, 70009} { // 70009 is 64 ago
		p.mark(seq)
	}
	for seq, want := range map[uint64]uint64{
		70001: 70000, 70011: 70009, 70010: 70009, 70074: 70072, 70073: 70072, 70075: 70074, 70004: 70003, 1: 0,
	} {
		if got := p.before(seq); got != want {
			t.Errorf("before %d is %d, want %d", seq, got, want)
		}
	}
	p.mark(80000)
	if got := p.before(80001); got != 79999 {
		t.Errorf("after a gap: %d", got)
	}
}

// libwebrtc probes with padding under the numbers of its sound, between packets of that, and with
// their timestamps, when it sends nothing else.
func TestProbesBetweenPacketsAreInNobodysRedundancy(t *testing.T) {
	for seed := range uint64(30) {
		r := rand.New(rand.NewPCG(seed, 9))
		c := newRedCall(t, sound)
		all := speech(100)
		plain, with := newNumbers(t, all), newNumbers(t, all)
		seq, probed := all[0].seq, 0
		lost := false
		for i := range all {
			all[i].seq = seq
			seq++
			payload := red(all, i, 1)
			if lost = i > 0 && i < 97 && !lost && r.IntN(3) == 0; !lost {
				c.arrive(redType, all[i], payload)
			}
			got := c.fanOut()
			plain.takeAny(got[2])
			with.takeAny(got[0])
			for range r.IntN(30) * r.IntN(2) { // whether or not it comes, if the packet before has
				pad := spoken{seq, all[i].timestamp, ""}
				seq++
				if lost || i > 0 && r.IntN(4) == 0 {
					continue
				}
				c.pub.padNext = true
				c.arrive(redType, pad, []byte{0, 0, 0, 4})
				probed++
				for v, h := range c.fanOut() {
					for _, x := range h {
						if x.payload != "" {
							t.Fatalf("viewer %d got %+v for a probe", v, x)
						}
					}
				}
			}
		}
		plain.once(all)
		with.once(all)
		if len(with.repeats) < 95 {
			t.Errorf("%d payloads came again", len(with.repeats))
		}
		if probed == 0 || t.Failed() {
			t.Fatalf("seed %d, %d probes", seed, probed)
		}
	}
}

// The end of a stream that was not negotiated is not begun by it.
func TestRedundantAudioThatWasNotNegotiatedIsDropped(t *testing.T) {
	spec := sound
	spec.REDType = 0
	c := newRedCall(t, spec)
	all := speech(2)
	c.arrive(redType, all[0], red(all, 0, 1))
	c.arrive(0, all[1], red(all, 1, 1))
	if n := c.env.Count.DropPayloadType.Load(); n != 2 || len(c.env.Routed) != 0 {
		t.Errorf("%d dropped, %d routed", n, len(c.env.Routed))
	}
}

// A restarted encoder has another SSRC and other numbers: what was known of the old source's
// timestamps says nothing of the new one's.
func TestANewSourceBringsRedundancyOfItsOwn(t *testing.T) {
	spec := sound
	spec.SSRC, spec.Extensions.MID = 0, 4
	c := newRedCall(t, spec)
	say := func(ssrc uint32, s spoken, payload []byte) (out []string) {
		c.now = c.now.Add(20 * time.Millisecond)
		var slot [300]byte
		head := rtp.PutHeader(slot[:], rtp.HeaderFields{PayloadType: redType, Seq: s.seq, Timestamp: s.timestamp, SSRC: ssrc})
		var w rtp.ExtWriter
		w.Begin(slot[:], head, false)
		w.PutString(4, spec.MID)
		head = w.End()
		st := c.pub.streams[ssrc]
		if st == nil {
			st = c.pub.session.AddStream(ssrc)
			c.pub.streams[ssrc] = st
		}
		size, err := c.pub.session.SealRTP(slot[:], head, payload, st, uint64(s.seq))
		if err != nil {
			t.Fatal(err)
		}
		c.pub.conn.HandleRTP(&c.env, c.now, slot[:size])
		for _, h := range c.fanOut()[2] {
			out = append(out, h.payload)
		}
		return out
	}
	old := speech(30)
	for i := range old {
		say(1, old[i], red(old, i, 1))
	}
	c.now = c.now.Add(2 * sourceHold)
	fresh := speech(6) // the same numbers and times, of other packets
	for i := range fresh {
		fresh[i].payload += " again"
	}
	var got []string
	for _, i := range []int{1, 2, 4} { // the first brings 0, from before its beginning
		got = append(got, say(2, fresh[i], red(fresh, i, 1))...)
	}
	if want := []string{fresh[1].payload, fresh[2].payload, fresh[3].payload, fresh[4].payload}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// Row RTP-16.
func TestLiesAboutTimeFillNoHole(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	var s redSource
	for range 20000 {
		s.note(1, 1<<16+uint64(r.IntN(64)), r.Uint32()>>uint(r.IntN(30)), false)
		ext, ts, offset := 1<<16+uint64(r.IntN(64)), r.Uint32()>>uint(r.IntN(30)), uint32(r.IntN(codec.MaxREDOffset+1))
		hole, ok := s.place(1, ext, ts, ext-uint64(1+r.IntN(codec.MaxREDBlocks)), offset)
		if !ok {
			continue
		}
		at := ts - offset
		for _, e := range s.known {
			if e.ext == 0 {
				continue
			}
			if before := int32(e.timestamp-at) < 0; e.timestamp == at || before != (e.ext < hole) {
				t.Fatalf("%d at %d beside %+v", hole, at, e)
			}
		}
		if hole >= ext {
			t.Fatalf("%d is not before %d", hole, ext)
		}
	}
}

func TestReceivingRedundantAudioAllocatesNothing(t *testing.T) {
	const runs = 300
	c := newRedCall(t, sound)
	all := speech(2*runs + 6)
	var datagrams [][]byte
	for i := 0; i < len(all); i += 2 { // every other one is lost
		h := rtp.HeaderFields{PayloadType: redType, Seq: all[i].seq, Timestamp: all[i].timestamp, SSRC: soundSSRC}
		datagrams = append(datagrams, c.pub.packet(h, red(all, i, 2)))
	}
	send := func(i int) {
		c.now = c.now.Add(40 * time.Millisecond)
		c.pub.conn.HandleRTP(&c.env, c.now, datagrams[i])
		c.route(func(run []Packet) {
			c.env.AddRedundancy(c.env.Fanout.Find(c.id).Redundancy, run)
			for _, v := range c.viewers {
				v.conn.Send(&c.env, c.now, 0, run)
			}
		})
		c.env.Out.Reset()
	}
	send(0)
	send(1)
	steady(t, "redundant audio, with losses", runs, func(i int) { send(2 + i) })
	if k := c.env.Count; k.REDRecovered.Load() < runs || k.REDOut.Load() < 4*runs {
		t.Errorf("%d recovered, %d sent with redundancy", k.REDRecovered.Load(), k.REDOut.Load())
	}
}

func TestRecoveredPacketsArriveWhenTheirCopyDoes(t *testing.T) {
	c := newRedCall(t, sound)
	all := speech(3)
	c.arrive(redType, all[0], red(all, 0, 1))
	c.route(nil)
	c.now = c.now.Add(time.Second)
	c.arrive(redType, all[2], red(all, 2, 1))
	if len(c.env.Routed) != 2 {
		t.Errorf("%d packets", len(c.env.Routed))
	}
	for _, p := range c.env.Routed {
		if got := c.env.Arena.Meta(p.Ref).Arrival; got != c.now || p.Video || p.Track != c.id {
			t.Errorf("%+v arrived at %v", p, got)
		}
	}
	c.route(nil)
}
