package session

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"tsubame/media/param"
)

func TestPublisherFromConnectToDisconnect(t *testing.T) {
	sc := newScript(t, testConfig())
	sc.establish("sendrecv")
	if s := sc.s.State(); s != Established {
		t.Errorf("state %v", s)
	}
	sc.client(`{"type":"candidate","candidate":"candidate:1"}`)
	sc.client(`{"type":"disconnect","reason":"NO-ERROR"}`, "leave", "closemedia", "close 1000 TYPE-DISCONNECT")
	sc.client(`{"type":"pong"}`)
	if d := sc.s.Deadline(); !d.IsZero() {
		t.Errorf("a closed session wants a tick at %v", d)
	}
}

func TestOfferSaysWhoAndWhat(t *testing.T) {
	sc := newScript(t, testConfig())
	sc.client(`{"type":"connect","role":"sendonly","channel_id":"room","audio":{"bit_rate":64},"video":{"bit_rate":300}}`, "openmedia")
	sc.feed(opened, "join room")
	actions := sc.s.Handle(nil, sc.now, Joined{SessionID: "S"})
	text := string(actions[0].(Send).JSON)
	for _, want := range []string{
		`"channel_id":"room","client_id":"SELF","bundle_id":"SELF","connection_id":"SELF","session_id":"S","version":"test"`,
		`"audio":true,"video":true,"audio_codec_type":"OPUS","video_codec_type":"VP8","audio_bit_rate":64,"video_bit_rate":300`,
		`b=TIAS:64000\r\nb=AS:64\r\n`, `maxaveragebitrate=64000`, `b=TIAS:300000\r\nb=AS:300\r\n`,
		`a=candidate:1 1 udp 1 192.0.2.1 3478 typ host`, `a=ice-ufrag:srvU`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%s is not in\n%s", want, text)
		}
	}
}

func TestMediaBeforeTheAnswerWaitsForIt(t *testing.T) {
	sc := newScript(t, testConfig())
	sc.client(`{"type":"connect","role":"recvonly","channel_id":"room"}`, "openmedia")
	sc.feed(opened, "join room")
	sc.feed(Joined{}, "send offer default")
	sc.feed(MediaEstablished{})
	sc.answers("answer", "set remote peerU", "announce")
}

// The life of a viewer while publishers join, leave, join, join, leave and leave.
func TestViewerFollowsItsChannel(t *testing.T) {
	sc := newScript(t, testConfig())
	sc.establish("recvonly")
	a, b, c := "A", "B", "C"
	sc.feed(RemoteChanged{a, pairOf(10)}, "send re-offer default A A")
	sc.feed(Notify{notification("A created"), a}, "send notify A created")
	sc.answers("re-answer", "subscribe audio 10", "subscribe video 11")
	sc.feed(RemoteChanged{a, nil}, "unsubscribe", "unsubscribe", "send re-offer default - -")
	sc.feed(Notify{notification("A destroyed"), ""}, "send notify A destroyed")
	sc.answers("re-answer")
	sc.feed(RemoteChanged{b, pairOf(20)}, "send re-offer default B B")
	// C joins while the re-offer is out: it waits, and so does its notification.
	sc.feed(RemoteChanged{c, pairOf(30)})
	sc.feed(Notify{notification("C created"), c})
	sc.answers("re-answer", "subscribe audio 20", "subscribe video 21", "send re-offer default B B C C", "send notify C created")
	sc.answers("re-answer", "subscribe audio 30", "subscribe video 31")
	sc.feed(RemoteChanged{b, nil}, "unsubscribe", "unsubscribe", "send re-offer default - - C C")
	sc.feed(RemoteChanged{c, nil}, "unsubscribe", "unsubscribe")
	sc.answers("update", "send re-offer default - - - -")
	sc.answers("re-answer")
}

