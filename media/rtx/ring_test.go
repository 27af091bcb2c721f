package rtx

import (
	"encoding/binary"
	"math"
	"testing"
	"time"

	"tsubame/netio/mono"
	"tsubame/netio/packet"
)

// bench is an arena, one shard's magazine and a pool.
type bench struct {
	testing.TB
	arena *packet.Arena
	mag   *packet.Magazine
	pool  *Pool
}

func setup(t testing.TB, rings int, cfg Config) *bench {
	t.Helper()
	arena, err := packet.New(packet.Config{Classes: []packet.ClassConfig{{Size: 64, Count: 4096}}})
	if err != nil {
		t.Fatal(err)
	}
	return &bench{t, arena, arena.Magazine(), NewPool(arena, rings, cfg)}
}

func (b *bench) open() (ID, *Ring) {
	b.Helper()
	id, ok := b.pool.Open()
	if !ok {
		b.Fatal("no ring left")
	}
	return id, b.pool.Writer(id)
}

// packet makes a buffer that says which packet of which track it is.
func (b *bench) packet(id ID, seq uint64) packet.Ref {
	b.Helper()
	r, ok := b.mag.Get(24, packet.Video)
	if !ok {
		b.Fatal("arena is empty")
	}
	stamp(b.arena, r, id, seq)
	return r
}

func stamp(a *packet.Arena, r packet.Ref, id ID, seq uint64) {
	buf := binary.BigEndian.AppendUint64(a.Bytes(r)[:0], seq)
	buf = binary.BigEndian.AppendUint32(buf, id.Index)
	buf = binary.BigEndian.AppendUint32(buf, id.Gen)
	a.SetLen(r, len(buf))
	a.Meta(r).Seq = seq
}

// stamped reports whether r is the packet that it should be.
func stamped(a *packet.Arena, r packet.Ref, id ID, seq uint64) bool {
	b := a.Data(r)
	return len(b) == 16 && a.Meta(r).Seq == seq && binary.BigEndian.Uint64(b) == seq &&
		binary.BigEndian.Uint32(b[8:]) == id.Index && binary.BigEndian.Uint32(b[12:]) == id.Gen
}

// has reports whether Get finds seq, and fails if it finds something else.
func (b *bench) has(id ID, seq uint64) bool {
	b.Helper()
	r, ok := b.pool.Get(id, seq)
	if !ok {
		return false
	}
	if !stamped(b.arena, r, id, seq) {
		b.Fatalf("asked for %d of %v, got %x", seq, id, b.arena.Data(r))
	}
	b.mag.Release(r)
	return true
}

func (b *bench) insert(id ID, g *Ring, now mono.Time, seqs ...uint64) {
	b.Helper()
	for _, seq := range seqs {
		g.Insert(seq, b.packet(id, seq), now, b.mag)
	}
}

// expect checks which of the packets from first to last are there.
func (b *bench) expect(id ID, first, last uint64, want ...uint64) {
	b.Helper()
	held := map[uint64]bool{}
	for _, seq := range want {
		held[seq] = true
	}
	for seq := first; seq <= last; seq++ {
		if got := b.has(id, seq); got != held[seq] {
			b.Errorf("packet %d is there: %v, want %v", seq, got, held[seq])
		}
	}
}

func TestRingFindsWhatWasInserted(t *testing.T) {
	b := setup(t, 2, Config{Slots: 8})
	id, g := b.open()
	b.insert(id, g, 1, 100, 101, 103)
	b.expect(id, 80, 120, 100, 101, 103)
	if got := b.arena.Outstanding(); got != 3 {
		t.Errorf("%d buffers in use, want 3", got)
	}
}

func TestRingHoldsTheLatestPacketsByCount(t *testing.T) {
	b := setup(t, 1, Config{Slots: 4})
	id, g := b.open()
	for seq := uint64(65533); seq < 65533+10; seq++ { // across the 16-bit wrap
		b.insert(id, g, 1, seq)
	}
	b.expect(id, 65520, 65560, 65539, 65540, 65541, 65542)
	if s := g.Stats(); s.Held != 4 || s.EvictedByCount != 6 || s.Inserted != 10 {
		t.Errorf("stats %+v", s)
	}
}

