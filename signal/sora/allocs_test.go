//go:build !race

package sora

// The race detector allocates on its own, and makes pools forget: allocations are counted
// without it.

import (
	"runtime"
	"strings"
	"testing"
)

// The budget of the messages that come most often.
func TestDecodeAllocatesLittle(t *testing.T) {
	sdp := string(AppendString(nil, browserSDP(100)))
	for frame, most := range map[string]float64{
		`{"type":"pong"}`:                     0,
		`{"type":"answer","sdp":` + sdp + `}`: 1,
		statistics(200 << 10):                 1,
		smallConnect:                          6,
		`{"type":"connect","sdp":` + sdp + `,` + sdkMembers: 9,
	} {
		b := []byte(frame)
		if n := testing.AllocsPerRun(100, func() { Decode(b) }); n > most {
			t.Errorf("%.40s: %v allocations, %v are enough", frame, n, most)
		}
	}
}

func TestEncodersAllocateNothingWhereThereIsRoom(t *testing.T) {
	room := make([]byte, 0, 16384)
	for _, encode := range encoders("s") {
		if n := testing.AllocsPerRun(10, func() { encode(room) }); n != 0 {
			t.Errorf("%.30s: %v allocations", encode(nil), n)
		}
	}
}

// Row SIG-10.
func TestAListOfAThousandMembersIsEncodedInOnePiece(t *testing.T) {
	e := thousandMembers()
	if n := testing.AllocsPerRun(5, func() { e.Append(nil) }); n > 1 {
		t.Errorf("%v allocations", n)
	}
}

// Row SIG-04.
func TestTheWorstMessageCostsLittleMemory(t *testing.T) {
	pad := strings.Repeat(" ", keepDecoderBelow) // no decoder is kept after such a message
	for name, members := range map[string]string{
		"names":   `"unknown":{"x":1` + manyMembers(maxTree-10) + `}`,
		"numbers": `"unknown":[` + strings.Repeat("123456.78e-5,", maxTree-10) + `0]`,
		"objects": `"unknown":[` + strings.Repeat(`{"a":0},`, maxTree/2-10) + `{}]`,
		"text":    `"unknown":"` + strings.Repeat(`\u0041`, MaxFrame/6-20000) + `"`,
	} {
		frame := []byte(connectWith(members) + pad)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		if _, err := Decode(frame); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		runtime.ReadMemStats(&after)
		if n := (after.TotalAlloc - before.TotalAlloc) >> 10; n > 8<<10 {
			t.Errorf("%s: %d KiB for %d bytes", name, n, len(frame))
		}
	}
}