func TestNotificationsKeepTheirOrder(t *testing.T) {
	sc := newScript(t, testConfig())
	sc.establish("recvonly")
	sc.feed(RemoteChanged{"A", pairOf(10)}, "send re-offer default A A")
	sc.feed(RemoteChanged{"B", pairOf(20)})
	sc.feed(Notify{notification("B created"), "B"})
	sc.feed(Notify{notification("viewer created"), ""})
	// B leaves before it was offered: nothing to wait for any longer.
	sc.feed(RemoteChanged{"B", nil}, "send notify B created", "send notify viewer created")
	sc.feed(Notify{notification("B destroyed"), ""}, "send notify B destroyed")
}

func TestHeldNotificationsAreBounded(t *testing.T) {
	sc := newScript(t, testConfig())
	sc.establish("recvonly")
	sc.feed(RemoteChanged{"A", pairOf(10)}, "send re-offer default A A")
	sc.feed(RemoteChanged{"B", pairOf(20)})
	for i := range maxHeld {
		sc.feed(Notify{notification(fmt.Sprint(i)), "B"})
	}
	// One more, and the oldest goes out ahead of its streams.
	sc.feed(Notify{notification("last"), "B"}, "send notify 0")
}

func TestStreamsOfTheChannelAreInTheFirstOffer(t *testing.T) {
	sc := newScript(t, testConfig())
	sc.client(`{"type":"connect","role":"sendrecv","channel_id":"room"}`, "openmedia")
	sc.feed(opened, "join room")
	sc.feed(Joined{Remotes: []RemoteChanged{{"A", pairOf(10)}}}, "send offer own own A A")
	// B publishes, A leaves before the answer: the client hears of it once it is established
	// itself.
	sc.feed(RemoteChanged{"B", pairOf(20)})
	sc.feed(RemoteChanged{"A", nil})
	audio, video := sc.mids()
	sc.answers("answer", "set remote peerU", "publish audio max 0", "publish video max 500000")
	sc.feed(Published{audio, param.TrackID{Index: 1}, true})
	sc.feed(MediaEstablished{})
	sc.feed(Published{video, param.TrackID{Index: 2}, true}, "announce audio 1 video 2")
	sc.feed(Announced{JSON: notification("self created")}, "send notify self created", "send re-offer own own - - B B")
}

func TestNotificationsCanBeOff(t *testing.T) {
	sc := newScript(t, testConfig())
	sc.client(`{"type":"connect","role":"recvonly","channel_id":"room"}`, "openmedia")
	sc.feed(opened, "join room")
	sc.feed(Joined{}, "send offer default")
	sc.feed(RemoteChanged{"A", pairOf(10)})
	sc.answers("answer", "set remote peerU")
	sc.feed(MediaEstablished{}, "announce")
	sc.feed(Announced{}, "send re-offer default A A")
}

func TestASenderIsOfferedNothing(t *testing.T) {
	sc := newScript(t, testConfig())
	sc.establish("sendonly")
	sc.feed(RemoteChanged{"A", pairOf(10)})
	sc.feed(Notify{notification("A created"), "A"}, "send notify A created")
}

func TestAViewerWithoutVideoIsOfferedAudio(t *testing.T) {
	sc := newScript(t, testConfig())
	sc.client(`{"type":"connect","role":"recvonly","channel_id":"room","video":false}`, "openmedia")
	sc.feed(opened, "join room")
	sc.feed(Joined{Remotes: []RemoteChanged{{"A", pairOf(10)}}}, "send offer default A")
}

func TestAPublisherWithoutVideoReceivesIt(t *testing.T) {
	sc := newScript(t, testConfig())
	sc.client(`{"type":"connect","role":"sendrecv","channel_id":"room","video":false}`, "openmedia")
	sc.feed(opened, "join room")
	sc.feed(Joined{Remotes: []RemoteChanged{{"A", pairOf(10)}}}, "send offer own A A")
}

