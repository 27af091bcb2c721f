package rtp

import "testing"

func TestFirstByteDecidesTheProtocol(t *testing.T) {
	for first := range 256 {
		want := ClassUnknown
		switch {
		case first <= 3:
			want = ClassSTUN
		case first >= 20 && first <= 63:
			want = ClassDTLS
		case first >= 64 && first <= 79:
			want = ClassChannelData
		case first >= 128 && first <= 191:
			want = ClassRTP
		}
		if got := Classify([]byte{byte(first)}); got != want {
			t.Errorf("first byte %d: %v, want %v", first, got, want)
		}
	}
	if got := Classify(nil); got != ClassUnknown {
		t.Errorf("no bytes: %v", got)
	}
}

func TestSecondByteTellsRTCPFromRTP(t *testing.T) {
	for second := range 256 {
		want := second >= 192 && second <= 223
		if got := IsRTCP([]byte{0x80, byte(second)}); got != want {
			t.Errorf("second byte %d: %v", second, got)
		}
	}
	if IsRTCP([]byte{0x80}) || IsRTCP(nil) {
		t.Error("RTCP without a packet type")
	}
}

func TestClassesHaveDistinctNames(t *testing.T) {
	seen := map[string]Class{}
	for c := ClassUnknown; c <= ClassRTP; c++ {
		if other, ok := seen[c.String()]; ok {
			t.Errorf("%d and %d are both %q", c, other, c)
		}
		seen[c.String()] = c
	}
}
