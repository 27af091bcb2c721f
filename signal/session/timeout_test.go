package session

import (
	"testing"
	"time"
)

// A socket on which nothing is said.
func TestTheFirstMessageHasToComeInTime(t *testing.T) {
	play(t, testConfig(), `
clock: 9999ms
clock: 1ms
	server: close 4490 CONNECT-WAIT-TIMEOUT-ERROR
`)
}

// From connect to offer the work is the server's own.
func TestMediaThatDoesNotOpen(t *testing.T) {
	play(t, testConfig(), `
client: connect recvonly
	media: open
clock: 9999ms
clock: 1ms
	server: close 4490 SERVER-BUSY
`)
}

func TestAChannelThatDoesNotAnswer(t *testing.T) {
	play(t, testConfig(), `
client: connect recvonly
	media: open
media: opened
	channel: join room
clock: 9999ms
clock: 1ms
	channel: leave
	media: close
	server: close 4490 SERVER-BUSY
`)
}

func TestAnAnswerThatDoesNotCome(t *testing.T) {
	play(t, testConfig(), offeredViewer+`
clock: 59999ms
clock: 1ms
	channel: leave
	media: close
	server: close 4490 ANSWER-TIMEOUT-ERROR
`)
}

// Clients were seen to wait for ever for an ICE that never connects, so this one is ours.
func TestMediaThatIsNeverEstablished(t *testing.T) {
	cfg := testConfig()
	cfg.PongTimeout = time.Hour
	play(t, cfg, offeredViewer+`
client: answer
	media: set remote
clock: 59999ms
	server: ping
clock: 1ms
	channel: leave
	media: close
	server: close 4490 CONNECTION-CREATED-WAIT-TIMEOUT-ERROR
`)
}

func TestAReAnswerThatDoesNotCome(t *testing.T) {
	cfg := testConfig()
	cfg.PongTimeout = time.Hour
	play(t, cfg, viewer+`
channel: A publishes 10
	server: re-offer default-audio A-audio A-video
clock: 59999ms
	server: ping
clock: 1ms
	channel: leave
	media: close
	server: close 4490 ANSWER-TIMEOUT-ERROR
`)
}

// Changes that wait for the re-answer do not make its deadline any later.
func TestOtherChangesDoNotProlongTheWaitForAReAnswer(t *testing.T) {
	cfg := testConfig()
	cfg.PongTimeout = time.Hour
	play(t, cfg, viewer+`
channel: A publishes 10
	server: re-offer default-audio A-audio A-video
clock: 59s
	server: ping
channel: B publishes 20
clock: 1s
	channel: leave
	media: close
	server: close 4490 ANSWER-TIMEOUT-ERROR
`)
}
