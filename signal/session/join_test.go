package session

import "testing"

// From the first message to the last: a client that sends and receives.
func TestAPublisherFromConnectToDisconnect(t *testing.T) {
	p := play(t, testConfig(), `
client: {"type":"connect","role":"sendrecv","channel_id":"room"}
	media: open
media: opened
	channel: join room
channel: joined
	server: offer own-audio own-video
client: answer
	media: set remote
	media: publish OPUS max 0
	media: publish VP8 max 500000
# Candidates may come at any time after the offer. Nothing follows from them: an ICE-lite
# server learns the client's addresses from its checks. Browsers send them with a mid and an
# index, the last one empty; others send nothing but the candidate.
client: {"type":"candidate","candidate":"candidate:1 1 udp 2 192.0.2.7 5000 typ host","sdpMid":"0","sdpMLineIndex":0}
client: {"type":"candidate","candidate":""}
client: {"type":"candidate","candidate":"candidate:1 1 udp 2 192.0.2.7 5000 typ host"}
media: published audio 1
media: published video 2
media: established
	channel: announce OPUS 1 VP8 2
channel: announced
	server: notify self
client: {"type":"disconnect","reason":"NO-ERROR"}
	channel: leave
	media: close
	server: close 1000 TYPE-DISCONNECT
# Whatever comes now comes too late.
client: pong
clock: 1h
channel: A publishes 10
`)
	if d := p.s.Deadline(); !d.IsZero() {
		t.Errorf("a closed session wants a tick at %v", d)
	}
}

func TestAViewerOfAnEmptyChannel(t *testing.T) {
	p := play(t, testConfig(), viewer)
	if s := p.s.State(); s != Established {
		t.Errorf("state %v", s)
	}
}

func TestASenderIsOfferedNothingOfOthers(t *testing.T) {
	play(t, testConfig(), `
client: connect sendonly
	media: open
media: opened
	channel: join room
channel: joined
	server: offer own-audio own-video
client: answer
	media: set remote
	media: publish OPUS max 0
	media: publish VP8 max 500000
media: published audio 1
media: published video 2
media: established
	channel: announce OPUS 1 VP8 2
channel: announced
	server: notify self
channel: A publishes 10
channel: notify A-created after A
	server: notify A-created
`)
}

func TestTheFirstOfferHasWhatTheChannelPublishes(t *testing.T) {
	play(t, testConfig(), `
client: connect sendrecv
	media: open
media: opened
	channel: join room
channel: joined with A 10
	server: offer own-audio own-video A-audio A-video
client: answer
	media: set remote
	media: publish OPUS max 0
	media: publish VP8 max 500000
	media: subscribe OPUS 10 of A
	media: subscribe VP8 11 of A
`)
}

func TestAViewerWithoutVideoIsOfferedAudio(t *testing.T) {
	play(t, testConfig(), `
client: {"type":"connect","role":"recvonly","channel_id":"room","video":false}
	media: open
media: opened
	channel: join room
channel: joined with A 10
	server: offer default-audio A-audio
`)
}

func TestAViewerWithoutAudioIsOfferedVideo(t *testing.T) {
	play(t, testConfig(), `
client: {"type":"connect","role":"recvonly","channel_id":"room","audio":false}
	media: open
media: opened
	channel: join room
channel: joined with A 10
	server: offer default-video A-video
`)
}

// A publisher describes by audio and video what it sends, not what it receives.
func TestAPublisherWithoutVideoReceivesIt(t *testing.T) {
	play(t, testConfig(), `
client: {"type":"connect","role":"sendrecv","channel_id":"room","video":false}
	media: open
media: opened
	channel: join room
channel: joined with A 10
	server: offer own-audio A-audio A-video
`)
}

// The handshake can be over before the answer is here: the client may start once it has
// set the offer.
func TestMediaBeforeTheAnswerWaitsForIt(t *testing.T) {
	play(t, testConfig(), offeredViewer+`
media: established
client: answer
	media: set remote
	channel: announce
`)
}

func TestNoRoomForTheConnection(t *testing.T) {
	play(t, testConfig(), `
client: connect sendonly
	media: open
media: full
	server: close 4490 SERVER-FULL
`)
}

func TestTheChannelMayRefuse(t *testing.T) {
	play(t, testConfig(), `
client: connect sendonly
	media: open
media: opened
	channel: join room
channel: refused SERVER-BUSY
	channel: leave
	media: close
	server: close 4490 SERVER-BUSY
`)
}

func TestNoRoomForATrack(t *testing.T) {
	play(t, testConfig(), offeredPublisher+`
client: answer
	media: set remote
	media: publish OPUS max 0
	media: publish VP8 max 500000
media: published audio full
	channel: leave
	media: close
	server: close 4490 SERVER-FULL
`)
}
