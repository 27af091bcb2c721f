package load

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"testing"

	"github.com/coder/websocket"

	"tsubame/bench/report"
)

func TestCausesOfFailuresAreWithoutAddresses(t *testing.T) {
	dial := &net.OpError{Op: "dial", Net: "tcp", Addr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 9), Port: 40000}, Err: errors.New("connection refused")}
	for _, c := range []struct {
		err       error
		hadJoined bool
		want      string
	}{
		{fmt.Errorf("load: signaling: %w", websocket.CloseError{Code: 4490, Reason: "SERVER-BUSY"}), false, "closed by the server with 4490 SERVER-BUSY while joining"},
		{websocket.CloseError{Code: 1000}, true, "closed by the server with 1000 after it had joined"},
		{fmt.Errorf("load: signaling: %w", dial), false, "dial: connection refused while joining"},
		{errNoPath, false, "no check was answered while joining"},
	} {
		if got := causeOf(c.err, c.hadJoined); got != c.want {
			t.Errorf("%v: %q, want %q", c.err, got, c.want)
		}
	}
}

func TestCausesAreCountedTheMostFrequentFirst(t *testing.T) {
	c := causes{}
	for range 2 {
		c.add("b")
	}
	c.add("c")
	c.add("a")
	want := []report.Failure{{Cause: "b", Count: 2}, {Cause: "a", Count: 1}, {Cause: "c", Count: 1}}
	if got := c.list(); !slices.Equal(got, want) {
		t.Errorf("%v", got)
	}
}

func TestCausesAreBounded(t *testing.T) {
	c := causes{}
	for i := range 10 * maxCauses {
		c.add(fmt.Sprint(i))
	}
	if len(c) != maxCauses+1 || c[otherCause] != 9*maxCauses {
		t.Errorf("%d causes, %d others", len(c), c[otherCause])
	}
}
