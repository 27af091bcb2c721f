//go:build browser

package browser

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"testing"

	"tsubame/bench/harness"
)

// A publisher that receives nothing gets no sender reports, whose answers would tell the round
// trip: it answers our reference times (RFC 3611), although no SDP has a word of them.
func TestSDKRoundTripToAPublisherThatReceivesNothing(t *testing.T) {
	besideChurn(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	debug := l.Addr().String()
	l.Close()
	s := newSceneWith(t, harness.Options{Args: []string{"-dev"}, Config: map[string]string{"debug_listen": debug}})
	publisher := s.client(sharedChromium(t), "publisher", 1)
	publisher.join("sendonly")
	eventually(t, arriveTimeout, "a round trip to the publisher", func() (bool, any) {
		r, err := http.Get(fmt.Sprintf("http://%s/debug/connections?connection_id=%s", debug, publisher.id))
		if err != nil {
			return false, err
		}
		defer r.Body.Close()
		var all []struct {
			Sent, Received uint64
			RTT            float64 `json:"rtt_ms"`
		}
		if err := json.NewDecoder(r.Body).Decode(&all); err != nil || len(all) != 1 {
			return false, fmt.Sprint(all, err)
		}
		c := all[0]
		if c.Sent != 0 {
			t.Fatalf("the publisher was sent something: %+v", c)
		}
		return c.Received > 0 && c.RTT > 0 && c.RTT < 1000, c
	})
}
