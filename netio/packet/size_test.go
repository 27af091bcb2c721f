package packet

import "testing"

// Each holder takes what it was promised, all at once, and video still finds every one of
// its buffers.
func TestDefaultSizeCoversAllHoldersAtOnce(t *testing.T) {
	h := Holders{
		Shards: 3, ReceiveBatch: 8, RingEntries: 16, RunLength: 4, FrameWindow: 10, Paced: 12,
		VideoTracks: 4, VideoSlots: 32, CacheSlots: 16, AudioTracks: 5, AudioSlots: 8, TapEntries: 20, Magazine: 8,
	}
	a, err := New(h.Config())
	if err != nil {
		t.Fatal(err)
	}
	m := a.Magazine()
	// The other shards' magazines are full of large and of small buffers.
	for range h.Shards - 1 {
		idle := a.Magazine()
		for _, size := range []int{SmallSize, UsualSize, FullSize, LargeSize} {
			var held []Ref
			for range h.Magazine {
				held = append(held, mustGet(t, idle, size, Control))
			}
			for _, r := range held {
				idle.Release(r)
			}
		}
	}
	inFlight := h.Shards*(h.ReceiveBatch+h.RingEntries*h.RunLength+h.FrameWindow+h.Paced) + h.TapEntries
	for i := range h.VideoTracks*(h.VideoSlots+h.CacheSlots) + inFlight {
		if _, ok := m.Get(LargeSize, Video); !ok {
			t.Fatalf("video refused at buffer %d", i)
		}
	}
	for i := range h.VideoTracks*(h.VideoSlots+h.CacheSlots) + inFlight {
		if _, ok := m.Get(FullSize, Video); !ok {
			t.Fatalf("video of browsers refused at buffer %d", i)
		}
	}
	for i := range h.VideoTracks*(h.VideoSlots+h.CacheSlots) + inFlight {
		if _, ok := m.Get(UsualSize, Video); !ok {
			t.Fatalf("video of the usual size refused at buffer %d", i)
		}
	}
	for i := range h.AudioTracks*h.AudioSlots + inFlight {
		if _, ok := m.Get(SmallSize, Audio); !ok {
			t.Fatalf("audio refused at buffer %d", i)
		}
	}
	if s := a.Stats(); s.Spilled != 0 {
		t.Errorf("%d buffers spilled", s.Spilled)
	}
}

func TestDefaultArenaIsMadeForAnyNumberOfShards(t *testing.T) {
	for _, shards := range []int{1, 2, 16} {
		a, err := New(DefaultHolders(shards).Config())
		if err != nil {
			t.Fatalf("%d shards: %v", shards, err)
		}
		bytes := 0
		for _, c := range a.Stats().Classes {
			bytes += c.Size * c.Count
		}
		if limit := 768<<20 + shards<<25; bytes > limit {
			t.Errorf("%d shards: %d bytes, more than %d", shards, bytes, limit)
		}
	}
}
