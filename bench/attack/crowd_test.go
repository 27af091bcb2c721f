package attack

import (
	"bufio"
	"net"
	"net/http"
	"net/netip"
	"syscall"
	"testing"
	"time"
)

// doorkeeper accepts sockets and lets serve decide about each, by its number.
func doorkeeper(t *testing.T, serve func(i int, c net.Conn)) netip.AddrPort {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	var conns []net.Conn
	go func() {
		defer close(done)
		for i := 0; ; i++ {
			c, err := l.Accept()
			if err != nil {
				return
			}
			conns = append(conns, c)
			if _, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
				serve(i, c)
			}
		}
	}()
	t.Cleanup(func() {
		l.Close()
		<-done
		for _, c := range conns {
			c.Close()
		}
	})
	return l.Addr().(*net.TCPAddr).AddrPort()
}

func TestCrowdTellsHowItsSocketsEnded(t *testing.T) {
	const upgrade = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n"
	to := doorkeeper(t, func(i int, c net.Conn) {
		switch i % 4 {
		case 0:
			c.Write([]byte(upgrade))
		case 1:
			c.Write([]byte(upgrade))
			c.Write([]byte("\x88\x06\x11\x8aLATE")) // 4490
		case 2:
			c.Write([]byte(upgrade))
			c.Close()
		case 3:
			c.Close()
		}
	})
	crowd, err := Gather(t.Context(), CrowdConfig{To: to, Path: "/signaling", Count: 40, Rate: 2000, Sources: Sources(5)})
	if err != nil {
		t.Fatal(err)
	}
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	deadline := time.After(10 * time.Second)
	for settled := false; !settled; {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("%v", crowd.Ends())
		}
		ends := crowd.Ends()
		now, most := crowd.Open()
		settled = ends["4490 LATE"] == 10 && ends[EndNoFrame] == 10 && ends[EndNoUpgrade] == 10 && now == 10 && most >= 10
	}
	crowd.Close()
	if now, _ := crowd.Open(); now != 0 || crowd.Ends()[EndOurs] != 10 {
		t.Errorf("%d open, %v", now, crowd.Ends())
	}
}

func TestFilesAreRaisedForChildrenToo(t *testing.T) {
	var before, after syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &before); err != nil {
		t.Fatal(err)
	}
	if err := RaiseFiles(before.Cur); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &after); err != nil || after != before {
		t.Errorf("%+v became %+v, %v", before, after, err)
	}
	if err := RaiseFiles(1 << 62); err == nil {
		t.Error("more files than any kernel allows were granted")
	}
}
