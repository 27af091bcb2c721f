package rtp

import (
	"testing"

	"pgregory.net/rapid"
)

func TestFirstNumberLeavesRoomBelow(t *testing.T) {
	var u Unwrapper
	if _, ok := u.Highest(); ok {
		t.Error("a highest number before the first")
	}
	if got := u.Unwrap(0); got != 1<<16 {
		t.Errorf("first: %d", got)
	}
	if got := u.Unwrap(0xffff); got != 1<<16-1 {
		t.Errorf("one before the first: %d", got)
	}
	if got := u.Unwrap(0x8001); got != 1<<15+1 {
		t.Errorf("oldest before the first: %d", got)
	}
	if got, ok := u.Highest(); !ok || got != 1<<16 {
		t.Errorf("highest: %d", got)
	}
}

func TestPeekRemembersNothing(t *testing.T) {
	var u Unwrapper
	if got := u.Peek(7); got != 1<<16+7 {
		t.Errorf("before the first: %d", got)
	}
	u.Unwrap(100)
	if got := u.Peek(30000); got != 1<<16+30000 {
		t.Errorf("peek: %d", got)
	}
	if got, _ := u.Highest(); got != 1<<16+100 {
		t.Errorf("highest after peek: %d", got)
	}
}

// Row RTP-03.
func TestUnwrapperFollowsTheStream(t *testing.T) {
	const reach = 1<<15 - 1
	rapid.Check(t, func(t *rapid.T) {
		highest := 1<<16 + uint64(rapid.Uint16().Draw(t, "first"))
		var u Unwrapper
		if got := u.Unwrap(uint16(highest)); got != highest {
			t.Fatalf("first: %d, want %d", got, highest)
		}
		for range rapid.IntRange(1, 200).Draw(t, "packets") {
			if rapid.Bool().Draw(t, "late") {
				late := highest - uint64(rapid.IntRange(0, reach).Draw(t, "by"))
				if got := u.Unwrap(uint16(late)); got != late {
					t.Fatalf("late: %d, want %d with %d the highest", got, late, highest)
				}
				continue
			}
			highest += 1 + uint64(rapid.IntRange(0, reach).Draw(t, "lost"))
			if got := u.Peek(uint16(highest)); got != highest {
				t.Fatalf("peek: %d, want %d", got, highest)
			}
			if got := u.Unwrap(uint16(highest)); got != highest {
				t.Fatalf("new: %d, want %d", got, highest)
			}
		}
		if got, ok := u.Highest(); !ok || got != highest {
			t.Fatalf("highest: %d, want %d", got, highest)
		}
	})
}

// Every start around the wrap, with every loss that one packet can tell about.
func TestLossAroundTheWrapIsFollowed(t *testing.T) {
	for _, first := range []uint16{0, 1, 0x7fff, 0x8000, 0x8001, 0xfffe, 0xffff} {
		for lost := range 1 << 15 {
			var u Unwrapper
			start := u.Unwrap(first)
			next := first + uint16(lost) + 1
			if got := u.Unwrap(next); got != start+uint64(lost)+1 {
				t.Fatalf("%d lost after %d: %d, want %d", lost, first, got, start+uint64(lost)+1)
			}
		}
	}
}