func TestPacketsComeInAnyOrder(t *testing.T) {
	b := setup(t, 1, Config{Slots: 8})
	id, g := b.open()
	b.insert(id, g, 1, 105, 100, 103, 98, 97)
	b.expect(id, 90, 110, 98, 100, 103, 105)
	if s := g.Stats(); s.TooOld != 1 {
		t.Errorf("97 is a whole ring behind 105: stats %+v", s)
	}
	b.insert(id, g, 1, 103, 98)
	if s := g.Stats(); s.Duplicates != 2 || s.Held != 4 {
		t.Errorf("duplicates were taken: stats %+v", s)
	}
	b.insert(id, g, 1, 107)
	b.expect(id, 90, 110, 100, 103, 105, 107)
	if got := b.arena.Outstanding(); got != 4 {
		t.Errorf("%d buffers in use, want 4", got)
	}
}

// Row RTP-05.
func TestJumpingSequenceNumbersDoNotGrowTheRing(t *testing.T) {
	b := setup(t, 1, Config{Slots: 16})
	id, g := b.open()
	seq := uint64(1 << 16)
	for i := range uint64(1000) {
		seq += 1 + i*i*2654435761%(1<<31)
		b.insert(id, g, 1, seq, seq+3, seq-5, seq-1<<15)
		if held := b.arena.Outstanding(); held > 16 || held != g.Stats().Held {
			t.Fatalf("%d buffers in use, ring holds %d", held, g.Stats().Held)
		}
	}
	b.expect(id, seq-10, seq+10, seq-5, seq, seq+3)
}

func TestPacketsLeaveWhenTheyAreOld(t *testing.T) {
	const ms = mono.Time(time.Millisecond)
	b := setup(t, 1, Config{Slots: 16, MaxAge: 100 * time.Millisecond})
	id, g := b.open()
	if g.Deadline() != mono.Never {
		t.Error("an empty ring has a deadline")
	}
	b.insert(id, g, 1000*ms, 100, 101)
	b.insert(id, g, 1050*ms, 103)
	if got := g.Deadline(); got != 1100*ms {
		t.Errorf("deadline %d, want %d", got, 1100*ms)
	}
	g.Expire(1100*ms-1, b.mag)
	b.expect(id, 90, 110, 100, 101, 103)
	// 102 comes by retransmission and goes with 103, which came before it; were it
	// younger, it would keep 103.
	b.insert(id, g, 1090*ms, 102)
	g.Expire(1100*ms, b.mag)
	b.expect(id, 90, 110, 102, 103)
	if got := g.Deadline(); got != 1150*ms {
		t.Errorf("deadline %d, want %d", got, 1150*ms)
	}
	b.insert(id, g, 1150*ms, 104) // expires by itself
	b.expect(id, 90, 110, 104)
	if s := g.Stats(); s.EvictedByAge != 4 || s.Held != 1 {
		t.Errorf("stats %+v", s)
	}
	g.Expire(2000*ms, b.mag)
	if got := b.arena.Outstanding(); got != 0 || g.Deadline() != mono.Never {
		t.Errorf("%d buffers in use, deadline %d", got, g.Deadline())
	}
	// A packet older than all that were ever held is taken as the first one.
	b.insert(id, g, 2000*ms, 99)
	b.expect(id, 90, 110, 99)
}

func TestPacketsLeaveWhenTheyTakeTooMuchMemory(t *testing.T) {
	b := setup(t, 1, Config{Slots: 16, MaxBytes: 3*64 + 10})
	id, g := b.open()
	b.insert(id, g, 1, 100, 101, 102, 103, 104)
	b.expect(id, 90, 110, 102, 103, 104)
	b.insert(id, g, 1, 101) // the oldest at once
	b.expect(id, 90, 110, 102, 103, 104)
	if s := g.Stats(); s.Bytes != 3*64 || s.EvictedByBytes != 3 {
		t.Errorf("stats %+v", s)
	}
}

