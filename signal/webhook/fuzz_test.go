package webhook

import (
	"bytes"
	"encoding/json"
	"errors"
	"testing"
	"unicode/utf8"

	"tsubame/signal/sora"
)

func FuzzAuthAnswer(f *testing.F) {
	for _, c := range everyAuthMember {
		f.Add([]byte(allowedWith(c.members)))
	}
	for _, body := range brokenBodies {
		if len(body) < 2000 {
			f.Add([]byte(body))
		}
	}
	for name := range authMembers {
		f.Add([]byte(allowedWith(`"` + name + `":{"bit_rate":1,"a":[]}`)))
	}
	f.Add([]byte(`{"allowed":false,"reason":"\ud83d\ude00 あああああああああああああああああああああああああああああああああああああああああああああああああああああああああ"}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		a, err := ParseAuthAnswer(body)
		if wrong(t, err) {
			return
		}
		if !json.Valid(body) {
			t.Fatalf("took %q, which is no JSON", body)
		}
		bounded(t, a.Kept, a.Warnings)
		if a.Allowed == (a.Reason != "") || len(a.Reason) > MaxReason || !utf8.ValidString(a.Reason) {
			t.Fatalf("allowed %v, reason %q", a.Allowed, a.Reason)
		}
		ranges(t, a)
		shown(t, body, a)
		if g, err := ParseGrants(body); err != nil || g.Allowed != a.Allowed || g.ClientID != a.ClientID {
			t.Fatalf("as a token's: %+v, %v", g, err)
		}
	})
}

func FuzzSessionAnswer(f *testing.F) {
	for _, body := range []string{``, ` `, `{}`, `{"session_metadata":[1],"max_connections":1,"group_id":"g","spotlight_number":3}`, `{"trial_max_connections":0}`} {
		f.Add([]byte(body))
	}
	for name := range sessionMembers {
		f.Add([]byte(`{"` + name + `":{"a":[]}}`))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		a, err := ParseSessionAnswer(body)
		if wrong(t, err) {
			return
		}
		bounded(t, a.Kept, a.Warnings)
		if a.MaxConnections < 0 || a.MaxConnections > maxSessionConnections || len(a.GroupID) > 255 || a.SpotlightNumber < 0 || a.SpotlightNumber > 8 {
			t.Fatalf("%+v", a)
		}
		if a.SessionMetadata != nil && !json.Valid(a.SessionMetadata) {
			t.Fatalf("%q", a.SessionMetadata)
		}
	})
}

// wrong checks an error, and reports whether there is one.
func wrong(t *testing.T, err error) bool {
	var e *Error
	if err != nil && (!errors.As(err, &e) || e.Detail == "" || len(e.Member)+len(e.Detail) > 1024) {
		t.Fatalf("%#v", err)
	}
	return err != nil
}

func bounded(t *testing.T, kept []byte, warnings []string) {
	if !json.Valid(kept) || len(kept) > MaxAnswer || bytes.ContainsAny(kept, "\r\n") {
		t.Fatalf("kept %q", kept)
	}
	if len(warnings) > MaxWarnings {
		t.Fatalf("%d warnings", len(warnings))
	}
	for _, w := range warnings {
		if len(w) > 5*maxName {
			t.Fatalf("warning of %d bytes", len(w))
		}
	}
}

func ranges(t *testing.T, a *AuthAnswer) {
	if len(a.ClientID) > 255 || len(a.BundleID) > 255 || len(a.TURNFQDN) > 253 || len(a.TURNTLSFQDN) > 253 {
		t.Fatalf("too long: %+v", a)
	}
	if a.AudioBitrate > 510000 || a.VideoBitrate > 50000000 || a.ConnectionLifetime < 0 || a.CreatedTimeout < 0 {
		t.Fatalf("out of range: %+v", a)
	}
	if a.IPv4.IsValid() && !a.IPv4.Is4() || a.IPv6.IsValid() && !a.IPv6.Is6() {
		t.Fatalf("addresses %v, %v", a.IPv4, a.IPv6)
	}
}

// shown checks what others are sent because of an answer.
func shown(t *testing.T, body []byte, a *AuthAnswer) {
	var want map[string]json.RawMessage
	if err := json.Unmarshal(body, &want); err != nil {
		t.Fatal(err)
	}
	for name, got := range map[string][]byte{
		"metadata": a.Metadata, "event_metadata": a.EventMetadata,
		"signaling_notify_metadata": a.NotifyMetadata, "signaling_notify_metadata_ext": a.NotifyMetadataExt,
	} {
		if raw := want[name]; a.Allowed && string(raw) != "null" && !bytes.Equal(raw, got) {
			t.Fatalf("%s: %q, encoding/json reads %q", name, got, raw)
		}
	}
	e := ConnectionEvent{Common: Common{Type: ConnectionCreated}, Role: sora.SendRecv, ClientID: a.ClientID, EventMetadata: a.EventMetadata}
	line := e.Append(nil)
	var read any
	if err := json.Unmarshal(line, &read); err != nil || bytes.ContainsAny(line, "\r\n") {
		t.Fatalf("%v: %s", err, line)
	}
}
