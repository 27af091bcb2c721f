package session

import (
	"strings"
	"testing"
)

// The client's network has changed, and its signaling goes on.
func TestSilentMediaIsOfferedAnICERestart(t *testing.T) {
	p := play(t, testConfig(), viewer+`
media: silent
	server: ping
client: pong
	media: restart ICE
media: restarted
	log: ice restart offered: its media is silent
	server: re-offer (ufrag1) default-audio
client: re-answer
media: heard
channel: A publishes 10
	server: re-offer default-audio A-audio A-video
`)
	for _, want := range []string{"a=ice-ufrag:ufrag1\r\n", "a=ice-pwd:passwordofarestartpassword\r\n", "a=candidate:1 1 udp 1 192.0.2.2 3478 typ host\r\n"} {
		if !strings.Contains(p.sdp, want) {
			t.Errorf("no %q in\n%s", want, p.sdp)
		}
	}
}

// In a blackout nobody answers. The call comes back by itself, and a restart in the middle of
// that would be in the way.
func TestClientThatSaysNothingIsOfferedNoRestart(t *testing.T) {
	play(t, testConfig(), viewer+`
media: silent
	server: ping
clock: 4s
clock: 1s
	server: ping
media: heard
client: pong
`)
}

func TestRestartsComeTwiceAsFarApartEachTime(t *testing.T) {
	play(t, testConfig(), viewer+`
media: silent
	server: ping
client: pong
	media: restart ICE
media: restart refused
client: pong
clock: 5s
	server: ping
clock: 2s
	media: restart ICE
media: restarted
	log: ice restart offered: its media is silent
	server: re-offer (ufrag1) default-audio
client: re-answer
clock: 3s
	server: ping
client: pong
clock: 5s
	server: ping
client: pong
clock: 5s
	server: ping
client: pong
clock: 1s
	media: restart ICE
media: restarted
	log: ice restart offered: its media is silent
	server: re-offer (ufrag2) default-audio
`)
}

// One that was offered late, because its answer was, has its time all the same.
func TestNextRestartWaitsForTheAnswerToTheLast(t *testing.T) {
	play(t, testConfig(), viewer+`
media: silent
	server: ping
client: pong
	media: restart ICE
media: restarted
	log: ice restart offered: its media is silent
	server: re-offer (ufrag1) default-audio
clock: 5s
	server: ping
client: pong
clock: 5s
	server: ping
client: re-answer
clock: 5s
	server: ping
clock: 2s
	media: restart ICE
`)
}

// There is one re-offer at a time, whatever it is for.
func TestRestartWaitsForAnOutstandingReOffer(t *testing.T) {
	play(t, testConfig(), viewer+`
channel: A publishes 10
	server: re-offer default-audio A-audio A-video
media: silent
	server: ping
client: pong
client: re-answer
	media: subscribe OPUS 10 of A
	media: subscribe VP8 11 of A
	media: restart ICE
channel: B publishes 20
	server: re-offer default-audio A-audio A-video B-audio B-video
media: restarted
	log: ice restart offered: its media is silent
client: re-answer
	media: subscribe OPUS 20 of B
	media: subscribe VP8 21 of B
	server: re-offer (ufrag1) default-audio A-audio A-video B-audio B-video
`)
}

func TestLapsedConsentIsLoggedAndEndsTheSessionOnlyWithItsMedia(t *testing.T) {
	play(t, testConfig(), viewer+`
media: silent
	server: ping
media: lapsed
	log: consent lapsed: nothing is sent until the client checks again
media: heard
media: silent
	server: ping
media: lapsed
	log: consent lapsed: nothing is sent until the client checks again
media: closed consent-lost
	channel: leave
	media: close
	server: close 4490 CONSENT-LOST
`)
}

// What is said of media before the session is established means nothing for it.
func TestSilenceBeforeTheSessionIsEstablished(t *testing.T) {
	play(t, testConfig(), offeredViewer+`
media: silent
media: lapsed
client: answer
	media: set remote
media: established
	channel: announce
channel: announced
	server: notify self
client: pong
`)
}

func TestUnstableNetworkIsToldToTheClient(t *testing.T) {
	play(t, testConfig(), viewer+`
media: unstable 2
	server: notify network.status 2
media: unstable 2
media: unstable 3
media: unstable 1
clock: 4s
clock: 1s
	server: ping
	server: notify network.status 1
media: unstable 0
clock: 5s
	server: ping
	server: notify network.status 0
`)
}

func TestNetworkThatIsAsItWasIsNotTold(t *testing.T) {
	play(t, testConfig(), viewer+`
media: unstable 2
	server: notify network.status 2
media: unstable 1
media: unstable 2
clock: 5s
	server: ping
`)
}

func TestNetworkOfAClientThatWaitsIsToldOnceItIsAnnounced(t *testing.T) {
	play(t, testConfig(), offeredViewer+`
client: answer
	media: set remote
media: established
	channel: announce
media: unstable 1
channel: announced
	server: notify self
	server: notify network.status 1
`)
}

func TestNetworkIsNotToldWhereNotificationsAreOff(t *testing.T) {
	cfg := testConfig()
	cfg.Defaults.NotifyOff = true
	p := play(t, cfg, offeredViewer+`
client: answer
	media: set remote
media: established
	channel: announce
channel: announced
media: unstable 3
`)
	if after := p.s.Deadline().Sub(p.now); after != p.s.cfg.PingInterval {
		t.Errorf("wakes after %v for nothing", after)
	}
}
