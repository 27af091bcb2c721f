package session

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"tsubame/signal/offer/offertest"
	"tsubame/signal/sora"
)

// The life of a viewer while publishers join, leave, join, join, leave and leave. Released
// sections stay where they are and carry the next streams.
func TestAViewerFollowsItsChannel(t *testing.T) {
	play(t, testConfig(), viewer+`
channel: A publishes 10
	server: re-offer default-audio A-audio A-video
client: re-answer
	media: subscribe OPUS 10 of A
	media: subscribe VP8 11 of A
channel: A publishes nothing
	media: unsubscribe
	media: unsubscribe
	server: re-offer default-audio [audio] [video]
client: re-answer
channel: B publishes 20
	server: re-offer default-audio B-audio B-video
channel: C publishes 30
client: re-answer
	media: subscribe OPUS 20 of B
	media: subscribe VP8 21 of B
	server: re-offer default-audio B-audio B-video C-audio C-video
client: re-answer
	media: subscribe OPUS 30 of C
	media: subscribe VP8 31 of C
channel: B publishes nothing
	media: unsubscribe
	media: unsubscribe
	server: re-offer default-audio [audio] [video] C-audio C-video
channel: C publishes nothing
	media: unsubscribe
	media: unsubscribe
client: re-answer
	server: re-offer default-audio [audio] [video] [audio] [video]
client: re-answer
`)
}

// What changed between the offer and the announcement comes with the first re-offer.
func TestChangesDuringTheHandshakeAreOfferedAfterIt(t *testing.T) {
	play(t, testConfig(), `
client: connect recvonly
	media: open
media: opened
	channel: join room
channel: joined with A 10
	server: offer default-audio A-audio A-video
channel: B publishes 20
channel: A publishes nothing
client: answer
	media: set remote
media: established
	channel: announce
channel: announced
	server: notify self
	server: re-offer default-audio [audio] [video] B-audio B-video
`)
}

func TestAReOfferNeedsNoNotification(t *testing.T) {
	play(t, testConfig(), offeredViewer+`
channel: A publishes 10
client: answer
	media: set remote
media: established
	channel: announce
channel: announced silently
	server: re-offer default-audio A-audio A-video
`)
}

func TestAStreamThatTheClientDeclinesIsNotOfferedAgain(t *testing.T) {
	play(t, testConfig(), viewer+`
channel: A publishes 10
	server: re-offer default-audio A-audio A-video
client: re-answer, A-video declined
	media: subscribe OPUS 10 of A
channel: B publishes 20
	server: re-offer default-audio A-audio B-video B-audio
`)
}

func TestAPublisherThatStopsAndStartsAgain(t *testing.T) {
	play(t, testConfig(), publisher+`
channel: A publishes 10
	server: re-offer own-audio own-video A-audio A-video
client: re-answer, own-video inactive
	media: unpublish 2
	media: subscribe OPUS 10 of A
	media: subscribe VP8 11 of A
	channel: update OPUS 1
channel: A publishes nothing
	media: unsubscribe
	media: unsubscribe
	server: re-offer own-audio own-video [audio] [video]
client: re-answer
	media: publish VP8 max 500000
# The next re-offer waits until media has answered: the channel has to hear of the track
# before anything else changes.
channel: B publishes 20
media: published video 3
	channel: update OPUS 1 VP8 3
	server: re-offer own-audio own-video B-audio B-video
`)
}

func TestHeldNotificationsAreBounded(t *testing.T) {
	p := play(t, testConfig(), viewer+`
channel: A publishes 10
	server: re-offer default-audio A-audio A-video
channel: B publishes 20
`)
	for i := range maxHeld {
		p.goOn(fmt.Sprintf("channel: notify n%d after B", i))
	}
	p.goOn(`
# One more, and the oldest goes out ahead of its streams.
channel: notify last after B
	server: notify n0
`)
}

// Somebody comes and goes as fast as it can: after a while the others are asked no more
// often than is good for them, and end up with what there is.
//
// Row SIG-07.
func TestAStormOfChangesIsPaced(t *testing.T) {
	p := play(t, testConfig(), viewer)
	for range reOfferBurst / 2 {
		p.goOn(`
channel: A publishes 10
	server: re-offer default-audio A-audio A-video
client: re-answer
	media: subscribe OPUS 10 of A
	media: subscribe VP8 11 of A
channel: A publishes nothing
	media: unsubscribe
	media: unsubscribe
	server: re-offer default-audio [audio] [video]
client: re-answer
`)
	}
	for range 3 {
		p.goOn(`
channel: A publishes 10
channel: notify A-created after A
clock: 199ms
channel: A publishes nothing
	server: notify A-created
channel: A publishes 20
channel: notify A-again after A
clock: 1ms
	server: re-offer default-audio A-audio A-video
	server: notify A-again
client: re-answer
	media: subscribe OPUS 20 of A
	media: subscribe VP8 21 of A
channel: A publishes nothing
	media: unsubscribe
	media: unsubscribe
clock: 200ms
	server: re-offer default-audio [audio] [video]
client: re-answer
`)
	}
	if at := p.s.Deadline(); at.Sub(p.now) < time.Second { // that of a ping
		t.Errorf("nothing is to be done, but a tick is wanted in %v", at.Sub(p.now))
	}
	p.goOn(`
clock: 3s
channel: A publishes 10
	server: re-offer default-audio A-audio A-video
`)
}

func gatherConfig() *Config {
	cfg := testConfig()
	cfg.Gather = 100 * time.Millisecond
	return cfg
}

