package edge

import (
	"encoding/binary"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tsubame/media/rtp"
)

// A thousand viewers begin on other shards than their publisher's, while it goes on: each of them
// has a key frame first, and then everything, in order.
func TestReplaysFromARunningShard(t *testing.T) {
	const viewers, begins, enough = 2, 500, 12
	r := newRunningWith(t, 1+viewers, func(c *Config) { frameByFrame(c); cacheOf(1 << 20)(c) })
	pub := r.join(0, key("127.0.0.1", "127.0.0.1:50000"))
	track, err := pub.c.Publish(videoIn)
	if err != nil {
		t.Fatal(err)
	}
	var done atomic.Bool
	var ways []chan []byte
	var others sync.WaitGroup
	for i := range viewers {
		k := paths(viewers)[i]
		got := make(chan []byte, 1<<14)
		r.sent.Store(k, got)
		ways = append(ways, got)
		v := r.join(1+i, k)
		others.Go(func() {
			defer func() { // nobody waits for this one any more
				r.sent.Delete(k)
				for len(got) > 0 {
					<-got
				}
			}()
			for n := range uint32(begins) {
				ssrc := 10000 + 2*n
				v.c.Subscribe(videoOut(track, ssrc))
				var packets [][]byte
				for end := time.Now().Add(20 * time.Second); len(packets) < enough && time.Now().Before(end); {
					select {
					case b := <-got:
						if b[0]>>6 == 2 && !rtp.IsRTCP(b) && binary.BigEndian.Uint32(b[8:]) == ssrc {
							packets = append(packets, b)
						}
					default:
						runtime.Gosched()
					}
				}
				v.c.Unsubscribe(ssrc)
				if !requireBegun(t, v, packets, enough) {
					return
				}
			}
		})
	}
	go func() { others.Wait(); done.Store(true) }()
	for seq := uint64(1); !done.Load(); seq++ {
		h := header{PayloadType: 96, Marker: true, Seq: uint16(seq), Timestamp: 3000 * uint32(seq), SSRC: 1000}
		r.in[0] <- datagram{key: pub.key, bytes: pub.packet(h, "", numbered(seq%50 == 1, seq))}
		r.events()
		// What the viewers lose is to be nothing, so that all of them keep up.
		for i := 0; !done.Load() && (i < 20 || slices.ContainsFunc(ways, full) || r.p.shards[1].media.Len()+r.p.shards[2].media.Len() > 256); i++ {
			runtime.Gosched()
		}
	}
	if n := r.sum(func(c *Counters) uint64 { return c.Conn.Replays.Load() }); n < viewers*begins/2 {
		t.Errorf("%d of %d viewers began with a replay", n, viewers*begins)
	}
	r.end()
}

func full(way chan []byte) bool { return len(way) > cap(way)/4 }

// requireBegun wants packets as the publisher sent them from a key frame on, under numbers without
// a gap; but for a jump to a key frame, at which a replay may go on.
func requireBegun(t *testing.T, v *peer, packets [][]byte, n int) bool {
	if len(packets) < n {
		t.Errorf("%d packets of %d came", len(packets), n)
		return false
	}
	var last uint64
	var number uint16
	for i, b := range packets {
		var buf [2048]byte
		size, err := v.session.OpenRTP(buf[:], b)
		if err != nil || size < 10 {
			t.Errorf("packet %d does not open: %v", i, err)
			return false
		}
		payload := unpad(t, buf[:size])
		payload = payload[len(payload)-10:]
		serial, seq, begins := binary.BigEndian.Uint64(payload[2:]), binary.BigEndian.Uint16(b[2:]), payload[1]&1 == 0
		switch {
		case i == 0 && !begins, i > 0 && seq != number+1, i > 0 && serial != last+1 && !(begins && serial > last):
			t.Errorf("packet %d is number %d under %d, after %d under %d", i, serial, seq, last, number)
			return false
		}
		last, number = serial, seq
	}
	return true
}
