package edge

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"tsubame/media/param"
	"tsubame/netio/flow"
)

const testGrace = 10 * time.Second

// watchful is how servers are configured.
func watchful(c *Config) { c.SilentAfter, c.ConsentGrace = 7*time.Second, testGrace }

// pubAlive moves the clock by whole seconds, in each of which the publisher checks.
func (c *call) pubAlive(d time.Duration) {
	for range d / time.Second {
		c.pass(time.Second)
		c.deliver(0, c.pub.key, c.pub.check(true))
	}
	c.settle()
}

// kinds are what a peer's signaling was told after it was established.
func (p *peer) kinds() (out []EventKind) {
	for _, e := range p.events[1:] {
		out = append(out, e.Kind)
	}
	return out
}

func (p *peer) wantKinds(want ...EventKind) {
	p.r.t.Helper()
	if got := p.kinds(); !slices.Equal(got, want) {
		p.r.t.Fatalf("events %v, want %v", got, want)
	}
}

// to returns those of the datagrams that went to k.
func sentTo(all []datagram, k flow.Key) (out []datagram) {
	for _, d := range all {
		if d.key == k {
			out = append(out, d)
		}
	}
	return out
}

// A NAT gives a peer another address, which it does not notice. Nothing goes there before its
// first check from it, and everything right after: within the very same batch.
//
// Row ICE-10.
func TestMediaFollowsARebindingWithTheFirstCheck(t *testing.T) {
	ways := map[string]func(r *rig, p *peer){
		"UDP, the same shard": func(r *rig, p *peer) { p.to(key("127.0.0.1", r.remoteOn(0, 5)), 0) },
		"UDP, another shard":  func(r *rig, p *peer) { p.to(key("127.0.0.1", r.remoteOn(1, 5)), 1) },
		"TURN over UDP": func(r *rig, p *peer) {
			v := p.over(key("192.0.2.1", r.remoteOn(1, 6)), 1, 0, 0)
			v.bind(0x4000)
			p.via(v)
		},
		"ICE over TCP": func(r *rig, p *peer) {
			_, k := r.stream(flow.FramedStream, "192.0.2.1", r.remoteOn(1, 7), false)
			p.to(k, 1)
		},
	}
	for name, rebind := range ways {
		t.Run(name, func(t *testing.T) {
			c := newCall(t, 2, []int{0}, watchful)
			v := c.viewers[0]
			v.publish(videoIn)
			c.frame(true)
			c.settle()
			c.take()
			old := v.key
			c.pass(2500 * time.Millisecond)
			rebind(c.rig, v)
			c.take()
			c.deliver(v.shard, v.key, v.rtp(1000, 1, 3000, vp8(true, 1)))
			c.frame(false)
			c.settle()
			if n := len(sentTo(c.take(), v.key)); n != 0 {
				t.Fatalf("%d datagrams to an address that nobody has checked from", n)
			}
			in := c.sum(func(c *Counters) uint64 { return c.Conn.RTPIn.Load() })
			c.deliver(v.shard, v.key, v.check(true))
			c.settle()
			c.frame(false)
			c.settle()
			sent := c.take()
			if n := len(v.received(sent)); n != 1 {
				t.Errorf("%d packets to the new address, want 1", n)
			}
			if n := len(sentTo(sent, old)); n != 0 {
				t.Errorf("%d datagrams to the old address", n)
			}
			c.deliver(v.shard, v.key, v.rtp(1000, 2, 6000, vp8(false, 1)))
			c.settle()
			if n := c.sum(func(c *Counters) uint64 { return c.Conn.RTPIn.Load() }) - in; n != 2 {
				t.Errorf("%d packets taken, want the viewer's and the publisher's", n)
			}
			c.finish()
		})
	}
}

// After a long blackout browsers check without nominating, and a NAT may have forgotten them.
func TestMediaFollowsAnyCheckOfAPeerWhosePathIsSilent(t *testing.T) {
	c := newCall(t, 2, []int{0}, watchful)
	v := c.viewers[0]
	c.pubAlive(25 * time.Second)
	v.to(key("127.0.0.1", c.remoteOn(1, 5)), 1)
	c.deliver(1, v.key, v.check(false))
	c.settle()
	c.frame(true)
	c.settle()
	if n := len(v.received(c.take())); n != 1 {
		t.Errorf("%d packets to the new address, want 1", n)
	}
	c.finish()
}