func TestWithoutLimitsOnlyTheSlotsBind(t *testing.T) {
	b := setup(t, 1, Config{Slots: 4})
	id, g := b.open()
	b.insert(id, g, 1, 1, 2, 3, 4)
	g.Expire(mono.Time(1000*time.Hour), b.mag)
	b.expect(id, 0, 10, 1, 2, 3, 4)
}

func TestEvictedPacketLivesOnForItsReader(t *testing.T) {
	b := setup(t, 1, Config{Slots: 4})
	id, g := b.open()
	b.insert(id, g, 1, 10)
	r, ok := b.pool.Get(id, 10)
	if !ok {
		t.Fatal("miss")
	}
	b.insert(id, g, 1, 20)
	b.pool.Close(id, b.mag)
	if !stamped(b.arena, r, id, 10) || b.arena.Outstanding() != 1 {
		t.Error("the packet went under its reader")
	}
	reader := b.arena.Magazine()
	reader.Release(r)
	if got := b.arena.Outstanding(); got != 0 {
		t.Errorf("%d buffers leaked", got)
	}
}

func TestClosedRingMissesAndTheNextTrackStartsAfresh(t *testing.T) {
	b := setup(t, 1, Config{Slots: 4})
	id, g := b.open()
	b.insert(id, g, 1, 10, 11)
	b.pool.Close(id, b.mag)
	if b.has(id, 10) || b.arena.Outstanding() != 0 || b.pool.Free() != 1 {
		t.Errorf("closed ring holds %d buffers", b.arena.Outstanding())
	}
	next, g := b.open()
	if next.Index != id.Index || next.Gen == id.Gen || g.Stats() != (Stats{}) {
		t.Errorf("next ring is %v with %+v, was %v", next, g.Stats(), id)
	}
	// Lower numbers than before are not too old, and the same number is another packet.
	b.insert(next, g, 1, 3, 4, 10-5)
	b.expect(next, 0, 20, 3, 4, 5)
	if b.has(id, 4) {
		t.Error("an id that is over found a packet of the next track")
	}
	if b.has(ID{}, 4) {
		t.Error("the zero id found a packet")
	}
}

func TestGenerationsSkipZero(t *testing.T) {
	b := setup(t, 1, Config{Slots: 4})
	b.pool.gens[0].Store(1<<32 - 1)
	id, _ := b.open()
	b.pool.Close(id, b.mag)
	if id, _ = b.open(); id.Gen != 1 {
		t.Errorf("generation %d after the last one, want 1", id.Gen)
	}
}

func TestPoolSaysWhenAllRingsAreTaken(t *testing.T) {
	b := setup(t, 2, Config{Slots: 4})
	first, _ := b.open()
	second, _ := b.open()
	if first.Index == second.Index {
		t.Fatal("one ring for two tracks")
	}
	if id, ok := b.pool.Open(); ok {
		t.Errorf("a third ring of two: %v", id)
	}
	b.pool.Close(first, b.mag)
	b.open()
}

func TestMisusePanics(t *testing.T) {
	b := setup(t, 1, Config{Slots: 4})
	stale, g := b.open()
	b.pool.Close(stale, b.mag)
	r := b.packet(stale, 1)
	for name, f := range map[string]func(){
		"Close twice":             func() { b.pool.Close(stale, b.mag) },
		"Writer of a closed ring": func() { b.pool.Writer(stale) },
		"Writer before Open":      func() { b.pool.Writer(ID{0, 2}) },
		"Insert after Close":      func() { g.Insert(1, r, 1, b.mag) },
		"no slots":                func() { NewPool(b.arena, 1, Config{}) },
		"odd slots":               func() { NewPool(b.arena, 1, Config{Slots: 6}) },
		"too many slots":          func() { NewPool(b.arena, 1, Config{Slots: 2 * MaxSlots}) },
		"negative age":            func() { NewPool(b.arena, 1, Config{Slots: 4, MaxAge: -1}) },
		"no rings":                func() { NewPool(b.arena, 0, Config{Slots: 4}) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s did not panic", name)
				}
			}()
			f()
		}()
	}
}

