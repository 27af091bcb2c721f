//go:build !race

package channel

// The race detector allocates on its own: allocations are counted without it.

import (
	"testing"

	"tsubame/signal/sora"
)

// Each who joins takes the list of all others, which is long enough as it is.
//
// Row SIG-10.
func TestAListOfAThousandIsCopiedNotEncoded(t *testing.T) {
	a, m := thousand(t)
	n := testing.AllocsPerRun(5, func() {
		e := a.event(sora.EventCreated, m)
		e.Data = a.present(m)
		e.Append(nil)
	})
	if n > 1 {
		t.Errorf("%v allocations", n)
	}
}
