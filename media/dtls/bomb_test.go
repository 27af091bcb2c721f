package dtls

import (
	"errors"
	"math/rand/v2"
	"runtime"
	"testing"
	"time"
)

// Row DTLS-04. Each bomb goes to an endpoint at each point where fragments are taken.
func TestFragmentBombsAreBounded(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	part := make([]byte, 1000)
	bombs := []struct {
		name string
		// next returns the i-th handshake fragment of the attack; mt and seq are what the
		// endpoint waits for.
		next func(i int, mt byte, seq uint16) []byte
	}{
		{"a message of 16 MiB", func(i int, mt byte, seq uint16) []byte {
			return fragment(mt, seq, 1<<24-1, i*1000%(1<<24-2000), part)
		}},
		{"the largest that we take, out of order", func(i int, mt byte, seq uint16) []byte {
			return fragment(mt, seq, maxMessage, rnd.IntN(maxMessage-len(part)), part)
		}},
		{"one byte at a time, every second one", func(i int, mt byte, seq uint16) []byte {
			return fragment(mt, seq, maxMessage, 2*i%maxMessage, part[:1])
		}},
		{"overlapping", func(i int, mt byte, seq uint16) []byte {
			return fragment(mt, seq, maxMessage, (maxMessage-2000)-i%3000, part)
		}},
		{"empty fragments", func(i int, mt byte, seq uint16) []byte {
			return fragment(mt, seq, 5000, i%5000, nil)
		}},
		{"empty fragments of an empty message", func(i int, mt byte, seq uint16) []byte {
			return fragment(mt, seq, 0, 0, nil)
		}},
		{"every message_seq", func(i int, mt byte, seq uint16) []byte {
			return fragment(mt, uint16(i), 2000, 1000, part)
		}},
		{"beyond the end", func(i int, mt byte, seq uint16) []byte {
			return fragment(mt, seq, 1500, 1000, part)
		}},
		{"another length each time", func(i int, mt byte, seq uint16) []byte {
			return fragment(mt, seq, 2000+i%60000, 0, part)
		}},
		{"whole messages, all alike", func(i int, mt byte, seq uint16) []byte {
			return message(mt, seq, part)
		}},
	}
	for _, b := range bombs {
		for _, at := range []string{"ClientHello", "Certificate"} {
			t.Run(b.name+"/"+at, func(t *testing.T) {
				s := newTestServer(t, Config{Deadline: time.Minute})
				x := newScript(t, s)
				mt, seq := byte(msgClientHello), uint16(0)
				if at == "Certificate" {
					x.begin(goodHello)
					mt, seq = msgCertificate, 1
				}
				before := heap()
				for i := range 20_000 {
					feedAndSettle(x, x.record(typeHandshake, b.next(i, mt, seq)))
				}
				// The library alone would keep 2 MB of fragments and 8 MB of messages.
				if grown := heap() - before; grown > 768<<10 {
					t.Errorf("the heap grew by %d bytes", grown)
				}
				if x.endpoint.admitted > maxAdmitted {
					if o := wait(t, x.sink.done, "Done"); !errors.Is(o.err, ErrFlooded) {
						t.Errorf("ended with %v", o.err)
					}
				}
				x.endpoint.Close()
				s.Wait()
			})
		}
	}
}

// heap returns the bytes of live objects.
func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// Row DTLS-04. A certificate chain of a sane size passes in pieces, in any order.
func TestLongCertificateChainInPieces(t *testing.T) {
	x := newScript(t, newTestServer(t, Config{}))
	x.begin(goodHello)
	list := appendVector24(nil, x.certificate.Certificate[0])
	for range 20 { // what else is in the chain nobody looks at
		list = appendVector24(list, make([]byte, 1000))
	}
	body := appendVector24(nil, list)
	x.transcript = append(x.transcript, message(msgCertificate, 1, body)...)
	const size = 700
	pieces := (len(body) + size - 1) / size
	for _, i := range rand.New(rand.NewPCG(3, 4)).Perm(pieces) {
		part := body[i*size : min(len(body), (i+1)*size)]
		feedAndSettle(x, x.record(typeHandshake, fragment(msgCertificate, 1, len(body), i*size, part)))
	}
	x.sayKeyExchange(2)
	x.sayVerify(3, x.privateKey())
	x.sayFinished(4)
	if o := wait(t, x.sink.done, "Done"); o.err != nil {
		t.Fatal(o.err)
	}
}

// feedAndSettle feeds a datagram and waits until it has been taken off the queue.
func feedAndSettle(x *script, datagram []byte) {
	x.endpoint.Feed(datagram)
	until(x.t, "the datagram is read", func() bool {
		runtime.Gosched()
		return len(x.endpoint.pipe.in) == 0 || x.endpoint.pipe.isHung()
	})
}

// Row DTLS-04. When datagrams come faster than they are read, the oldest go, counted.
func TestQueueDropsTheOldest(t *testing.T) {
	p := newPipe(func([]byte) {})
	for i := range queueLength + 5 {
		want := 0
		if i >= queueLength {
			want = 1
		}
		if got := p.push([]byte{byte(i)}); got != want {
			t.Fatalf("push %d dropped %d", i, got)
		}
	}
	var b [10]byte
	for i := range queueLength {
		n, _, err := p.ReadFrom(b[:])
		if err != nil || n != 1 || b[0] != byte(i+5) {
			t.Fatalf("read %d: %x, %v", i, b[:n], err)
		}
	}
}
