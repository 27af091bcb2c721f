package mmsg

import (
	"slices"
	"testing"

	"tsubame/netio/flow"
)

func streamKey(n uint16) flow.Key {
	k := testKey(n)
	k.Via = flow.OverStream(flow.TURNStream, uint32(n))
	return k
}

// handedOn is what a queue has given to streams.
type handedOn struct {
	keys    []flow.Key
	classes []Class
	texts   []string
	refuse  bool
}

func (h *handedOn) take(to flow.Key, c Class, b []byte) bool {
	if h.refuse {
		return false
	}
	h.keys, h.classes, h.texts = append(h.keys, to), append(h.classes, c), append(h.texts, string(b))
	return true
}

func TestWhatGoesToAStreamIsHandedOnAtOnce(t *testing.T) {
	q, h := NewTxQueue(4), &handedOn{}
	q.SetStreams(h.take)
	put(q, "a", testKey(1), Video)
	put(q, "b", streamKey(2), Audio)
	put(q, "c", streamKey(3), Video)
	put(q, "d", testKey(4), Audio)
	if got := texts(q); !slices.Equal(got, []string{"a", "d"}) {
		t.Errorf("queued %q", got)
	}
	if !slices.Equal(h.texts, []string{"b", "c"}) || !slices.Equal(h.classes, []Class{Audio, Video}) {
		t.Errorf("handed on %q of %v", h.texts, h.classes)
	}
	if h.keys[0] != streamKey(2) || h.keys[1] != streamKey(3) {
		t.Errorf("to %v", h.keys)
	}
}

func TestAStreamsSlotIsTheNextOneAgain(t *testing.T) {
	q, h := NewTxQueue(1), &handedOn{}
	q.SetStreams(h.take)
	for range 3 {
		if !put(q, "s", streamKey(1), Video) {
			t.Fatal("no slot, though nothing is queued")
		}
	}
	if q.Len() != 0 || len(h.texts) != 3 {
		t.Errorf("%d queued, %d handed on", q.Len(), len(h.texts))
	}
	put(q, "u", testKey(1), Video)
	if got := texts(q); !slices.Equal(got, []string{"u"}) {
		t.Errorf("queued %q", got)
	}
}

func TestCommitSaysWhetherAStreamTookIt(t *testing.T) {
	q, h := NewTxQueue(2), &handedOn{}
	commit := func(k flow.Key) bool { return q.Commit(copy(q.Slot(), "x"), k, Video) }
	if commit(streamKey(1)) {
		t.Error("taken though there are no streams")
	}
	q.SetStreams(h.take)
	if !commit(streamKey(1)) || !commit(testKey(1)) {
		t.Error("refused")
	}
	h.refuse = true
	if commit(streamKey(1)) || q.Len() != 1 {
		t.Error("what the stream refused was taken or queued")
	}
}

// A flow that is relayed over UDP is a UDP flow like any other: it is queued, and neighbours
// leave as runs.
func TestRelayedOverUDPIsQueued(t *testing.T) {
	q, h := NewTxQueue(4), &handedOn{}
	q.SetStreams(h.take)
	k := testKey(1)
	k.Via = k.Via.Relayed(1, 2)
	for range 3 {
		put(q, "same", k, Video)
	}
	if q.Len() != 3 || len(h.texts) != 0 {
		t.Fatalf("%d queued, %d handed on", q.Len(), len(h.texts))
	}
	if runs := buildRuns(make([]run, 0, 4), q.entries, q.order, maxSegments, new(flowSet)); len(runs) != 1 || runs[0].n != 3 {
		t.Errorf("runs %v", runs)
	}
}