// Who joins a quiet channel is seen at once; those who follow soon share re-offers.
func TestThoseWhoJoinTogetherShareReOffers(t *testing.T) {
	p := play(t, gatherConfig(), viewer+`
channel: A publishes 10
	server: re-offer default-audio A-audio A-video
channel: notify A-created after A
	server: notify A-created
client: re-answer
	media: subscribe OPUS 10 of A
	media: subscribe VP8 11 of A
channel: B publishes 20
channel: notify B-created after B
clock: 24ms
channel: C publishes 30
clock: 1ms
	server: re-offer default-audio A-audio A-video B-audio B-video C-audio C-video
	server: notify B-created
client: re-answer
	media: subscribe OPUS 20 of B
	media: subscribe VP8 21 of B
	media: subscribe OPUS 30 of C
	media: subscribe VP8 31 of C
# What must not be sent any longer stops at once all the same.
channel: B publishes nothing
	media: unsubscribe
	media: unsubscribe
channel: notify B-destroyed
clock: 49ms
clock: 1ms
	server: re-offer default-audio A-audio A-video [audio] [video] C-audio C-video
	server: notify B-destroyed
client: re-answer
`)
	// However long it goes on, nobody waits for longer than Gather.
	for range 10 {
		p.goOn(`
channel: A publishes nothing
	media: unsubscribe
	media: unsubscribe
clock: 99ms
clock: 1ms
	server: re-offer default-audio [audio] [video] [audio] [video] C-audio C-video
client: re-answer
channel: A publishes 10
clock: 99ms
clock: 1ms
	server: re-offer default-audio A-audio A-video [audio] [video] C-audio C-video
client: re-answer
	media: subscribe OPUS 10 of A
	media: subscribe VP8 11 of A
`)
	}
	// After a quiet second the next one is seen at once again.
	p.goOn(`
clock: 1s
channel: B publishes 20
	server: re-offer default-audio A-audio A-video B-audio B-video C-audio C-video
`)
}

// An answer that takes long is wait enough.
func TestAReOfferDoesNotWaitAfterASlowAnswer(t *testing.T) {
	play(t, gatherConfig(), viewer+`
channel: A publishes 10
	server: re-offer default-audio A-audio A-video
channel: B publishes 20
clock: 30ms
client: re-answer
	media: subscribe OPUS 10 of A
	media: subscribe VP8 11 of A
	server: re-offer default-audio A-audio A-video B-audio B-video
`)
}

// Thousands who join at once cost each viewer a few re-offers, not thousands.
func TestAStormOfJoinsMakesFewReOffers(t *testing.T) {
	cfg := gatherConfig()
	cfg.Gather = 200 * time.Millisecond
	p := play(t, cfg, viewer)
	reOffers, answered := 0, ""
	take := func(actions []Action) {
		for _, a := range actions {
			if send, ok := a.(Send); ok {
				m, _ := kindOf(string(send.JSON))
				if m.Type == "re-offer" {
					reOffers++
				}
				answered = m.SDP
			}
		}
	}
	// 100 in two seconds; the client answers after 5 ms.
	for i := range 400 {
		if i%4 == 0 {
			take(p.s.Handle(nil, p.now, RemoteChanged{ConnectionID: fmt.Sprint("P", i), Tracks: pairOf(uint32(10 * i))}))
		}
		p.now = p.now.Add(5 * time.Millisecond)
		if answered != "" {
			sdp := new(offertest.Peer).Answer(answered)
			answered = ""
			take(p.s.Handle(nil, p.now, Message{sora.Message{Type: sora.TypeReAnswer, SDP: sdp}}))
		}
		if !p.now.Before(p.s.Deadline()) {
			take(p.s.Handle(nil, p.now, Tick{}))
		}
	}
	if reOffers > 13 || reOffers < 10 {
		t.Errorf("%d re-offers", reOffers)
	}
}

// A viewer's section carries the codec of its publisher, and another when it is reused.
func TestPublishersOfDifferentCodecsInOneChannel(t *testing.T) {
	p := play(t, testConfig(), viewer+`
channel: A publishes 10 AV1
	server: re-offer default-audio A-audio A-video
client: re-answer
	media: subscribe OPUS 10 of A
	media: subscribe AV1 11 of A
channel: B publishes 20 VP9
	server: re-offer default-audio A-audio A-video B-audio B-video
client: re-answer
	media: subscribe OPUS 20 of B
	media: subscribe VP9 21 of B
channel: A publishes nothing
	media: unsubscribe
	media: unsubscribe
	server: re-offer default-audio [audio] [video] B-audio B-video
client: re-answer
channel: C publishes 30 H264
	server: re-offer default-audio C-audio C-video B-audio B-video
client: re-answer
	media: subscribe OPUS 30 of C
	media: subscribe H264 31 of C
`)
	for _, name := range []string{"H264/90000", "VP9/90000"} {
		if !strings.Contains(p.sdp, name) {
			t.Errorf("%s is not in\n%s", name, p.sdp)
		}
	}
}

// What the publisher's fmtp says reaches those who receive it.
func TestParametersOfAPublisherAreOffered(t *testing.T) {
	p := play(t, testConfig(), viewer)
	tracks := tracksOf("10", "H264")
	tracks[1].Params = "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=640c1f"
	for _, a := range p.s.Handle(nil, p.now, RemoteChanged{"A", tracks}) {
		p.line(a)
	}
	if !strings.Contains(p.sdp, "profile-level-id=640c1f") {
		t.Errorf("not in\n%s", p.sdp)
	}
}
