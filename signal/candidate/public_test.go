package candidate

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/pion/stun/v3"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	code := m.Run()
	if code == 0 {
		if err := goleak.Find(); err != nil {
			os.Stderr.WriteString(err.Error() + "\n")
			code = 1
		}
	}
	os.Exit(code)
}

// responder answers STUN requests on a loopback port; reply returns the datagrams for the
// n-th request.
func responder(t *testing.T, reply func(n int, request *stun.Message) [][]byte) string {
	t.Helper()
	conn, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		b := make([]byte, 1500)
		for n := 0; ; n++ {
			size, from, err := conn.ReadFrom(b)
			if err != nil {
				return
			}
			request := &stun.Message{Raw: append([]byte(nil), b[:size]...)}
			if err := request.Decode(); err != nil || request.Type != stun.BindingRequest {
				t.Errorf("request %x: %v", b[:size], err)
				return
			}
			for _, d := range reply(n, request) {
				conn.WriteTo(d, from)
			}
		}
	}()
	t.Cleanup(func() {
		conn.Close()
		<-done
	})
	return "stun:" + conn.LocalAddr().String()
}

func success(request *stun.Message, ip string) []byte {
	m, err := stun.Build(stun.NewTransactionIDSetter(request.TransactionID), stun.BindingSuccess,
		&stun.XORMappedAddress{IP: net.ParseIP(ip), Port: 4711}, stun.Fingerprint)
	if err != nil {
		panic(err)
	}
	return m.Raw
}

var quick = Query{Attempts: 3, Wait: 20 * time.Millisecond}

func TestPublicAddressIsAskedFor(t *testing.T) {
	uri := responder(t, func(_ int, m *stun.Message) [][]byte { return [][]byte{success(m, "203.0.113.7")} })
	a, err := Query{}.Public(context.Background(), uri)
	if err != nil || a != netip.MustParseAddr("203.0.113.7") {
		t.Errorf("got %v %v", a, err)
	}
}

func TestARequestIsRepeatedUntilItIsAnswered(t *testing.T) {
	uri := responder(t, func(n int, m *stun.Message) [][]byte {
		if n < 2 {
			return nil
		}
		return [][]byte{success(m, "203.0.113.7")}
	})
	if a, err := quick.Public(context.Background(), uri); err != nil || !a.IsValid() {
		t.Errorf("got %v %v", a, err)
	}
}

func TestOtherAnswersAreSkipped(t *testing.T) {
	uri := responder(t, func(_ int, m *stun.Message) [][]byte {
		other := *m
		other.TransactionID[0] ^= 1
		return [][]byte{[]byte("garbage"), success(&other, "198.51.100.1"), success(m, "203.0.113.7")}
	})
	if a, err := quick.Public(context.Background(), uri); err != nil || a.String() != "203.0.113.7" {
		t.Errorf("got %v %v", a, err)
	}
}

func TestUnusableAnswersAreErrors(t *testing.T) {
	for name, reply := range map[string]func(*stun.Message) []byte{
		"nothing":     func(*stun.Message) []byte { return nil },
		"IPv6":        func(m *stun.Message) []byte { return success(m, "2001:db8::1") },
		"unspecified": func(m *stun.Message) []byte { return success(m, "0.0.0.0") },
		"link-local":  func(m *stun.Message) []byte { return success(m, "169.254.0.1") },
		"an error": func(m *stun.Message) []byte {
			e, err := stun.Build(stun.NewTransactionIDSetter(m.TransactionID), stun.BindingError, stun.CodeServerError)
			if err != nil {
				panic(err)
			}
			return e.Raw
		},
		"no address": func(m *stun.Message) []byte {
			e, err := stun.Build(stun.NewTransactionIDSetter(m.TransactionID), stun.BindingSuccess)
			if err != nil {
				panic(err)
			}
			return e.Raw
		},
	} {
		uri := responder(t, func(_ int, m *stun.Message) [][]byte {
			if d := reply(m); d != nil {
				return [][]byte{d}
			}
			return nil
		})
		if a, err := quick.Public(context.Background(), uri); err == nil {
			t.Errorf("%s: got %v", name, a)
		}
	}
}

func TestAClosedPortEndsWithTheLastAttempt(t *testing.T) {
	conn, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	uri := "stun:" + conn.LocalAddr().String()
	conn.Close()
	if a, err := quick.Public(context.Background(), uri); err == nil {
		t.Errorf("got %v", a)
	}
}

func TestTheContextEndsTheQuestion(t *testing.T) {
	uri := responder(t, func(int, *stun.Message) [][]byte { return nil })
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	if _, err := (Query{Attempts: 1, Wait: time.Hour}).Public(ctx, uri); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v", err)
	}
}

func TestFaultyURIs(t *testing.T) {
	for _, uri := range []string{"", "127.0.0.1:3478", "turn:127.0.0.1:3478", "stun:127.0.0.1", "stun:127.0.0.1:x"} {
		if a, err := quick.Public(context.Background(), uri); err == nil {
			t.Errorf("%q: got %v", uri, a)
		}
	}
}

func TestEveryTruncationOfAReplyIsAnError(t *testing.T) {
	request, err := stun.Build(stun.TransactionID, stun.BindingRequest)
	if err != nil {
		t.Fatal(err)
	}
	whole := success(request, "203.0.113.7")
	if _, err := parseReply(whole, request.TransactionID); err != nil {
		t.Fatal(err)
	}
	for i := range whole {
		if a, err := parseReply(whole[:i], request.TransactionID); err == nil {
			t.Errorf("the first %d bytes gave %v", i, a)
		}
	}
}

func FuzzParseReply(f *testing.F) {
	request, err := stun.Build(stun.TransactionID, stun.BindingRequest)
	if err != nil {
		f.Fatal(err)
	}
	id := [stun.TransactionIDSize]byte{1, 2, 3}
	fixed := &stun.Message{TransactionID: id}
	f.Add(success(fixed, "203.0.113.7"))
	f.Add(request.Raw)
	f.Fuzz(func(t *testing.T, b []byte) {
		a, err := parseReply(b, id)
		if err == nil && (!a.Is4() || a.IsUnspecified() || a.IsMulticast()) {
			t.Fatalf("accepted %v", a)
		}
	})
}
