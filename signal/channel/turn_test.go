package channel_test

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"regexp"
	"testing"
	"testing/synctest"
	"time"

	"tsubame/signal/channel"
)

func TestNotificationsAndTheLogSayWhatCarriesTheMedia(t *testing.T) {
	var log bytes.Buffer // written by sessions that take turns here
	r := newRigOf(t, func(c *channel.Config) { c.Log = slog.New(slog.NewTextHandler(&log, nil)) })
	r.plane.Manual = true
	enter := func(i int, tcp bool) *client {
		c := r.connect("room", "recvonly", "")
		o := c.expect("offer")
		c.id = o.ConnectionID
		c.answer("answer", o.SDP)
		r.plane.Conn(i).Notify(channel.MediaEvent{Kind: channel.MediaEstablished, TCP: tcp})
		return c
	}
	a := enter(0, false)
	if m := a.expect("connection.created"); m.Transport != "udp" {
		t.Errorf("own created over UDP: %q", m.Transport)
	}
	b := enter(1, true)
	if m := b.expect("connection.created"); m.Transport != "tcp" {
		t.Errorf("own created over TCP: %q", m.Transport)
	}
	if m := a.expect("connection.created"); m.ConnectionID != b.id || m.Transport != "tcp" {
		t.Errorf("created of another over TCP: %+v", m)
	}
	b.leave()
	if m := a.expect("connection.destroyed"); m.Transport != "tcp" {
		t.Errorf("destroyed: %q", m.Transport)
	}
	a.leave()
	for id, transport := range map[string]string{a.id: "udp", b.id: "tcp"} {
		if !regexp.MustCompile("established.*" + id + ".* transport=" + transport).MatchString(log.String()) {
			t.Errorf("%s is not said to go by %s in\n%s", id, transport, &log)
		}
	}
}

func TestAClientThatMovesToAnotherTransportIsToldOfSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRigOf(t, func(c *channel.Config) { c.UpdatedInterval = time.Minute })
		c, own := r.join("room", "recvonly", "")
		if own.Transport != "udp" {
			t.Errorf("created: %q", own.Transport)
		}
		r.plane.Conn(0).Notify(channel.MediaEvent{Kind: channel.MediaMoved, TCP: true})
		pass(time.Minute)
		if m := c.expect("connection.updated"); m.Transport != "tcp" {
			t.Errorf("updated: %q", m.Transport)
		}
		r.plane.Conn(0).Notify(channel.MediaEvent{Kind: channel.MediaMoved})
		pass(time.Minute)
		if m := c.expect("connection.updated"); m.Transport != "udp" {
			t.Errorf("updated after it has moved back: %q", m.Transport)
		}
	})
}

// iceServers returns what an offer tells of TURN servers.
func iceServers(t *testing.T, offer message) (out []struct {
	URLs                 []string
	Username, Credential string
}) {
	t.Helper()
	var config struct{ ICEServers json.RawMessage }
	if err := json.Unmarshal(offer.Config, &config); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(config.ICEServers, &out); err != nil || out == nil {
		t.Fatalf("%s: %v", config.ICEServers, err)
	}
	return out
}

func TestEveryConnectionIsToldOfCredentialsOfItsOwn(t *testing.T) {
	urls := []string{"turn:192.0.2.1:3478?transport=udp"}
	r := newRigOf(t, func(c *channel.Config) { c.TURNURLs = func() []string { return urls } })
	first := iceServers(t, r.connect("room", "recvonly", "").expect("offer"))
	urls = []string{"turn:192.0.2.2:3478?transport=udp"} // as after a reload
	second := iceServers(t, r.connect("room", "recvonly", "").expect("offer"))
	if len(first) != 1 || len(second) != 1 || first[0].Username != "user0000" || second[0].Username != "user0001" || first[0].Credential != "turnpassword" {
		t.Fatalf("got %+v and %+v", first, second)
	}
	if first[0].URLs[0] != "turn:192.0.2.1:3478?transport=udp" || second[0].URLs[0] != urls[0] {
		t.Errorf("got %+v and %+v", first, second)
	}
}

func TestWithoutURLsNoClientIsToldOfAServer(t *testing.T) {
	for name, urls := range map[string]func() []string{"TURN is off": nil, "there is no URL": func() []string { return nil }} {
		r := newRigOf(t, func(c *channel.Config) { c.TURNURLs = urls })
		if got := iceServers(t, r.connect("room", "recvonly", "").expect("offer")); len(got) != 0 {
			t.Errorf("%s: %+v", name, got)
		}
	}
}
