package edge

import (
	"fmt"
	"testing"
	"time"

	"tsubame/media/param"
	"tsubame/netio/flow"
)

// A client begins over UDP and moves to a stream, which closes. Media falls back to the path that
// it began with only as long as there is consent for it (RFC 7675 section 5.1): later its address
// may be somebody else's.
//
// Row ICE-11.
func TestPathThatThePeerHasLeftIsUsedAgainOnlyWithConsent(t *testing.T) {
	for away, want := range map[time.Duration]int{10 * time.Second: 1, param.ConsentTimeout: 0, 200 * time.Second: 0} {
		t.Run(fmt.Sprint(away), func(t *testing.T) {
			c := newCall(t, 1, []int{0}, watchful)
			v, old := c.viewers[0], c.viewers[0].key
			c.deliver(0, old, []byte{22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1}) // DTLS was by it, too
			_, k := c.stream(flow.FramedStream, "192.0.2.1", c.remoteOn(0, 0), false)
			v.to(k, 0).nominate()
			for range away / time.Second {
				c.pubAlive(time.Second)
				c.deliver(0, k, v.check(true))
			}
			c.take()
			c.frame(true)
			if sent := c.take(); len(v.received(sent)) != 1 || len(sentTo(sent, old)) != 0 {
				t.Fatalf("not sent by the stream: %v", sent)
			}
			c.hangUp(k)
			c.frame(true)
			v.to(old, 0)
			if n := len(v.received(c.take())); n != want {
				t.Fatalf("%d packets by the path from before, want %d", n, want)
			}
			c.pubAlive(param.ConsentTimeout - away) // nothing if that is over
			c.take()
			for range param.ConsentTimeout/time.Second - 1 {
				c.frame(true)
				v.c.Records(0, []byte{22, 1})
				c.pubAlive(time.Second)
				if n := len(sentTo(c.take(), old)); n != 0 {
					t.Fatalf("%d datagrams where there is no consent", n)
				}
				if len(v.events) > 0 && v.events[len(v.events)-1].Kind == Lapsed {
					break
				}
			}
			c.deliver(0, old, v.check(false))
			c.settle()
			c.take()
			c.frame(true)
			if n := len(v.received(c.take())); n != 1 {
				t.Errorf("%d packets once it has checked that path again, want 1", n)
			}
			c.finish()
		})
	}
}

// What DTLS came by is where answers go before the peer nominates: with consent, as everything.
//
// Row ICE-11.
func TestPathOfTheHandshakeIsUsedNoLongerThanItsConsent(t *testing.T) {
	c := newCall(t, 1, nil, watchful)
	v := c.open(0, pathA)
	v.c.Subscribe(videoOut(c.track, 5000))
	c.deliver(0, pathA, v.check(false), []byte{22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1})
	v.secure()
	c.settle()
	for i := range 60 {
		c.take()
		c.frame(true)
		sent := len(v.received(c.take()))
		if before := i < int(param.ConsentTimeout/time.Second); before && sent != 1 || !before && i > int(param.ConsentTimeout/time.Second)+1 && sent != 0 {
			t.Fatalf("after %d s: %d packets", i, sent)
		}
		c.pubAlive(time.Second)
		c.deliver(0, pathB, v.check(false)) // it lives, elsewhere
	}
	c.deliver(0, pathB, v.check(true))
	c.take()
	c.frame(true)
	if n := len(v.to(pathB, 0).received(c.take())); n != 1 {
		t.Errorf("%d packets by the path that it nominates, want 1", n)
	}
	c.finish()
}