func TestAPublisherThatStopsAndStartsAgain(t *testing.T) {
	sc := newScript(t, testConfig())
	sc.establish("sendrecv")
	_, video := sc.mids()
	sc.feed(RemoteChanged{"A", pairOf(10)}, "send re-offer own own A A")
	sc.peer.Still = map[string]bool{video: true}
	sc.answers("re-answer", "unpublish 2", "subscribe audio 10", "subscribe video 11", "update audio 1")
	sc.feed(RemoteChanged{"A", nil}, "unsubscribe", "unsubscribe", "send re-offer own own - -")
	sc.peer.Still = nil
	sc.answers("re-answer", "publish video max 500000")
	// The next re-offer waits until media has answered.
	sc.feed(RemoteChanged{"B", pairOf(20)})
	sc.feed(Published{video, param.TrackID{Index: 3}, true}, "update audio 1 video 3", "send re-offer own own B B")
}

func TestTimeouts(t *testing.T) {
	connect := `{"type":"connect","role":"recvonly","channel_id":"room"}`
	t.Run("connect", func(t *testing.T) {
		sc := newScript(t, testConfig())
		sc.after(10*time.Second-1, []string{}...)
		sc.after(1, "close 4490 CONNECT-WAIT-TIMEOUT-ERROR")
	})
	t.Run("join", func(t *testing.T) {
		sc := newScript(t, testConfig())
		sc.client(connect, "openmedia")
		sc.feed(opened, "join room")
		sc.after(10*time.Second, "leave", "closemedia", "close 4490 SERVER-BUSY")
	})
	t.Run("answer", func(t *testing.T) {
		sc := newScript(t, testConfig())
		sc.client(connect, "openmedia")
		sc.feed(opened, "join room")
		sc.feed(Joined{}, "send offer default")
		sc.after(time.Minute-1, []string{}...)
		sc.after(1, "leave", "closemedia", "close 4490 ANSWER-TIMEOUT-ERROR")
	})
	t.Run("established", func(t *testing.T) {
		sc := newScript(t, testConfig())
		sc.s.cfg.PongTimeout = time.Hour
		sc.client(connect, "openmedia")
		sc.feed(opened, "join room")
		sc.feed(Joined{}, "send offer default")
		sc.answers("answer", "set remote peerU")
		sc.after(time.Minute-1, "send ping")
		sc.after(1, "leave", "closemedia", "close 4490 CONNECTION-CREATED-WAIT-TIMEOUT-ERROR")
	})
	t.Run("re-answer", func(t *testing.T) {
		sc := newScript(t, testConfig())
		sc.s.cfg.PongTimeout = time.Hour
		sc.establish("recvonly")
		sc.feed(RemoteChanged{"A", pairOf(10)}, "send re-offer default A A")
		sc.after(time.Minute, "leave", "closemedia", "close 4490 ANSWER-TIMEOUT-ERROR")
	})
}

// Row SIG-13.
func TestPingsAndPongs(t *testing.T) {
	sc := newScript(t, testConfig())
	sc.establish("recvonly")
	for range 30 {
		if d := sc.s.Deadline().Sub(sc.now); d != 5*time.Second {
			t.Fatalf("next tick in %v", d)
		}
		sc.after(5*time.Second, "send ping")
		sc.client(`{"type":"pong"}`)
	}
	for range 11 {
		sc.after(5*time.Second, "send ping")
	}
	sc.client(`{"type":"pong"}`) // late, but in time
	for range 11 {
		sc.after(5*time.Second, "send ping")
	}
	sc.after(5*time.Second, "leave", "closemedia", "close 4490 PONG-TIMEOUT-ERROR")
}

func TestEndsOfMedia(t *testing.T) {
	for reason, want := range map[string]string{
		MediaConsentLost:    "close 4490 CONSENT-LOST",
		MediaDTLSClosed:     "close 1000 PEER-CLOSED",
		MediaBadFingerprint: "close 4490 BAD-FINGERPRINT",
		MediaDTLSFailed:     "close 4490 DTLS-FAILED",
		MediaRequested:      "close 1000 MEDIA-CLOSED",
	} {
		sc := newScript(t, testConfig())
		sc.establish("recvonly")
		sc.feed(MediaClosed{reason}, "leave", "closemedia", want)
	}
}