func TestInsertAndGetAllocateNothing(t *testing.T) {
	if raceEnabled {
		return
	}
	b := setup(t, 1, Config{Slots: 64, MaxAge: time.Second, MaxBytes: 1 << 20})
	id, g := b.open()
	seq, now := uint64(1<<16), mono.Time(1)
	buf := make([]byte, 0, 64)
	if n := testing.AllocsPerRun(1000, func() {
		b.insert(id, g, now, seq)
		if r, ok := b.pool.Get(id, seq); ok {
			buf = AppendPayload(buf[:0], uint16(seq), b.arena.Data(r))
			ParsePayload(buf)
			b.mag.Release(r)
		}
		b.pool.Get(id, seq-100)
		g.Expire(now, b.mag)
		seq++
		now = now.Add(20 * time.Millisecond)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if n := testing.AllocsPerRun(100, func() {
		b.pool.Close(id, b.mag)
		id, _ = b.pool.Open()
		b.insert(id, b.pool.Writer(id), now, seq)
	}); n != 0 {
		t.Errorf("%v allocations for a new track", n)
	}
}

func BenchmarkInsert(b *testing.B) {
	s := setup(b, 1, Config{Slots: 512, MaxAge: time.Second, MaxBytes: 1 << 20})
	_, g := s.open()
	seq, now := uint64(1<<16), mono.Time(1)
	b.ReportAllocs()
	for b.Loop() {
		r, _ := s.mag.Get(24, packet.Video)
		g.Insert(seq, r, now, s.mag)
		seq++
		now = now.Add(time.Millisecond)
	}
}

func BenchmarkGetHit(b *testing.B) {
	s := setup(b, 1, Config{Slots: 512})
	id, g := s.open()
	for seq := range uint64(512) {
		s.insert(id, g, 1, 1<<16+seq)
	}
	b.ReportAllocs()
	for i := uint64(0); b.Loop(); i++ {
		if r, ok := s.pool.Get(id, 1<<16+i%512); ok {
			s.mag.Release(r)
		}
	}
}

func BenchmarkGetMiss(b *testing.B) {
	s := setup(b, 1, Config{Slots: 512})
	id, g := s.open()
	s.insert(id, g, 1, 1<<16)
	b.ReportAllocs()
	for b.Loop() {
		s.pool.Get(id, 1<<17)
	}
}

func TestReleaseGivesTheTablesBack(t *testing.T) {
	arena, err := packet.New(packet.Config{Classes: []packet.ClassConfig{{Size: 64, Count: 64}}})
	if err != nil {
		t.Fatal(err)
	}
	p := NewPool(arena, 1024, Config{Slots: 512})
	if err := p.Release(); err != nil {
		t.Fatal(err)
	}
	if n := p.slabs.Mapped(); n != 0 {
		t.Errorf("%d bytes are still mapped", n)
	}
	if p.Free() != 1024 {
		t.Errorf("%d rings free, want all", p.Free())
	}
}

// A shard that was held up takes in at one instant what has come meanwhile.
func TestPacketsAfterAStallStayNoLongerThanOthers(t *testing.T) {
	b := setup(t, 1, Config{Slots: 512, MaxAge: time.Second})
	id, g := b.open()
	g.SetClockRate(90000)
	now, seq := mono.Time(time.Second), uint64(0)
	frame := func() { // one of 50 a second, of 4 packets
		for range 4 {
			r := b.packet(id, seq)
			b.arena.Meta(r).Timestamp = uint32(1<<32-45000) + uint32(seq/4)*1800
			g.Insert(seq, r, now, b.mag)
			seq++
		}
	}
	steady := 0
	for i := range 400 {
		if i%100 != 99 { // every two seconds, half a second comes at once
			now = now.Add(20 * time.Millisecond)
			frame()
			steady = max(steady, g.Stats().Held)
			continue
		}
		now = now.Add(500 * time.Millisecond)
		for range 25 {
			frame()
		}
	}
	if steady < 200 || steady > 204 {
		t.Errorf("%d packets are held at most, want a second's 200 and one frame", steady)
	}
	if s := g.Stats(); s.Inserted-s.EvictedByAge != uint64(s.Held) {
		t.Errorf("%+v", s)
	}
}

func TestTimestampsThatJumpEndNothingBeforeItsTime(t *testing.T) {
	for _, jump := range []uint32{9 * 90000, 1 << 31, 1<<32 - 45000, 1<<32 - 9*90000} {
		b := setup(t, 1, Config{Slots: 64, MaxAge: time.Second})
		id, g := b.open()
		g.SetClockRate(90000)
		for seq := range uint64(4) {
			r, at := b.packet(id, seq), time.Second
			if seq == 3 {
				b.arena.Meta(r).Timestamp = jump
				at += time.Second / 2
			}
			g.Insert(seq, r, mono.Time(at), b.mag)
		}
		if held := g.Stats().Held; held != 4 {
			t.Errorf("jump by %d: %d packets held, want 4", int32(jump), held)
		}
	}
}

func TestARingForgetsItsTracksClock(t *testing.T) {
	b := setup(t, 1, Config{Slots: 64, MaxAge: time.Second})
	id, g := b.open()
	g.SetClockRate(90000)
	b.pool.Close(id, b.mag)
	id, g = b.open()
	for seq := range uint64(2) { // two seconds apart by a clock that nobody knows
		r := b.packet(id, seq)
		b.arena.Meta(r).Timestamp = uint32(seq) * 180000
		g.Insert(seq, r, mono.Time(1+seq)*mono.Time(time.Second/2), b.mag)
	}
	if held := g.Stats().Held; held != 2 {
		t.Errorf("%d packets held, want 2", held)
	}
}

// Viewers have time to ask even where the timestamps run ahead of the clock.
func TestAPacketStaysForAQuarterOfItsTimeWhateverItsTimestamp(t *testing.T) {
	b := setup(t, 1, Config{Slots: 64, MaxAge: time.Second})
	id, g := b.open()
	g.SetClockRate(90000)
	now := mono.Time(time.Second)
	for seq := range uint64(20) {
		r := b.packet(id, seq)
		b.arena.Meta(r).Timestamp = uint32(seq) * 100000
		g.Insert(seq, r, now, b.mag)
		now = now.Add(50 * time.Millisecond)
		if want := min(int(seq)+1, 5); g.Stats().Held != want {
			t.Fatalf("%d packets held after packet %d, want %d", g.Stats().Held, seq, want)
		}
	}
}

func TestAnIDThatWasNeverGivenFindsNothing(t *testing.T) {
	b := setup(t, 2, Config{Slots: 4})
	for _, id := range []ID{{}, {0, 7}, {1, 0}} {
		if _, ok := b.pool.Get(id, 0); ok || b.pool.Oldest(id) != math.MaxUint64 {
			t.Errorf("%+v finds something", id)
		}
	}
}

// A server is configured for thousands of tracks, of which a few are there.
func TestRingsThatWereNeverOpenedTakeNoMemory(t *testing.T) {
	b := setup(t, 1000, Config{Slots: 4})
	for range 3 {
		id, _ := b.open()
		b.pool.Close(id, b.mag)
	}
	made := 0
	for _, g := range b.pool.rings {
		if g != nil {
			made++
		}
	}
	if made != 1 {
		t.Errorf("%d rings were made, want the one that was opened three times", made)
	}
}
