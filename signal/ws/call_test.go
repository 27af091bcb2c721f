package ws

import "testing"

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
