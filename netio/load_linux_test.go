package netio

import (
	"testing"
	"time"
)

func TestSchedstatIsRead(t *testing.T) {
	for text, want := range map[string][2]time.Duration{
		"1059241841 212906 63\n": {1059241841, 212906}, "0 0 0": {0, 0}, "5 6": {5, 6},
		"": {-1}, "5": {-1}, "5 x 1": {-1}, "-": {-1},
	} {
		ran, waited, ok := parseSchedstat([]byte(text))
		if ok != (want[0] >= 0) || ok && (ran != want[0] || waited != want[1]) {
			t.Errorf("%q: %v, %v, %v", text, ran, waited, ok)
		}
	}
	if _, _, ok := processorTime(-1); ok {
		t.Error("a thread that is not there has a load")
	}
}
