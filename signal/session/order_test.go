package session

import "testing"

// Clients drop whatever comes before the offer, pings included, or fail over it.
func TestNothingIsSentBeforeTheOffer(t *testing.T) {
	play(t, testConfig(), `
client: connect recvonly
	media: open
clock: 3s
channel: A publishes 10
channel: notify A-created after A
media: opened
	channel: join room
clock: 3s
media: established
channel: B publishes 20
channel: notify B-created after B
clock: 3s
channel: joined
	server: offer default-audio B-audio B-video
`)
}

// No ping either between the offer and its answer: a client is not alive yet.
func TestPingsBeginWithTheAnswer(t *testing.T) {
	play(t, testConfig(), offeredViewer+`
clock: 30s
client: answer
	media: set remote
clock: 4999ms
clock: 1ms
	server: ping
`)
}

// A client takes its own connection.created for connected: it must not come before media is
// up, nor before the answer.
func TestOwnConnectionCreatedComesOnceMediaIsUp(t *testing.T) {
	play(t, testConfig(), offeredViewer+`
channel: A publishes 10
client: answer
	media: set remote
clock: 4s
media: established
	channel: announce
channel: announced
	server: notify self
	server: re-offer default-audio A-audio A-video
`)
}

// Nothing of the channel is told before the client's own connection.created.
func TestNotificationsBeginWithTheClientsOwn(t *testing.T) {
	play(t, testConfig(), offeredViewer+`
client: answer
	media: set remote
channel: notify A-destroyed
media: established
	channel: announce
channel: notify B-destroyed
channel: announced
	server: notify self
channel: notify C-destroyed
	server: notify C-destroyed
`)
}

// Clients set up the streams of a publisher before they hear who it is.
func TestTheReOfferComesBeforeThePublishersConnectionCreated(t *testing.T) {
	play(t, testConfig(), viewer+`
channel: A publishes 10
	server: re-offer default-audio A-audio A-video
channel: notify A-created after A
	server: notify A-created
`)
}

func TestConnectionCreatedWaitsForItsReOffer(t *testing.T) {
	play(t, testConfig(), viewer+`
channel: A publishes 10
	server: re-offer default-audio A-audio A-video
channel: B publishes 20
channel: notify B-created after B
client: re-answer
	media: subscribe OPUS 10 of A
	media: subscribe VP8 11 of A
	server: re-offer default-audio A-audio A-video B-audio B-video
	server: notify B-created
`)
}

func TestNotificationsKeepTheirOrder(t *testing.T) {
	play(t, testConfig(), viewer+`
channel: A publishes 10
	server: re-offer default-audio A-audio A-video
channel: B publishes 20
channel: notify B-created after B
channel: notify viewer-created
# B leaves before it was offered: nothing to wait for any longer.
channel: B publishes nothing
	server: notify B-created
	server: notify viewer-created
channel: notify B-destroyed
	server: notify B-destroyed
`)
}

func TestOneReOfferIsOutAtATime(t *testing.T) {
	play(t, testConfig(), viewer+`
channel: A publishes 10
	server: re-offer default-audio A-audio A-video
channel: B publishes 20
channel: C publishes 30
channel: B publishes nothing
channel: D publishes 40
# All that has happened since is in the next one.
client: re-answer
	media: subscribe OPUS 10 of A
	media: subscribe VP8 11 of A
	server: re-offer default-audio A-audio A-video C-audio C-video D-audio D-video
`)
}

// What a session finds in its queue at one time goes into one re-offer, and nothing of it
// is told in another order.
func TestWhatComesAtOnceSharesAReOffer(t *testing.T) {
	play(t, testConfig(), viewer+`
channel: notify early &
channel: A publishes 10 &
channel: notify A-created after A &
channel: B publishes 20 &
channel: notify B-created after B &
channel: A publishes nothing &
channel: notify A-destroyed
	server: notify early
	server: re-offer default-audio B-audio B-video
	server: notify A-created
	server: notify B-created
	server: notify A-destroyed
channel: B publishes nothing &
channel: notify B-destroyed &
channel: C publishes 30 &
channel: notify C-created after C
	server: notify B-destroyed
client: re-answer
	server: re-offer default-audio [audio] [video] C-audio C-video
	server: notify C-created
`)
}

// Whoever is told of itself in between is told so first.
func TestTheOwnNotificationComesBeforeWhatCameWithIt(t *testing.T) {
	play(t, testConfig(), offeredViewer+`
client: answer
	media: set remote
media: established
	channel: announce
channel: A publishes 10 &
channel: announced &
channel: notify A-created after A
	server: notify self
	server: re-offer default-audio A-audio A-video
	server: notify A-created
`)
}

func TestNothingFollowsAnEndThatCameAtOnceWithMore(t *testing.T) {
	play(t, testConfig(), viewer+`
channel: A publishes 10 &
media: closed consent-lost &
channel: notify A-created after A &
server: shuts down
	channel: leave
	media: close
	server: close 4490 CONSENT-LOST
`)
}

func TestWhatComesAndGoesMeanwhileIsNeverOffered(t *testing.T) {
	play(t, testConfig(), viewer+`
channel: A publishes 10
	server: re-offer default-audio A-audio A-video
channel: B publishes 20
channel: B publishes nothing
client: re-answer
	media: subscribe OPUS 10 of A
	media: subscribe VP8 11 of A
`)
}

// The server knows no other types than those of the protocol, and no candidate of its own:
// some clients end over either.
func TestTheServerSendsNoOtherTypes(t *testing.T) {
	p := play(t, statsConfig(), publisher+`
channel: A publishes 10
	server: re-offer own-audio own-video A-audio A-video
client: candidate
client: update
	media: subscribe OPUS 10 of A
	media: subscribe VP8 11 of A
clock: 30s
	server: ping stats
channel: A publishes nothing
	media: unsubscribe
	media: unsubscribe
	server: update own-audio own-video [audio] [video]
channel: notify A-destroyed
	server: notify A-destroyed
`)
	known := map[string]bool{"offer": true, "re-offer": true, "update": true, "ping": true, "notify": true}
	for _, text := range p.json {
		if m, _ := kindOf(text); !known[m.Type] {
			t.Errorf("%s", text)
		}
	}
	if len(p.json) != 6 {
		t.Errorf("%d messages", len(p.json))
	}
}
