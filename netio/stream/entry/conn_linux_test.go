package entry

import (
	"net"
	"syscall"
	"testing"
)

// Whoever carries a stream sets options of its socket, and finds that by NetConn through
// everything that stands above.
func TestSocketBelowAConnectionCanBeReached(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	below, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer below.Close()
	var above net.Conn = newConn(nil, below)
	reached, ok := above.(interface{ NetConn() net.Conn })
	if !ok {
		t.Fatal("there is no way down")
	}
	if _, ok := reached.NetConn().(syscall.Conn); !ok {
		t.Fatalf("below there is a %T", reached.NetConn())
	}
}
