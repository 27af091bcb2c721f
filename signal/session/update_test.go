package session

import "testing"

// go-sora ends its session over a re-offer: it knows only the name that the message had
// until 2022. It says who it is in its connect.
func TestAClientThatKnowsOnlyUpdate(t *testing.T) {
	play(t, testConfig(), `
client: {"type":"connect","role":"recvonly","channel_id":"room","sora_client":"go-sora v0.1.0","environment":"Pion WebRTC on linux amd64"}
	media: open
media: opened
	channel: join room
channel: joined
	server: offer default-audio
client: answer
	media: set remote
media: established
	channel: announce
channel: announced
	server: notify self
channel: A publishes 10
	server: update default-audio A-audio A-video
client: update
	media: subscribe OPUS 10 of A
	media: subscribe VP8 11 of A
channel: A publishes nothing
	media: unsubscribe
	media: unsubscribe
	server: update default-audio [audio] [video]
`)
}

// Some versions of it call every answer answer, which nobody else may.
func TestAnUpdateMayBeAnsweredWithAnswer(t *testing.T) {
	p := play(t, testConfig(), `
client: {"type":"connect","role":"recvonly","channel_id":"room","sora_client":"go-sora v0.1.0"}
	media: open
media: opened
	channel: join room
channel: joined
	server: offer default-audio
client: answer
	media: set remote
media: established
	channel: announce
channel: announced
	server: notify self
channel: A publishes 10
	server: update default-audio A-audio A-video
client: answer
	media: subscribe OPUS 10 of A
	media: subscribe VP8 11 of A
channel: A publishes nothing
	media: unsubscribe
	media: unsubscribe
	server: update default-audio [audio] [video]
client: answer
`)
	p.goOn(`
client: answer
	channel: leave
	media: close
	server: close 4490 UNEXPECTED-MESSAGE
`)
}

func TestWhoAnswersWithUpdateIsAskedWithUpdate(t *testing.T) {
	play(t, testConfig(), viewer+`
channel: A publishes 10
	server: re-offer default-audio A-audio A-video
client: update
	media: subscribe OPUS 10 of A
	media: subscribe VP8 11 of A
channel: A publishes nothing
	media: unsubscribe
	media: unsubscribe
	server: update default-audio [audio] [video]
client: update
channel: B publishes 20
	server: update default-audio B-audio B-video
# And back, should it know the new name after all.
client: re-answer
	media: subscribe OPUS 20 of B
	media: subscribe VP8 21 of B
channel: B publishes nothing
	media: unsubscribe
	media: unsubscribe
	server: re-offer default-audio [audio] [video]
`)
}

func TestOtherClientsAreReOffered(t *testing.T) {
	play(t, testConfig(), `
client: {"type":"connect","role":"recvonly","channel_id":"room","sora_client":"Sora JavaScript SDK 2026.1.0"}
	media: open
media: opened
	channel: join room
channel: joined
	server: offer default-audio
client: answer
	media: set remote
media: established
	channel: announce
channel: announced
	server: notify self
channel: A publishes 10
	server: re-offer default-audio A-audio A-video
client: re-answer
	media: subscribe OPUS 10 of A
	media: subscribe VP8 11 of A
channel: A publishes nothing
	media: unsubscribe
	media: unsubscribe
	server: re-offer default-audio [audio] [video]
`)
}
