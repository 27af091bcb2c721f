package entry

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"encoding/binary"
	"encoding/hex"
	"io"
	"net"
	"strings"
	"testing"
)

// tap keeps what a connection of a test has read and written.
type tap struct {
	net.Conn
	in, out bytes.Buffer
	edit    func([]byte) []byte // of the first write
}

func (c *tap) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.in.Write(b[:n])
	return n, err
}

func (c *tap) Write(b []byte) (int, error) {
	sent := b
	if c.edit != nil && c.out.Len() == 0 {
		sent = c.edit(bytes.Clone(b))
	}
	c.out.Write(b)
	if _, err := c.Conn.Write(sent); err != nil {
		return 0, err
	}
	return len(b), nil
}

// prf12 is the pseudorandom function of TLS 1.2 (RFC 5246 section 5).
func prf12(secret []byte, label string, seed []byte, n int) []byte {
	mac := func(parts ...[]byte) []byte {
		h := hmac.New(sha256.New, secret)
		for _, p := range parts {
			h.Write(p)
		}
		return h.Sum(nil)
	}
	seed = append([]byte(label), seed...)
	var out []byte
	for a := mac(seed); len(out) < n; a = mac(a) {
		out = append(out, mac(a, seed)...)
	}
	return out[:n]
}

// A client of TLS 1.2 that asks for another handshake inside its session is cut off: there
// is nothing that it could make us compute again and again (RFC 5246 section 7.4.1.2).
//
// Row TURN-13.
func TestRenegotiationEndsTheConnection(t *testing.T) {
	r := start(t, Config{})
	var keys bytes.Buffer
	cfg := r.client("turn.example.com", "stun.turn")
	cfg.MaxVersion, cfg.CipherSuites = tls.VersionTLS12, []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256}
	cfg.KeyLogWriter = &keys
	line := &tap{Conn: r.dial(r.tls, nil)}
	c := tls.Client(line, cfg)
	if err := c.Handshake(); err != nil {
		t.Fatal(err)
	}
	r.count("entry_turn_streams", 1)

	// The connection's keys (RFC 5246 section 6.3), and behind the Finished message, which
	// was our first record, a second one: the ClientHello again.
	master, err := hex.DecodeString(strings.Fields(keys.String())[2])
	if err != nil {
		t.Fatal(err)
	}
	const randomAt = 5 + 4 + 2 // record header, message header, version
	ours, theirs := line.out.Bytes()[randomAt:][:32], line.in.Bytes()[randomAt:][:32]
	block := prf12(master, "key expansion", append(bytes.Clone(theirs), ours...), 2*16+2*4)
	aead, err := aes.NewCipher(block[:16])
	if err != nil {
		t.Fatal(err)
	}
	gcm, err := cipher.NewGCM(aead)
	if err != nil {
		t.Fatal(err)
	}
	size := binary.BigEndian.Uint16(line.out.Bytes()[3:])
	hello := line.out.Bytes()[5:][:size]
	sequence := binary.BigEndian.AppendUint64(nil, 1)
	additional := binary.BigEndian.AppendUint16(append(bytes.Clone(sequence), 22, 3, 3), size)
	sealed := gcm.Seal(bytes.Clone(sequence), append(bytes.Clone(block[32:36]), sequence...), hello, additional)
	record := append(binary.BigEndian.AppendUint16([]byte{22, 3, 3}, uint16(len(sealed))), sealed...)
	if _, err := line.Conn.Write(record); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the stream ends", func() bool { return len(r.streams.ended()) == 1 })
	// Had the record been a wrong one, this would be bad_record_mac.
	if err := r.streams.ended()[0]; err == nil || !strings.Contains(err.Error(), "clientHelloMsg") {
		t.Errorf("the stream ended with %v, want that a ClientHello was unexpected", err)
	}
	if _, err := c.Read(make([]byte, 1)); err == nil || err == io.EOF || !strings.Contains(err.Error(), "unexpected message") {
		t.Errorf("the client was told %v, want unexpected_message", err)
	}
}

// withEarlyData adds the extension early_data to a ClientHello, as its first one.
func withEarlyData(record []byte) []byte {
	const fixed = 5 + 4 + 2 + 32
	at := fixed + 1 + int(record[fixed])                // session id
	at += 2 + int(binary.BigEndian.Uint16(record[at:])) // cipher suites
	at += 1 + int(record[at])                           // compression methods
	grow := func(b []byte, n uint16) { binary.BigEndian.PutUint16(b, binary.BigEndian.Uint16(b)+n) }
	grow(record[3:], 4)  // of the record
	grow(record[7:], 4)  // of the message, whose length has 24 bits
	grow(record[at:], 4) // of the extensions
	return append(append(bytes.Clone(record[:at+2]), 0, 42, 0, 0), record[at+2:]...)
}

// We never say that we take early data, so that nothing that is replayed can be acted upon;
// who sends some all the same is refused.
//
// Row TURN-13.
func TestEarlyDataIsRefused(t *testing.T) {
	r := start(t, Config{})
	line := &tap{Conn: r.dial(r.tls, nil), edit: withEarlyData}
	err := tls.Client(line, r.client("turn.example.com")).Handshake()
	if err == nil || !strings.Contains(err.Error(), "unsupported extension") {
		t.Errorf("%v, want the alert unsupported_extension", err)
	}
	r.count("entry_tls_failed", 1)
}

// Garbage behind a good first record, and frames whose lengths lie, end in crypto/tls.
//
// Rows TURN-09 and TURN-13.
func TestBrokenRecordsEndTheConnection(t *testing.T) {
	r := start(t, Config{})
	hello := clientHello(t, r.client("turn.example.com"))
	for name, b := range map[string][]byte{
		"message length of 16 MiB":  append([]byte("\x16\x03\x01\x00\x04\x01\xff\xff\xff"), hello...),
		"record beyond its maximum": append(append(bytes.Clone(hello), "\x16\x03\x03\xff\xff"...), make([]byte, 100)...),
		"ClientHello cut short":     append([]byte("\x16\x03\x01\x00\x06\x01\x00\x00\x02\x03\x03"), hello...),
	} {
		nc := r.dial(r.tls, b)
		if _, err := io.ReadAll(nc); err != nil {
			if late, ok := err.(net.Error); ok && late.Timeout() {
				t.Errorf("%s: the connection was not closed", name)
			}
		}
	}
	r.count("entry_tls_failed", 3)
}
