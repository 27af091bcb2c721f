package ws

import (
	"net"
	"testing"
)

// farewell is a connection that says goodbye before it closes, as TLS does, to somebody who
// reads nothing.
type farewell struct {
	net.Conn
	never chan struct{}
}

func (f *farewell) Close() error {
	<-f.never
	return nil
}

func (f *farewell) NetConn() net.Conn { return f.Conn }

// Whoever comes in must not wait for the goodbye of who has to go: it is the goroutine that
// accepts connections.
//
// Row SIG-01.
func TestWhoIsPushedOutIsNotWaitedFor(t *testing.T) {
	r := newRoom(1, 0, proxies{})
	for name, end := range map[string]func(){
		"by the next one": func() {
			a, b := net.Pipe()
			t.Cleanup(func() { a.Close(); b.Close() })
			r.enter(a)
			r.leave(a)
		},
		"by the end": r.closeAll,
	} {
		t.Run(name, func(t *testing.T) {
			below, peer := net.Pipe()
			defer peer.Close()
			guest := &farewell{below, make(chan struct{})}
			defer close(guest.never)
			r.enter(guest)
			defer r.leave(guest)
			end()
			if _, err := peer.Read(make([]byte, 1)); err == nil {
				t.Error("it is not closed")
			}
		})
	}
}
