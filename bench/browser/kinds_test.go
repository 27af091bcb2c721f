//go:build browser

package browser

import (
	"testing"
	"time"
)

// no is for the members of wish that are nil or false.
var no = new(bool)

// requireNothingOf fails if media of this kind of a connection have arrived.
func (c *client) requireNothingOf(kind, id string) {
	c.t.Helper()
	r := c.report().Remote[id]
	m := map[string]*media{"audio": r.Audio, "video": r.Video}[kind]
	if m != nil && m.Packets > 0 {
		c.t.Errorf("%s gets %s of %s, which it must not: %+v", c.name, kind, id, m)
	}
}

func TestSDKAudioOnlyAndVideoOnly(t *testing.T) {
	besideChurn(t)
	s, b := newScene(t), sharedChromium(t)
	speaker, camera, viewer := s.client(b, "speaker", 1), s.client(b, "camera", 7), s.client(b, "viewer", 0)
	viewer.join("recvonly")
	speaker.joinWith("sendonly", options{"video": false}, wish{})
	camera.joinWith("sendonly", options{"audio": false, "videoCodecType": "VP8"}, wish{})
	viewer.requireAudio(speaker.id)
	viewer.requireVideoFrom(camera)
	viewer.requireNothingOf("video", speaker.id)
	viewer.requireNothingOf("audio", camera.id)
	for _, c := range []*client{speaker, camera} {
		sent := c.report().Sent
		if (sent.Audio != nil) != (c == speaker) || (sent.Video != nil) != (c == camera) {
			t.Errorf("%s sends %+v", c.name, sent)
		}
	}
}

// What a viewer says of audio and video is what it wants to have, whatever there is.
func TestSDKViewerWithoutAKind(t *testing.T) {
	besideChurn(t)
	s, b := newScene(t), sharedChromium(t)
	both, speaker, camera := s.client(b, "both", 2), s.client(b, "speaker", 4), s.client(b, "camera", 6)
	viewer := s.client(b, "viewer", 0)
	both.joinWith("sendonly", options{"videoCodecType": "VP8"}, small)
	speaker.joinWith("sendonly", options{"video": false}, wish{})
	camera.joinWith("sendonly", options{"audio": false, "videoCodecType": "VP8"}, small)

	// No video, and two of three publishers have audio.
	viewer.joinWith("recvonly", options{"video": false}, wish{})
	viewer.requireAudio(both.id)
	viewer.requireAudio(speaker.id)
	viewer.requireOnly(both.id, speaker.id)
	viewer.requireNothingOf("video", both.id)
	viewer.requireNothingOf("video", camera.id)
	viewer.leave()

	// No audio, and two of three have video.
	viewer.joinWith("recvonly", options{"audio": false}, wish{})
	viewer.requireVideoFrom(both)
	viewer.requireVideoFrom(camera)
	viewer.requireOnly(both.id, camera.id)
	viewer.requireNothingOf("audio", both.id)
	viewer.requireNothingOf("audio", speaker.id)

	// What is left for this viewer is nobody; the last of them comes back.
	both.leave()
	camera.leave()
	viewer.requireOnly()
	camera.joinWith("sendonly", options{"audio": false, "videoCodecType": "VP8"}, small)
	viewer.requireVideoFrom(camera)
	viewer.requireOnly(camera.id)
}

// For who sends and receives, audio and video say what it sends: it receives what the
// others have all the same.
func TestSDKSendrecvOfDifferentKinds(t *testing.T) {
	besideChurn(t)
	s, b := newScene(t), sharedChromium(t)
	speaker, camera := s.client(b, "speaker", 3), s.client(b, "camera", 5)
	speaker.joinWith("sendrecv", options{"video": false}, wish{})
	camera.joinWith("sendrecv", options{"audio": false, "videoCodecType": "VP8"}, wish{})
	speaker.requireVideoFrom(camera)
	camera.requireAudio(speaker.id)
	speaker.requireNothingOf("audio", camera.id)
	camera.requireNothingOf("video", speaker.id)
	for _, c := range []*client{speaker, camera} {
		if sent := c.report().Sent; (sent.Audio != nil) != (c == speaker) || (sent.Video != nil) != (c == camera) {
			t.Errorf("%s sends %+v", c.name, sent)
		}
	}
}

// The SDK answers with its own section, but has nothing to put into it yet.
func TestSDKPictureThatComesLater(t *testing.T) {
	besideChurn(t)
	s, b := newScene(t), sharedChromium(t)
	publisher, viewer := s.client(b, "publisher", 6), s.client(b, "viewer", 0)
	publisher.joinWith("sendonly", options{"videoCodecType": "VP8"}, wish{Video: no})
	viewer.join("recvonly")
	// A <video> without a picture does not play the sound either, so that it has no energy.
	eventually(t, arriveTimeout, "the sound arrives", func() (bool, any) {
		a := viewer.report().Remote[publisher.id].Audio
		return a != nil && a.Packets > 50, a
	})
	viewer.requireNothingOf("video", publisher.id)
	publisher.run("rig.addPicture(6)")
	viewer.requireVideoFrom(publisher)
}

// A reload says no good-bye, but it closes the WebSocket: the others need not wait
// for the consent to run out.
func TestSDKReloadOfATab(t *testing.T) {
	besideChurn(t)
	const atOnce = 3 * time.Second
	s, b := newScene(t), sharedChromium(t)
	stays, reloads := s.client(b, "stays", 1), s.client(b, "reloads", 6)
	stays.join("sendrecv")
	reloads.join("sendrecv")
	stays.requireArrivesFrom(reloads)
	reloads.requireArrivesFrom(stays)
	for range 2 {
		old := reloads.id
		reloads.reload()
		if n := stays.requireNotify(atOnce, "connection.destroyed", old); n.ChannelConnections != 1 {
			t.Errorf("after the reload there are %d connections", n.ChannelConnections)
		}
		stays.requireOnly()
		reloads.join("sendrecv")
		if reloads.id == old {
			t.Errorf("the connection id %s is used again", old)
		}
		stays.requireArrivesFrom(reloads)
		reloads.requireArrivesFrom(stays)
		stays.requireOnly(reloads.id)
		reloads.requireOnly(stays.id)
	}
}
