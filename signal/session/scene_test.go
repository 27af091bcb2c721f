package session

import (
	"math/rand/v2"
	"time"

	"tsubame/media/param"
	"tsubame/signal/offer"
)

func notification(text string) []byte {
	return []byte(`{"type":"notify","text":"` + text + `"}`)
}

func pairOf(n uint32) []offer.Track {
	return []offer.Track{
		{Kind: param.Audio, Codec: param.Opus, ID: param.TrackID{Index: n}},
		{Kind: param.Video, Codec: param.VP8, ID: param.TrackID{Index: n + 1}},
	}
}

var opened = Opened{Ufrag: "srvU", Password: "serverpasswordserverpass", Candidates: []string{"1 1 udp 1 192.0.2.1 3478 typ host"}}

// seeded is a deterministic source of random bytes.
type seeded struct{ *rand.ChaCha8 }

func newSeeded(n byte) seeded { return seeded{rand.NewChaCha8([32]byte{n})} }

func testConfig() *Config {
	return &Config{
		Version: "test", Fingerprint: param.Fingerprint{Algorithm: "sha-256", Value: make([]byte, 32)},
		ConnectTimeout: 10 * time.Second, JoinTimeout: 10 * time.Second, AnswerTimeout: time.Minute,
		CreatedTimeout: time.Minute, PingInterval: 5 * time.Second, PongTimeout: time.Minute,
		Allow:    Allow{ClientID: true, OpusParams: true, VP8: true, VP9: true, AV1: true, H264: true, H265: true},
		Defaults: Defaults{VideoCodec: param.VP8, VideoBitrate: 500_000}, Rand: newSeeded(1), NewID: func() string { return "SELF" },
	}
}

// Where many transcripts begin: a session in a channel without others.
const (
	offeredViewer = `
client: connect recvonly
	media: open
media: opened
	channel: join room
channel: joined
	server: offer default-audio
`
	viewer = offeredViewer + `
client: answer
	media: set remote
media: established
	channel: announce
channel: announced
	server: notify self
`
	offeredPublisher = `
client: connect sendrecv
	media: open
media: opened
	channel: join room
channel: joined
	server: offer own-audio own-video
`
	publisher = offeredPublisher + `
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
`
)
