package edge

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"

	"tsubame/media/recv"
	"tsubame/media/rtcp"
)

// Row RTP-09.
func TestPublisherThatIgnoresRequestsIsLoggedOnce(t *testing.T) {
	var log bytes.Buffer
	c := newCall(t, 1, []int{0}, func(cfg *Config) { cfg.Log = slog.New(slog.NewTextHandler(&log, nil)) })
	c.pub.c.SetName("a channel", "a connection")
	logged := func() int { return strings.Count(log.String(), "ignores requests for a key frame") }
	run := func(d time.Duration, keyFrame bool) {
		for end := c.now.Add(d); c.now < end; {
			c.frame(keyFrame)
			c.advance(100 * time.Millisecond)
			if c.now%1_000_000_000 == 0 {
				c.deliver(0, c.pub.key, c.pub.check(true))
				// After 5 s it is sent the video all the same (media/send), and cannot show it.
				v := c.viewers[0]
				c.deliver(0, v.key, v.check(true), v.rtcp(rtcp.AppendPLI(nil, 1, 5000)))
			}
		}
		c.take()
	}
	run(recv.KeyFrameIgnored-time.Second, false)
	if n := logged(); n != 0 {
		t.Fatalf("logged %d times before its time", n)
	}
	run(time.Minute, false)
	if n := logged(); n != 1 {
		t.Errorf("logged %d times, want once", n)
	}
	if !strings.Contains(log.String(), "a channel") || !strings.Contains(log.String(), "a connection") {
		t.Error("whose it is was not logged: " + log.String())
	}
	run(time.Second, true)
	if n := c.sum(func(n *Counters) uint64 { return n.Conn.KeyFramesIgnored.Load() }); n != 1 || logged() != 1 {
		t.Errorf("counted %d times, logged %d", n, logged())
	}
	c.finish()
}

func TestPublisherThatIgnoresRequestsNowAndThenIsLoggedOnceAMinute(t *testing.T) {
	var log bytes.Buffer
	r := newRig(t, 1, func(cfg *Config) { cfg.Log = slog.New(slog.NewTextHandler(&log, nil)) })
	p := r.open(0, pathA)
	p.establish()
	logged := func() int { return strings.Count(log.String(), "ignores requests for a key frame") }
	again := func() {
		p.c.ignoring(true)
		r.settle()
		p.c.ignoring(false)
		r.settle()
	}
	for range 5 {
		again()
	}
	if n := logged(); n != 1 {
		t.Errorf("logged %d times at once", n)
	}
	p.c.quiet = p.c.quiet.Add(-deafEvery) // a minute later
	again()
	if n := logged(); n != 2 {
		t.Errorf("logged %d times after a minute", n)
	}
	r.finish()
}