// RFC 7675 section 5.1: without consent nothing is sent, of any kind, for as long as it lasts.
//
// Row ICE-11.
func TestNothingIsSentBetweenLostConsentAndTheNextCheck(t *testing.T) {
	c := newCall(t, 1, []int{0}, watchful)
	v := c.viewers[0]
	c.pubAlive(param.ConsentTimeout - time.Second)
	c.frame(true)
	if n := len(v.received(c.take())); n != 1 {
		t.Fatalf("%d packets while there is consent, want 1", n)
	}
	c.pubAlive(time.Second)
	v.wantKinds(Silent, Lapsed)
	c.take()
	for i := range uint16(9) {
		c.frame(true)
		v.c.Records(0, []byte{22, 1})
		c.deliver(0, v.key, v.rtp(3000, i, 1, vp8(true, 1))) // its media alone is no consent
		c.pubAlive(time.Second)
	}
	if n := len(sentTo(c.take(), v.key)); n != 0 {
		t.Fatalf("%d datagrams to a peer whose consent is lost", n)
	}
	c.deliver(0, v.key, v.check(false))
	c.settle()
	v.wantKinds(Silent, Lapsed, Heard)
	answered(t, sentTo(c.take(), v.key), 0, v.key)
	c.frame(true)
	if n := len(v.received(c.take())); n != 1 {
		t.Fatalf("%d packets once it has checked, want 1", n)
	}
	// Reports go on as well, and consent counts anew.
	c.pubAlive(param.ConsentTimeout - time.Second)
	if n := len(sentTo(c.take(), v.key)); n == 0 {
		t.Error("no reports any more")
	}
	v.wantKinds(Silent, Lapsed, Heard, Silent)
	if lost, regained := c.sum(func(c *Counters) uint64 { return c.ConsentLost.Load() }),
		c.sum(func(c *Counters) uint64 { return c.ConsentRegained.Load() }); lost != 1 || regained != 1 {
		t.Errorf("consent_lost %d, consent_regained %d", lost, regained)
	}
	c.finish()
}

// Row ICE-11.
func TestPeerThatDoesNotComeBackEndsAfterItsGrace(t *testing.T) {
	for _, grace := range []time.Duration{0, testGrace} {
		t.Run(fmt.Sprint(grace), func(t *testing.T) {
			c := newCall(t, 1, []int{0}, func(c *Config) { c.ConsentGrace = grace })
			v := c.viewers[0]
			free := c.p.free.Free()
			c.pubAlive(param.ConsentTimeout + grace - time.Second)
			if grace == 0 {
				v.wantKinds()
			} else {
				v.wantKinds(Lapsed)
			}
			c.take()
			c.pubAlive(2 * time.Second)
			last := v.events[len(v.events)-1]
			if last.Kind != Closed || last.Reason != ReasonConsentLost {
				t.Fatalf("%v", v.events)
			}
			if n := len(sentTo(c.take(), v.key)); n != 0 {
				t.Errorf("%d datagrams to a peer whose consent is lost", n)
			}
			if n := c.p.free.Free(); n != free+1 {
				t.Errorf("%d places free, want %d", n, free+1)
			}
			c.deliver(0, v.key, v.check(true))
			if n := len(c.take()); n != 0 {
				t.Error("a check after the end is answered")
			}
			c.finish()
		})
	}
}

// One that was never established has nothing to come back to.
func TestPeerThatWasNeverEstablishedHasNoGrace(t *testing.T) {
	r := newRig(t, 1, watchful)
	p := r.open(0, pathA)
	r.deliver(0, pathA, p.check(true))
	r.pass(param.ConsentTimeout)
	if len(p.events) != 1 || p.events[0].Reason != ReasonConsentLost {
		t.Errorf("%v", p.events)
	}
	r.finish()
}

func TestSignalingIsToldOfSilence(t *testing.T) {
	c := newCall(t, 1, []int{0}, watchful)
	v := c.viewers[0]
	c.pubAlive(6 * time.Second)
	v.wantKinds()
	c.pubAlive(2 * time.Second)
	v.wantKinds(Silent)
	c.deliver(0, v.key, v.check(true))
	c.settle()
	v.wantKinds(Silent, Heard)
	// Reports are as good a sign of life as checks, which may be rare.
	for range 20 {
		c.pubAlive(time.Second)
		c.deliver(0, v.key, v.rtcp([]byte{0x80, 201, 0, 1, 0, 0, 0, 9}))
	}
	v.wantKinds(Silent, Heard)
	c.pub.wantKinds()
	c.finish()
}

// What comes from an address that nobody has checked from is no sign of life.
//
// Row ICE-10.
func TestOthersCannotSpeakForASilentPeer(t *testing.T) {
	c := newCall(t, 1, []int{0}, watchful)
	v := c.viewers[0]
	for range 8 {
		c.pubAlive(time.Second)
		c.deliver(0, pathB, v.rtcp([]byte{0x80, 201, 0, 1, 0, 0, 0, 9}))
	}
	v.wantKinds(Silent)
	c.finish()
}

func TestSilenceThatIsOverBeforeSignalingHasHeardOfItIsNotTold(t *testing.T) {
	r := newRig(t, 1, watchful)
	p := r.open(0, pathA)
	p.establish()
	p.c.silentFor(r.now, silenceLong)
	p.c.silentFor(r.now, silenceNone)
	r.settle()
	p.wantKinds()
	p.c.silentFor(r.now, silenceLong)
	p.c.silentFor(r.now, silenceLapsed)
	r.settle()
	p.wantKinds(Lapsed)
	p.c.silentFor(r.now, silenceNone)
	p.c.Close()
	r.settle()
	p.wantKinds(Lapsed, Closed)
	r.finish()
}

