package rtx

import (
	"bytes"
	"errors"
	"testing"
)

// payloads are whole RTX payloads as RFC 4588 section 4 draws them.
var payloads = []struct {
	name    string
	wire    string
	osn     uint16
	payload string
}{
	{"VP8 packet 0x1234", "\x12\x34\x90\x80\x01\x9d\x01\x2a", 0x1234, "\x90\x80\x01\x9d\x01\x2a"},
	{"sequence number 0", "\x00\x00\xff", 0, "\xff"},
	{"the last one before the wrap", "\xff\xff\x00", 0xffff, "\x00"},
	{"high byte first", "\x00\x01\x02\x03", 1, "\x02\x03"},
	{"an empty original payload", "\xab\xcd", 0xabcd, ""},
}

func TestPayloadFormat(t *testing.T) {
	for _, c := range payloads {
		osn, payload, err := ParsePayload([]byte(c.wire))
		if err != nil || osn != c.osn || string(payload) != c.payload {
			t.Errorf("%s: parsed %#x, %x, %v", c.name, osn, payload, err)
		}
		got := AppendPayload([]byte("header"), c.osn, []byte(c.payload))
		if string(got) != "header"+c.wire {
			t.Errorf("%s: appended %x, want %x", c.name, got, c.wire)
		}
	}
}

// Row RTP-17.
func TestPayloadWithoutAnOriginalSequenceNumberIsAnError(t *testing.T) {
	for _, b := range [][]byte{nil, {}, {0x12}} {
		if osn, payload, err := ParsePayload(b); !errors.Is(err, ErrShort) || osn != 0 || payload != nil {
			t.Errorf("%x: parsed %#x, %x, %v", b, osn, payload, err)
		}
	}
}

// Every truncation is an error or the same packet with less of its payload: the format has
// no length of its own.
func TestTruncatedPayloads(t *testing.T) {
	for _, c := range payloads {
		for n := range len(c.wire) {
			osn, payload, err := ParsePayload([]byte(c.wire)[:n:n])
			if n < OSNSize {
				if err == nil {
					t.Errorf("%s: %d bytes parsed", c.name, n)
				}
			} else if err != nil || osn != c.osn || string(payload) != c.payload[:n-OSNSize] {
				t.Errorf("%s: %d bytes parsed as %#x, %x, %v", c.name, n, osn, payload, err)
			}
		}
	}
}

func FuzzParsePayload(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{1})
	for _, c := range payloads {
		f.Add([]byte(c.wire))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		osn, payload, err := ParsePayload(b)
		if (err != nil) != (len(b) < OSNSize) {
			t.Fatalf("%d bytes: %v", len(b), err)
		}
		if err == nil && !bytes.Equal(AppendPayload(nil, osn, payload), b) {
			t.Fatalf("%x does not survive a round trip", b)
		}
	})
}
