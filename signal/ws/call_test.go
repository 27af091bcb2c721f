package ws

import (
	"testing"
	"time"

	"tsubame/signal/channel"
	"tsubame/signal/session"
)

func TestTwoClientsInOneChannel(t *testing.T) {
	r := newRig(t).start()
	a, own := r.join("sendrecv", `,"signaling_notify_metadata":{"name":"a"}`)
	if own.Connections != 1 || own.Data == nil || len(own.Data) != 0 || own.ConnectionID != a.id {
		t.Errorf("own created: %+v", own)
	}
	b, own := r.join("sendrecv", "")
	if own.Connections != 2 || len(own.Data) != 1 || own.Data[0].ConnectionID != a.id || string(own.Data[0].Authn) != `{"name":"a"}` {
		t.Errorf("own created: %+v", own)
	}
	// The streams come before the notification.
	re := a.expect("re-offer")
	if created := a.expect("connection.created"); created.ConnectionID != b.id || created.Connections != 2 || created.Data != nil {
		t.Errorf("created: %+v", created)
	}
	a.answer("re-answer", re.SDP)
	r.eventually("a receives b", func() bool { _, s, _ := r.plane.Conn(0).Snapshot(); return len(s) == 2 })
	b.write(`{"type":"disconnect","reason":"NO-ERROR"}`)
	b.expectClose(1000, "TYPE-DISCONNECT")
	re = a.expect("re-offer")
	a.answer("re-answer", re.SDP)
	if destroyed := a.expect("connection.destroyed"); destroyed.ConnectionID != b.id || destroyed.Connections != 1 {
		t.Errorf("destroyed: %+v", destroyed)
	}
	a.write(`{"type":"disconnect"}`)
	a.expectClose(1000, "TYPE-DISCONNECT")
}

func TestASocketThatVanishesEndsTheConnection(t *testing.T) {
	r := newRig(t).start()
	a, _ := r.join("recvonly", "")
	b, _ := r.join("sendonly", "")
	a.expect("re-offer")
	a.expect("connection.created")
	b.conn.CloseNow()
	if destroyed := a.expect("connection.destroyed"); destroyed.ConnectionID != b.id {
		t.Errorf("destroyed: %+v", destroyed)
	}
	r.eventually("the media connection is closed", func() bool { return r.plane.OpenConns() == 1 })
}

func TestMediaThatEndsClosesTheSocket(t *testing.T) {
	r := newRig(t).start()
	a, _ := r.join("recvonly", "")
	b, _ := r.join("sendonly", "")
	a.expect("re-offer")
	a.expect("connection.created")
	r.plane.Conn(1).Notify(channel.MediaEvent{Kind: channel.MediaClosed, Reason: session.MediaConsentLost})
	b.expectClose(4490, "CONSENT-LOST")
	if destroyed := a.expect("connection.destroyed"); destroyed.ConnectionID != b.id {
		t.Errorf("destroyed: %+v", destroyed)
	}
	r.plane.Conn(0).Notify(channel.MediaEvent{Kind: channel.MediaClosed, Reason: session.MediaDTLSClosed})
	a.expectClose(1000, "PEER-CLOSED")
}

func TestTimeoutsCloseWithTheirReasons(t *testing.T) {
	t.Run("connect", func(t *testing.T) {
		r := newRig(t)
		r.session.ConnectTimeout = 50 * time.Millisecond
		r.start().dial().expectClose(4490, "CONNECT-WAIT-TIMEOUT-ERROR")
	})
	t.Run("answer", func(t *testing.T) {
		r := newRig(t)
		r.session.AnswerTimeout = 50 * time.Millisecond
		c := r.start().dial()
		c.write(`{"type":"connect","channel_id":"room","role":"recvonly"}`)
		c.expectClose(4490, "ANSWER-TIMEOUT-ERROR")
	})
	t.Run("established", func(t *testing.T) {
		r := newRig(t)
		r.plane.Manual = true
		r.session.CreatedTimeout = 50 * time.Millisecond
		c := r.start().dial()
		c.write(`{"type":"connect","channel_id":"room","role":"recvonly"}`)
		c.answer("answer", c.expect("offer").SDP)
		c.expectClose(4490, "CONNECTION-CREATED-WAIT-TIMEOUT-ERROR")
	})
	t.Run("pong", func(t *testing.T) {
		r := newRig(t)
		r.session.PingInterval, r.session.PongTimeout = 20*time.Millisecond, 3*time.Second
		c, _ := r.start().join("recvonly", "")
		for range 5 {
			c.expect("ping")
			c.write(`{"type":"pong","stats":[{"id":"a","type":"codec","timestamp":1}]}`)
		}
		c.expect("ping")
		c.expectClose(4490, "PONG-TIMEOUT-ERROR")
	})
}

func TestShutdownClosesEverySession(t *testing.T) {
	r := newRig(t).start()
	silent := r.dial()
	a, _ := r.join("sendrecv", "")
	b, _ := r.join("recvonly", "")
	shut := make(chan error)
	go func() { shut <- r.shutdown() }()
	a.expectClose(1000, "SHUTDOWN")
	b.expectClose(1000, "SHUTDOWN")
	if _, err := silent.read(); err == nil {
		t.Error("a socket without connect is still open")
	}
	if err := <-shut; err != nil {
		t.Errorf("shutdown: %v", err)
	}
	if resp := r.get("/signaling"); resp != 503 {
		t.Errorf("status %d after shutdown", resp)
	}
}

func TestAFullServerRefuses(t *testing.T) {
	r := newRig(t)
	r.maxConnections = 1
	r.start().join("recvonly", "")
	c := r.dial()
	c.write(`{"type":"connect","channel_id":"room","role":"recvonly"}`)
	c.expectClose(4490, "SERVER-FULL")
}

func TestAFullMediaPlaneRefuses(t *testing.T) {
	r := newRig(t)
	r.plane.MaxConns = 1
	r.start().join("recvonly", "")
	c := r.dial()
	c.write(`{"type":"connect","channel_id":"room","role":"recvonly"}`)
	c.expectClose(4490, "SERVER-FULL")
}