func TestSignalingIsToldOfTheNetwork(t *testing.T) {
	r := newRig(t, 1, nil)
	p := r.open(0, pathA)
	p.c.unstable(3) // nobody is told before it is established
	r.settle()
	p.c.unstable(0)
	p.establish()
	for _, level := range []uint8{1, 1, 3, 0} {
		p.c.unstable(level)
		r.settle()
	}
	p.c.unstable(2)
	p.c.unstable(0)
	r.settle()
	p.wantKinds(NetworkChanged, NetworkChanged, NetworkChanged)
	for i, want := range []uint8{1, 3, 0} {
		if got := p.events[1+i].Unstable; got != want {
			t.Errorf("event %d: level %d, want %d", i, got, want)
		}
	}
	r.finish()
}

// What a viewer has missed in a blackout is more than retransmission brings: the publisher is
// asked for a key frame at once. A check that is merely late asks for nothing.
func TestKeyFrameIsAskedForWhenAViewerReturns(t *testing.T) {
	for away, want := range map[time.Duration]int{returnAfter - time.Second: 0, returnTimes * time.Second: 1, 20 * time.Second: 1} {
		t.Run(fmt.Sprint(away), func(t *testing.T) {
			c := newCall(t, 2, []int{1}, nil)
			v := c.viewers[0]
			c.pubAlive(time.Second)
			c.deliver(1, v.key, v.check(true))
			c.settle()
			c.frame(true) // that was asked for when it came
			c.settle()
			c.take()
			c.pubAlive(away)
			before := c.pub.plis(c.take())[1000]
			c.deliver(1, v.key, v.check(true))
			c.settle()
			c.advance(2 * time.Millisecond)
			if n := c.pub.plis(c.take())[1000]; n != want || before != 0 {
				t.Errorf("%d key frames asked for, and %d before; want %d", n, before, want)
			}
			c.finish()
		})
	}
}

// Some clients check and report every five seconds, and are not away in between.
func TestPeerThatSaysLittleIsNotTakenToReturnEachTime(t *testing.T) {
	c := newCall(t, 2, []int{1}, watchful)
	v := c.viewers[0]
	asked := 0
	for range 20 {
		c.pubAlive(5 * time.Second)
		c.deliver(1, v.key, v.check(true))
		c.settle()
		c.frame(true) // what may have been asked for
		c.settle()
		if c.pub.plis(c.take())[1000] > 0 {
			asked++
		}
	}
	if asked > 1 {
		t.Errorf("a key frame was asked for %d times in 20", asked)
	}
	// A real blackout is one all the same.
	c.pubAlive(16 * time.Second)
	c.take()
	c.deliver(1, v.key, v.check(true))
	c.settle()
	c.advance(2 * time.Millisecond)
	if n := c.pub.plis(c.take())[1000]; n != 1 {
		t.Errorf("%d key frames asked for after 16 s, want 1", n)
	}
	c.finish()
}

// A peer that was offered a restart in its blackout comes back from another network, with the new
// credentials, after its consent was lost. From its nomination on the old ones are void.
//
// Row ICE-12.
func TestPeerComesBackWithTheCredentialsOfARestart(t *testing.T) {
	c := newCall(t, 2, []int{0}, watchful)
	v := c.viewers[0]
	oldUfrag, oldPassword := v.c.Credentials()
	c.pubAlive(10 * time.Second)
	if _, _, err := v.c.RestartICE(); err != nil {
		t.Fatal(err)
	}
	c.pubAlive(param.ConsentTimeout - 5*time.Second)
	v.wantKinds(Silent, Lapsed)
	v.to(key("127.0.0.1", c.remoteOn(1, 5)), 1)
	c.take()
	c.deliver(1, v.key, v.check(true))
	c.settle()
	v.wantKinds(Silent, Lapsed, Heard)
	c.frame(true)
	c.settle()
	if n := len(v.received(c.take())); n != 1 {
		t.Errorf("%d packets to the new address, want 1", n)
	}
	c.deliver(1, v.key, buildCheck(t, oldUfrag, oldPassword, true))
	c.settle()
	if n := len(sentTo(c.take(), v.key)); n != 0 {
		t.Error("credentials from before the restart are still good")
	}
	c.finish()
}

// A peer that only receives, while nobody publishes, has no more to say than its checks: Firefox
// makes them every 4 to 6 s. That one of them is lost is told to nobody, that two are is.
func TestLostCheckOfAPeerThatSaysNothingElseIsNoSilence(t *testing.T) {
	r := newRig(t, 1, watchful)
	p := r.open(0, pathA)
	p.establish()
	check := func(after time.Duration) {
		r.pass(after)
		r.deliver(0, p.key, p.check(true))
		r.settle()
	}
	for _, s := range []time.Duration{5, 4, 6, 5} {
		check(s * time.Second)
	}
	check(12 * time.Second)
	p.wantKinds()
	r.pass(14 * time.Second)
	p.wantKinds(Silent)
	check(0)
	r.pass(time.Second) // until after its next report
	p.wantKinds(Silent, Heard)
	for range 16 { // it has begun to say more
		check(time.Second)
	}
	r.pass(8*time.Second + 500*time.Millisecond)
	p.wantKinds(Silent, Heard, Silent)
	r.finish()
}
