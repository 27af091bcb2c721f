package dtls

import (
	"testing"
	"time"
)

// A client that has our Finished may be gone, and the connection closed, before the library has
// noted that the handshake is complete. Its reader then ends without telling whoever reads.
func TestClosedWhileTheLastFlightIsSent(t *testing.T) {
	s, err := NewServer(Config{})
	if err != nil {
		t.Fatal(err)
	}
	for range 20 {
		x := newSession(t, s)
		deliver := x.sink.deliver
		x.sink.deliver = func(b []byte) {
			if b[0] == typeChangeCipherSpec {
				x.endpoint.Close()
				<-time.After(5 * time.Millisecond) // in which the library's reader ends
			}
			deliver(b)
		}
		conn := x.client(t)
		go func() { _ = conn.Handshake() }()
		wait(t, x.sink.done, "Done")
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		s.Wait()
	}()
	wait(t, ended, "end of every endpoint")
}
