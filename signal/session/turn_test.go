package session

import (
	"strings"
	"testing"
)

const toldOfTURN = `
client: connect recvonly
	media: open
media: opened with TURN
	channel: join room
channel: joined
	server: offer default-audio
`

const turnServer = `"iceServers":[{"urls":["turn:192.0.2.1:3478?transport=udp"],"username":"user","credential":"secret"}]`

func TestTheOfferTellsOfTheTURNServerThatMediaHasNamed(t *testing.T) {
	p := play(t, testConfig(), toldOfTURN)
	if want := `"config":{"iceTransportPolicy":"all",` + turnServer + `}`; !strings.Contains(p.json[0], want) {
		t.Errorf("%s\nis not in %s", want, p.json[0])
	}
}

// As Sora does, the candidates stay in the SDP: they are what the client reaches through TURN.
func TestRelayOnlyIsInTheOfferAndTheCandidatesStay(t *testing.T) {
	cfg := testConfig()
	cfg.RelayOnly = true
	p := play(t, cfg, toldOfTURN)
	if want := `"config":{"iceTransportPolicy":"relay",` + turnServer + `}`; !strings.Contains(p.json[0], want) {
		t.Errorf("%s\nis not in %s", want, p.json[0])
	}
	if !strings.Contains(p.sdp, "a=candidate:"+opened.Candidates[0]+"\r\n") {
		t.Errorf("no candidate in\n%s", p.sdp)
	}
}

func TestWithoutATURNServerThereIsAnEmptyList(t *testing.T) {
	p := play(t, testConfig(), offeredViewer)
	if want := `"config":{"iceTransportPolicy":"all","iceServers":[]}`; !strings.Contains(p.json[0], want) {
		t.Errorf("%s\nis not in %s", want, p.json[0])
	}
}

func TestCredentialsAreInTheOfferOnly(t *testing.T) {
	p := play(t, testConfig(), toldOfTURN+`
client: answer
	media: set remote
media: established
	channel: announce
channel: announced
	server: notify self
channel: A publishes 10
	server: re-offer default-audio A-audio A-video
`)
	for _, m := range p.json[1:] {
		if strings.Contains(m, "secret") {
			t.Errorf("in %s", m)
		}
	}
}
