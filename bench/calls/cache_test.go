package calls

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"tsubame/bench/bot"
	"tsubame/bench/impair"
	"tsubame/media/param"
)

// line is a way of some length between one client and the server: what comes to its address goes
// to the server, and back, each after a delay.
type line struct {
	near, far *net.UDPConn
	client    atomic.Pointer[netip.AddrPort]
}

// lineTo makes a line to the server whose round trip takes so long, for one client with one
// socket. It returns where the client finds its end.
func (w *world) lineTo(roundTrip time.Duration) netip.AddrPort {
	w.t.Helper()
	server := &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: w.UDPPort()}
	near, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		w.t.Fatal(err)
	}
	far, err := net.DialUDP("udp4", nil, server)
	if err != nil {
		near.Close()
		w.t.Fatal(err)
	}
	l := &line{near: near, far: far}
	w.t.Cleanup(func() { near.Close(); far.Close() })
	for _, c := range []*net.UDPConn{near, far} {
		if err := c.SetReadBuffer(4 << 20); err != nil {
			w.t.Fatal(err)
		}
	}
	delay := func() *impair.Link {
		link, err := impair.NewLink(impair.Config{Delay: roundTrip / 2})
		if err != nil {
			w.t.Fatal(err)
		}
		return link
	}
	go carry(near, delay(), func(b []byte, from netip.AddrPort) {
		if from.IsValid() {
			l.client.Store(&from)
		}
	}, func(b []byte) { far.Write(b) })
	go carry(far, delay(), func([]byte, netip.AddrPort) {}, func(b []byte) {
		if to := l.client.Load(); to != nil {
			near.WriteToUDPAddrPort(b, *to)
		}
	})
	return near.LocalAddr().(*net.UDPAddr).AddrPort()
}

// carry is one direction of a line, until its socket is closed.
func carry(from *net.UDPConn, l *impair.Link, see func([]byte, netip.AddrPort), send func([]byte)) {
	buf := make([]byte, 2048)
	for {
		from.SetReadDeadline(l.Next()) // the zero time is none
		n, at, err := from.ReadFromUDPAddrPort(buf)
		now := time.Now()
		switch {
		case err == nil:
			see(buf[:n], at)
			l.Push(now, buf[:n])
		case errors.Is(err, net.ErrClosed):
			return
		case !errors.Is(err, os.ErrDeadlineExceeded):
			continue // an ICMP error about an earlier datagram
		}
		for b, ok := l.Pop(now); ok; b, ok = l.Pop(now) {
			send(b)
		}
	}
}

// distant is the configuration of a bot that the server is so far from.
func (w *world) distant(role string, roundTrip time.Duration) bot.Config {
	cfg := w.pictures(role)
	cfg.Candidates = []netip.AddrPort{w.lineTo(roundTrip)}
	cfg.TransportCC = true
	return cfg
}

// The ways of the calls below.
const (
	publisherRTT = 200 * time.Millisecond
	viewerRTT    = 40 * time.Millisecond
	lateViewers  = 7
)

// lateCall has a publisher send for three seconds after its key frame, and then viewers come, one
// by one. It returns how long after its DTLS was finished each of them had a whole picture.
func lateCall(t *testing.T, w *world) (publisher *bot.Bot, viewers []*bot.Bot, firsts []time.Duration) {
	publisher = w.join(w.distant(bot.SendOnly, publisherRTT))
	early := w.join(w.pictures(bot.RecvOnly))
	eventually(t, "60 pictures", func() (bool, any) {
		s := flow{publisher, early}.stream(param.Video)
		return s.Frames >= 60, s
	})
	for range lateViewers {
		began := time.Now()
		v := w.join(w.distant(bot.RecvOnly, viewerRTT))
		var s bot.ReceiveStats
		eventually(t, "five pictures", func() (bool, any) {
			s = flow{publisher, v}.stream(param.Video)
			return s.Frames >= 5, s
		})
		viewers = append(viewers, v)
		firsts = append(firsts, s.FirstFrame.Sub(began.Add(v.Stats().ConnectTime)))
	}
	slices.Sort(firsts)
	t.Logf("first picture after DTLS: median %v, from %v to %v", firsts[len(firsts)/2], firsts[0], firsts[len(firsts)-1])
	return publisher, viewers, firsts
}

// Who joins late sees a picture within a round trip of his own, whatever that of the publisher is,
// who is asked for nothing; and then the same as all others, without a gap.
func TestLateViewerBeginsWithTheCachedKeyFrame(t *testing.T) {
	t.Parallel()
	w := start(t, map[string]string{"keyframe_cache": "4194304", "keyframe_cache_age": "1 min"})
	publisher, viewers, firsts := lateCall(t, w)
	if median := firsts[len(firsts)/2]; median > viewerRTT+100*time.Millisecond {
		t.Errorf("the first pictures came %v after DTLS", firsts)
	}
	w.requireGrown("replays", lateViewers)
	// The first viewer of all, for whom there was a key frame on its way or in the cache.
	if n := w.grown("pli_out"); n > 1 {
		t.Errorf("the publisher was asked for %d key frames", n)
	}
	for _, v := range viewers {
		f := flow{publisher, v}
		eventually(t, "what is live", func() (bool, any) {
			s := f.stream(param.Video)
			return s.Frames > 80, s
		})
		if s := f.stream(param.Video); s.Shifts != 0 || s.Lost != 0 || s.Duplicates > s.RTXPackets || s.BadPayload != 0 || s.PLIs != 0 {
			t.Errorf("%v: %+v", f, s)
		}
		requireClean(t, v)
	}
}

// Without the cache each of them waits for the publisher, and has it make a key frame.
func TestLateViewerWithoutACacheWaitsForThePublisher(t *testing.T) {
	t.Parallel()
	w := start(t, nil)
	_, _, firsts := lateCall(t, w)
	if firsts[0] < publisherRTT-viewerRTT/2 {
		t.Errorf("the first picture came %v after DTLS, when the publisher cannot have been asked", firsts[0])
	}
	if n := w.grown("pli_out"); n < lateViewers {
		t.Errorf("the publisher was asked for %d key frames by %d viewers", n, lateViewers)
	}
}
