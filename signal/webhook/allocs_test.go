//go:build !race

package webhook

// The race detector allocates on its own: allocations are counted without it.

import (
	"strings"
	"testing"

	"tsubame/signal/sora"
)

func TestBodiesAllocateNothingWhereThereIsRoom(t *testing.T) {
	room := make([]byte, 0, 16384)
	session := &SessionEvent{Common: common(SessionDestroyed), Created: at, Destroyed: at, Connections: []SessionConnection{{Media: everyParam}}}
	log := &ConnectionLog{Timestamp: at, Created: at, Media: everyParam, Client: Client{SoraClient: "Sora C++ SDK 2025.2.1 (b2f0a9e4)"}, LocalStats: counted}
	for name, appendTo := range map[string]func([]byte) []byte{
		"auth":       (&AuthRequest{Common: common(""), Role: sora.SendRecv, Media: everyParam, Metadata: []byte("{\n}")}).Append,
		"session":    session.Append,
		"connection": connectionEvent(ConnectionDestroyed).Append,
		"failed":     connectionEvent(ConnectionFailed).Append,
		"stats":      (&StatsEvent{Common: common(ConnectionRTCStats), RTCStats: []byte("[\n]")}).Append,
		"log":        log.Append,
	} {
		if n := testing.AllocsPerRun(20, func() { appendTo(room) }); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

func TestABodyIsAppendedInOnePiece(t *testing.T) {
	e := connectionEvent(ConnectionDestroyed)
	e.EventMetadata = []byte(`"` + strings.Repeat("x", 60000) + `"`)
	if n := testing.AllocsPerRun(20, func() { e.Append(nil) }); n > 1 {
		t.Errorf("%v allocations", n)
	}
	session := &SessionEvent{Common: common(SessionDestroyed), Connections: make([]SessionConnection, 100)}
	for i := range session.Connections {
		c := &session.Connections[i]
		*c = SessionConnection{ClientID: sora.NewID(), BundleID: sora.NewID(), ConnectionID: sora.NewID(), Created: at, Destroyed: at,
			Media: everyParam, EventMetadata: []byte(`"` + strings.Repeat("x", 200) + `"`)}
	}
	if n := testing.AllocsPerRun(50, func() { session.Append(nil) }); n > 1 {
		t.Errorf("a session of 100 connections: %v allocations", n)
	}
}