func TestEndsOfTheTransport(t *testing.T) {
	sc := newScript(t, testConfig())
	sc.establish("recvonly")
	sc.feed(Vanished{}, "leave", "closemedia", "close 0 VANISHED")
	sc = newScript(t, testConfig())
	sc.feed(Vanished{}, "close 0 VANISHED")
	sc = newScript(t, testConfig())
	sc.client(`{"type":"connect","role":"recvonly","channel_id":"room"}`, "openmedia")
	sc.feed(opened, "join room")
	sc.feed(Vanished{}, "leave", "closemedia", "close 0 VANISHED")
	sc = newScript(t, testConfig())
	sc.client(`{"type":"disconnect"}`, "close 1000 TYPE-DISCONNECT")
}

func TestWhenThereIsNoRoom(t *testing.T) {
	connect := `{"type":"connect","role":"sendonly","channel_id":"room"}`
	sc := newScript(t, testConfig())
	sc.client(connect, "openmedia")
	sc.feed(OpenFailed{}, "close 4490 SERVER-FULL")
	sc = newScript(t, testConfig())
	sc.client(connect, "openmedia")
	sc.feed(opened, "join room")
	sc.feed(JoinRefused{ReasonServerBusy}, "closemedia", "close 4490 SERVER-BUSY")
	sc = newScript(t, testConfig())
	sc.client(connect, "openmedia")
	sc.feed(opened, "join room")
	sc.feed(Joined{}, "send offer own own")
	audio, _ := sc.mids()
	sc.answers("answer", "set remote peerU", "publish audio max 0", "publish video max 500000")
	sc.feed(Published{MID: audio}, "leave", "closemedia", "close 4490 SERVER-FULL")
}

func TestABadAnswerEndsTheSession(t *testing.T) {
	for sdp, want := range map[string]string{
		"v=0": "close 4490 INVALID-SDP",
	} {
		sc := newScript(t, testConfig())
		sc.client(`{"type":"connect","role":"recvonly","channel_id":"room"}`, "openmedia")
		sc.feed(opened, "join room")
		sc.feed(Joined{}, "send offer default")
		sc.client(`{"type":"answer","sdp":"`+sdp+`"}`, "leave", "closemedia", want)
	}
	sc := newScript(t, testConfig())
	sc.client(`{"type":"connect","role":"recvonly","channel_id":"room"}`, "openmedia")
	sc.feed(opened, "join room")
	sc.feed(Joined{}, "send offer default")
	sc.peer.Edit = func(_ string, lines []string) []string {
		for i := range lines {
			lines[i] = strings.Replace(lines[i], "sha-256", "sha-1", 1)
		}
		return lines
	}
	sc.answers("answer", "leave", "closemedia", "close 4490 BAD-FINGERPRINT")
}

func TestAFloodOfMessagesEndsTheSession(t *testing.T) {
	sc := newScript(t, testConfig())
	sc.establish("recvonly") // two messages
	for range maxMessages - 2 {
		sc.client(`{"type":"candidate","candidate":""}`)
	}
	sc.client(`{"type":"candidate","candidate":""}`, "leave", "closemedia", "close 4490 TOO-MANY-MESSAGES")
	// The same over a longer time is no flood.
	sc = newScript(t, testConfig())
	sc.s.cfg.PongTimeout = time.Hour
	sc.establish("recvonly")
	for range 3 {
		for range maxMessages - 2 {
			sc.client(`{"type":"candidate","candidate":""}`)
		}
		sc.after(rateWindow+1, "send ping")
	}
}

// A thousand come and go in a moment: whoever answers all that is offered because of it does
// what is wanted.
func TestAnswersToReOffersAreNoFlood(t *testing.T) {
	sc := newScript(t, testConfig())
	sc.establish("recvonly")
	for range maxMessages {
		sc.feed(RemoteChanged{"A", pairOf(10)}, "send re-offer default A A")
		sc.answers("re-answer", "subscribe audio 10", "subscribe video 11")
		sc.feed(RemoteChanged{"A", nil}, "unsubscribe", "unsubscribe", "send re-offer default - -")
		sc.answers("update")
	}
}

