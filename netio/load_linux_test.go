package netio

import (
	"testing"
	"time"
)

func TestSchedstatIsRead(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"1059241841 212906 63\n": 1059454747, "0 0 0": 0, "5 6": 11,
		"": -1, "5": -1, "5 x 1": -1, "-": -1,
	} {
		got, ok := parseSchedstat([]byte(text))
		if ok != (want >= 0) || ok && got != want {
			t.Errorf("%q: %v, %v", text, got, ok)
		}
	}
	if _, ok := wanted(-1); ok {
		t.Error("a thread that is not there has a load")
	}
}
