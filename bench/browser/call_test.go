//go:build browser

package browser

import (
	"strings"
	"testing"
)

func TestSDKSendrecvOfTwo(t *testing.T) {
	besideChurn(t)
	s, b := newScene(t), sharedChromium(t)
	red, blue := s.client(b, "red", 0), s.client(b, "blue", 5)
	red.join("sendrecv")
	if n := red.requireNotify(arriveTimeout, "connection.created", red.id); n.ChannelConnections != 1 {
		t.Errorf("the first is told of %d connections", n.ChannelConnections)
	}
	blue.join("sendrecv")
	if n := red.requireNotify(arriveTimeout, "connection.created", blue.id); n.ChannelConnections != 2 || n.Role != "sendrecv" {
		t.Errorf("the first is told of the second: %+v", n)
	}
	red.requireArrivesFrom(blue)
	blue.requireArrivesFrom(red)
	red.requireOnly(blue.id)
	blue.requireOnly(red.id)

	blue.leave()
	if n := red.requireNotify(arriveTimeout, "connection.destroyed", blue.id); n.ChannelConnections != 1 {
		t.Errorf("after one has left there are %d connections", n.ChannelConnections)
	}
	red.requireOnly()
	red.leave()
}

func TestSDKSendrecvOfThree(t *testing.T) {
	besideChurn(t)
	s, b := newScene(t), sharedChromium(t)
	all := []*client{s.client(b, "red", 0), s.client(b, "green", 3), s.client(b, "blue", 5)}
	for _, c := range all {
		c.join("sendrecv")
	}
	for i, c := range all {
		others := []*client{all[(i+1)%3], all[(i+2)%3]}
		c.requireOnly(others[0].id, others[1].id)
		for _, other := range others {
			c.requireArrivesFrom(other)
		}
	}
	all[1].leave()
	all[0].requireOnly(all[2].id)
	all[2].requireOnly(all[0].id)
	// Those who stay are not disturbed by the renegotiation.
	all[0].requireArrivesFrom(all[2])
	all[2].requireArrivesFrom(all[0])
}

func TestSDKSendonlyToRecvonly(t *testing.T) {
	besideChurn(t)
	s, b := newScene(t), sharedChromium(t)
	publisher, viewer := s.client(b, "publisher", 1), s.client(b, "viewer", 0)
	publisher.join("sendonly")
	viewer.join("recvonly")
	viewer.requireArrivesFrom(publisher)
	if r := publisher.report(); len(r.Remote) != 0 || len(r.Tiles) != 0 {
		t.Errorf("a sendonly client receives %+v", r)
	}
	if r := viewer.report(); r.Sent.Video != nil || r.Sent.Audio != nil {
		t.Errorf("a recvonly client sends %+v", r.Sent)
	}
}

func TestSDKViewerFirstAndPublisherLater(t *testing.T) {
	besideChurn(t)
	s, b := newScene(t), sharedChromium(t)
	publisher, viewer := s.client(b, "publisher", 2), s.client(b, "viewer", 0)
	viewer.join("recvonly")
	viewer.requireOnly()
	publisher.join("sendonly")
	viewer.requireArrivesFrom(publisher)
	viewer.requireOnly(publisher.id)
}

// A viewer that comes when the publisher's first key frame is long gone gets a new one.
func TestSDKLateJoinerGetsAKeyFrame(t *testing.T) {
	besideChurn(t)
	s, b := newScene(t), sharedChromium(t)
	publisher, early, late := s.client(b, "publisher", 4), s.client(b, "early viewer", 0), s.client(b, "late viewer", 0)
	publisher.join("sendonly")
	early.join("recvonly")
	early.requireArrivesFrom(publisher)
	eventually(t, arriveTimeout, "a hundred frames behind the key frame", func() (bool, any) {
		v := early.report().Remote[publisher.id].Video
		return v.FramesDecoded > 100, v
	})
	before := publisher.report().Sent.Video.PLIs
	late.join("recvonly")
	late.requireArrivesFrom(publisher)
	if v := late.report().Remote[publisher.id].Video; v.KeyFrames == 0 {
		t.Errorf("the late viewer has decoded no key frame: %+v", v)
	}
	if after := publisher.report().Sent.Video.PLIs; after == before {
		t.Errorf("the publisher was not asked for a key frame: %d PLIs before and after", after)
	}
	early.requireArrivesFrom(publisher)
}

