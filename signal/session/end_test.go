package session

import "testing"

func TestADisconnectEndsTheSessionInAnyState(t *testing.T) {
	play(t, testConfig(), `
client: disconnect
	server: close 1000 TYPE-DISCONNECT
`)
	play(t, testConfig(), `
client: connect recvonly
	media: open
media: opened
	channel: join room
client: {"type":"disconnect","reason":"INTERNAL-ERROR"}
	channel: leave
	media: close
	server: close 1000 TYPE-DISCONNECT
`)
	play(t, testConfig(), viewer+`
client: disconnect
	channel: leave
	media: close
	server: close 1000 TYPE-DISCONNECT
`)
}

// Why a client leaves is for the log.
func TestTheReasonOfADisconnectIsKept(t *testing.T) {
	p := play(t, testConfig(), viewer)
	actions := p.s.Handle(nil, p.now, p.event(`client: {"type":"disconnect","reason":"ICE-CONNECTION-STATE-FAILED"}`))
	if c := actions[len(actions)-1].(Close); c.Reason != ReasonDisconnect || c.Detail != "ICE-CONNECTION-STATE-FAILED" {
		t.Errorf("%+v", c)
	}
}

// Clients open several sockets and keep one: a socket that goes without a word is no error.
func TestASocketThatGoesWithoutAWord(t *testing.T) {
	play(t, testConfig(), `
client: vanishes
	server: close 0 VANISHED
`)
	play(t, testConfig(), `
client: connect recvonly
	media: open
media: opened
	channel: join room
client: vanishes
	channel: leave
	media: close
	server: close 0 VANISHED
`)
	play(t, testConfig(), viewer+`
client: vanishes
	channel: leave
	media: close
	server: close 0 VANISHED
`)
}

func TestTheServerEndsSessionsWhenItShutsDown(t *testing.T) {
	play(t, testConfig(), viewer+`
server: shuts down
	channel: leave
	media: close
	server: close 1000 SHUTDOWN
`)
}

func TestEndsOfMedia(t *testing.T) {
	for reason, want := range map[string]string{
		MediaConsentLost:    "4490 CONSENT-LOST",
		MediaDTLSClosed:     "1000 PEER-CLOSED",
		MediaBadFingerprint: "4490 BAD-FINGERPRINT",
		MediaDTLSFailed:     "4490 DTLS-FAILED",
		MediaRequested:      "1000 MEDIA-CLOSED",
	} {
		play(t, testConfig(), viewer+"media: closed "+reason+"\n\tchannel: leave\n\tmedia: close\n\tserver: close "+want)
	}
}

func TestMediaMayEndBeforeTheAnswer(t *testing.T) {
	play(t, testConfig(), offeredViewer+`
media: closed dtls-failed
	channel: leave
	media: close
	server: close 4490 DTLS-FAILED
`)
}

// Row SIG-05.
func TestMessagesOutOfOrderAreRefused(t *testing.T) {
	unexpected := "\n\tserver: close 4490 UNEXPECTED-MESSAGE"
	inChannel := "\n\tchannel: leave\n\tmedia: close" + unexpected
	connecting := "client: connect recvonly\n\tmedia: open\n"
	for _, m := range []string{"answer", "re-answer", "update", "candidate", "pong"} {
		message := `client: {"type":"` + m + `","sdp":"v=0","candidate":"x"}`
		play(t, testConfig(), message+unexpected)
		play(t, testConfig(), connecting+message+unexpected)
		play(t, testConfig(), connecting+"media: opened\n\tchannel: join room\n"+message+inChannel)
	}
	for _, m := range []string{"connect", "re-answer", "update"} {
		message := `client: {"type":"` + m + `","sdp":"v=0","role":"recvonly","channel_id":"room"}`
		play(t, testConfig(), offeredViewer+message+inChannel)
	}
	for _, m := range []string{"connect", "answer", "re-answer", "update"} {
		message := `client: {"type":"` + m + `","sdp":"v=0","role":"recvonly","channel_id":"room"}`
		play(t, testConfig(), viewer+message+inChannel)
	}
	play(t, testConfig(), viewer+`
channel: A publishes 10
	server: re-offer default-audio A-audio A-video
client: answer
	channel: leave
	media: close
	server: close 4490 UNEXPECTED-MESSAGE
`)
	// The media connection that was being opened is closed by whoever opened it too late.
	play(t, testConfig(), connecting+"client: connect recvonly"+unexpected)
}

// Whatever cannot be decoded ends the session, with the reason that the decoder gives.
func TestWhatCannotBeDecodedEndsTheSession(t *testing.T) {
	for frame, want := range map[string]string{
		`{`:                      "INVALID-JSON",
		`{}`:                     "MISSING-TYPE",
		`{"type":"offer"}`:       "UNKNOWN-TYPE",
		`{"type":"connect"}`:     "INVALID-ROLE",
		`{"type":"pong","type"}`: "INVALID-JSON",
	} {
		play(t, testConfig(), "client: "+frame+"\n\tserver: close 4490 "+want)
	}
	play(t, testConfig(), viewer+`
client: not JSON
	channel: leave
	media: close
	server: close 4490 INVALID-JSON
`)
}

func TestAnAnswerThatIsNoAnswerEndsTheSession(t *testing.T) {
	end := "\n\tchannel: leave\n\tmedia: close\n\tserver: close 4490 "
	play(t, testConfig(), offeredViewer+`client: {"type":"answer","sdp":"v=0"}`+end+"INVALID-SDP")
	play(t, testConfig(), offeredViewer+"client: answer, default-audio declined"+end+"NO-COMMON-CODEC")
	play(t, testConfig(), viewer+`
channel: A publishes 10
	server: re-offer default-audio A-audio A-video
client: {"type":"re-answer","sdp":""}`+end+"INVALID-SDP")
	weak := play(t, testConfig(), offeredViewer)
	weak.weaken = true
	weak.goOn("client: answer" + end + "BAD-FINGERPRINT")
}

func TestAFloodOfMessagesEndsTheSession(t *testing.T) {
	p := play(t, testConfig(), viewer) // two messages
	for range maxMessages - 2 {
		p.goOn("client: candidate")
	}
	p.goOn(`
client: candidate
	channel: leave
	media: close
	server: close 4490 TOO-MANY-MESSAGES
`)
}

func TestManyMessagesOverALongTimeAreNoFlood(t *testing.T) {
	p := play(t, testConfig(), viewer)
	for range 3 {
		for range maxMessages - 2 {
			p.goOn("client: pong")
		}
		p.goOn("clock: 10001ms\n\tserver: ping")
	}
}

// A thousand come and go in a few minutes: whoever answers all that is offered because of it does
// what is wanted.
func TestAnswersToReOffersAreNoFlood(t *testing.T) {
	p := play(t, testConfig(), viewer)
	for range maxMessages {
		p.now = p.now.Add(2 * reOfferEvery) // without a tick no ping is sent
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
}
