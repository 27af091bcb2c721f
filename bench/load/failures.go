package load

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"

	"github.com/coder/websocket"

	"tsubame/bench/report"
)

// maxCauses bounds the causes of failures that are told apart; further ones count as otherCause.
const maxCauses = 32

const otherCause = "other causes"

// causeOf says why a client failed in words that are the same for all who failed so: without
// addresses, and with what the server's close frame says.
func causeOf(err error, hadJoined bool) string {
	when := "while joining"
	if hadJoined {
		when = "after it had joined"
	}
	return innermost(err) + " " + when
}

func innermost(err error) string {
	var frame websocket.CloseError
	var op *net.OpError
	switch {
	case errors.As(err, &frame):
		return strings.TrimSpace(fmt.Sprintf("closed by the server with %d %s", frame.Code, frame.Reason))
	case errors.As(err, &op):
		return op.Op + ": " + op.Err.Error()
	}
	return strings.TrimPrefix(err.Error(), "load: ")
}

// causes counts failures. The zero value is empty.
type causes map[string]int

func (c causes) add(cause string) {
	if _, known := c[cause]; !known && len(c) >= maxCauses {
		cause = otherCause
	}
	c[cause]++
}

// list returns the causes, the most frequent first.
func (c causes) list() []report.Failure {
	var all []report.Failure
	for cause, n := range c {
		all = append(all, report.Failure{Cause: cause, Count: n})
	}
	slices.SortFunc(all, func(a, b report.Failure) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Cause, b.Cause))
	})
	return all
}