// One viewer stays while publishers come and go: released sections are used again
// and every re-offer parses.
func TestSDKJoinLeaveJoinJoinLeave(t *testing.T) {
	besideChurn(t)
	s, b := newScene(t), sharedChromium(t)
	viewer := s.client(b, "viewer", 0)
	one, two := s.client(b, "one", 3), s.client(b, "two", 6)
	viewer.join("recvonly")

	one.join("sendrecv")
	viewer.requireArrivesFrom(one)
	one.leave()
	viewer.requireOnly()

	one.join("sendrecv")
	two.join("sendrecv")
	viewer.requireOnly(one.id, two.id)
	viewer.requireArrivesFrom(one)
	viewer.requireArrivesFrom(two)
	one.requireArrivesFrom(two)

	one.leave()
	viewer.requireOnly(two.id)
	viewer.requireArrivesFrom(two)
	two.leave()
	viewer.requireOnly()
	viewer.leave()
}

// What clients say of themselves reaches the others, those before and those after them.
func TestSDKTellsWhoIsThere(t *testing.T) {
	besideChurn(t)
	s, b := newScene(t), sharedChromium(t)
	one, two := s.client(b, "one", 1), s.client(b, "two", 2)
	one.joinWith("recvonly", options{"clientId": "client one", "signalingNotifyMetadata": map[string]any{"name": "Ichi 一"}}, wish{})
	two.joinWith("recvonly", options{"clientId": "client two", "signalingNotifyMetadata": "ni"}, wish{})

	n := one.requireNotify(arriveTimeout, "connection.created", two.id)
	if n.ClientID != "client two" || n.AuthnMetadata != "ni" || n.ChannelConnections != 2 {
		t.Errorf("the first is told of the second: %+v", n)
	}
	own := two.requireNotify(arriveTimeout, "connection.created", two.id)
	if len(own.Data) != 1 || own.Data[0].ConnectionID != one.id || own.Data[0].ClientID != "client one" ||
		jsValue(own.Data[0].AuthnMetadata) != `{"name":"Ichi 一"}` {
		t.Errorf("the second is told who is there: %+v", own.Data)
	}
	if first := one.requireNotify(arriveTimeout, "connection.created", one.id); len(first.Data) != 0 ||
		first.SessionID != own.SessionID || len(own.SessionID) != 26 {
		t.Errorf("the first is told %+v, the second %+v", first, own)
	}
	one.leave()
	n = two.requireNotify(arriveTimeout, "connection.destroyed", one.id)
	if n.ClientID != "client one" || jsValue(n.AuthnMetadata) != `{"name":"Ichi 一"}` || n.ChannelConnections != 1 {
		t.Errorf("the second is told that the first has left: %+v", n)
	}
}

// The SDK opens a WebSocket to each address that it is given, keeps one and closes the
// others without a word.
func TestSDKWithSeveralAddresses(t *testing.T) {
	besideChurn(t)
	s, b := newScene(t), sharedChromium(t)
	one, two := s.client(b, "one", 3), s.client(b, "two", 6)
	here := s.server.SignalingURL()
	for _, c := range []*client{one, two} {
		script := c.joinScript("sendrecv", options{"videoCodecType": "VP8"}, small)
		several := jsValue([]string{"ws://127.0.0.1:1/signaling", here, here, here})
		c.id = eval[string](c.tab, strings.Replace(script, jsString(here), several, 1))
		c.requireID()
	}
	one.requireVideoFrom(two)
	two.requireVideoFrom(one)
	one.requireOnly(two.id)
}