func TestWhatDoesNotExistIsRefusedByName(t *testing.T) {
	for members, want := range map[string]string{
		`"simulcast":true`:                              "SIMULCAST-NOT-SUPPORTED",
		`"simulcast_multicodec":true`:                   "SIMULCAST-MULTICODEC-NOT-SUPPORTED",
		`"simulcast_rid":"r1"`:                          "SIMULCAST-RID-NOT-SUPPORTED",
		`"simulcast_request_rid":"r1"`:                  "SIMULCAST-REQUEST-RID-NOT-SUPPORTED",
		`"spotlight":true`:                              "SPOTLIGHT-NOT-SUPPORTED",
		`"spotlight_number":1`:                          "SPOTLIGHT-NUMBER-NOT-SUPPORTED",
		`"spotlight_focus_rid":"r1"`:                    "SPOTLIGHT-FOCUS-RID-WITHOUT-SPOTLIGHT",
		`"spotlight_unfocus_rid":"r1"`:                  "SPOTLIGHT-UNFOCUS-RID-WITHOUT-SPOTLIGHT",
		`"data_channel_signaling":true`:                 "DATA-CHANNEL-SIGNALING-NOT-SUPPORTED",
		`"ignore_disconnect_websocket":true`:            "IGNORE-DISCONNECT-WEBSOCKET-NOT-SUPPORTED",
		`"data_channels":[{"label":"#a"}]`:              "DATA-CHANNELS-NOT-SUPPORTED",
		`"forwarding_filter":{}`:                        "FORWARDING-FILTER-NOT-SUPPORTED",
		`"forwarding_filters":[{}]`:                     "FORWARDING-FILTERS-NOT-SUPPORTED",
		`"multistream":false`:                           "MULTISTREAM-FALSE-NOT-SUPPORTED",
		`"bundle_id":"b"`:                               "BUNDLE-ID-NOT-ALLOWED",
		`"audio":{"codec_type":"PCMU"}`:                 "UNKNOWN-CODEC-TYPE",
		`"video":{"codec_type":"VP9"}`:                  "UNKNOWN-CODEC-TYPE",
		`"video":{"codec_type":"AV1"}`:                  "UNKNOWN-CODEC-TYPE",
		`"video":{"codec_type":"vp8"}`:                  "UNKNOWN-CODEC-TYPE",
		`"video":{"vp9_params":{"profile_id":0}}`:       "VP9-PARAMS-NOT-SUPPORTED",
		`"video":{"codec_type":"VP8","h264_params":{}}`: "H264-PARAMS-NOT-SUPPORTED",
	} {
		sc := newScript(t, testConfig())
		sc.client(`{"type":"connect","role":"sendrecv","channel_id":"room",`+members+`}`, "close 4490 "+want)
	}
	for _, members := range []string{
		`"simulcast":false`, `"simulcast_request_rid":"none"`, `"data_channel_signaling":false`, `"data_channels":[]`,
		`"spotlight":false`, `"multistream":true`, `"redirect":true`, `"e2ee":true`, `"sdp":"v=0"`,
		`"audio":{"codec_type":"OPUS"}`, `"video":{"codec_type":"VP8"}`, `"client_id":"me"`, `"some_new_member":[1]`,
	} {
		sc := newScript(t, testConfig())
		sc.client(`{"type":"connect","role":"sendrecv","channel_id":"room",`+members+`}`, "openmedia")
	}
}

func TestIdsOfTheClientAreKept(t *testing.T) {
	cfg := testConfig()
	cfg.Allow.BundleID = true
	sc := newScript(t, cfg)
	sc.client(`{"type":"connect","role":"sendrecv","channel_id":"room","client_id":"me","bundle_id":"us","signaling_notify_metadata":{"a":1},"metadata":"secret"}`, "openmedia")
	sc.feed(opened, "join room")
	if m := sc.s.Member(); m.ClientID != "me" || m.BundleID != "us" || m.ConnectionID != "SELF" || string(m.NotifyMetadata) != `{"a":1}` {
		t.Errorf("member %+v", m)
	}
}
