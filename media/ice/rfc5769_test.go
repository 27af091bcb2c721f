package ice

import (
	"bytes"
	"crypto/md5"
	"encoding/hex"
	"net/netip"
	"strings"
	"testing"

	"github.com/pion/stun/v3"

	"tsubame/netio/flow"
	"tsubame/turnsrv/stunwire"
)

// The sample messages of RFC 5769, all with the password of its section 2 but the last.
const (
	rfcPassword = "VOkJxbRl1RmTxUk/WvJxBt"

	rfcRequest = `
		00 01 00 58 21 12 a4 42 b7 e7 a7 01 bc 34 d6 86 fa 87 df ae
		80 22 00 10 53 54 55 4e 20 74 65 73 74 20 63 6c 69 65 6e 74
		00 24 00 04 6e 00 01 ff
		80 29 00 08 93 2f f9 b1 51 26 3b 36
		00 06 00 09 65 76 74 6a 3a 68 36 76 59 20 20 20
		00 08 00 14 9a ea a7 0c bf d8 cb 56 78 1e f2 b5 b2 d3 f2 49 c1 b5 71 a2
		80 28 00 04 e5 7a 3b cf`

	rfcResponse4 = `
		01 01 00 3c 21 12 a4 42 b7 e7 a7 01 bc 34 d6 86 fa 87 df ae
		80 22 00 0b 74 65 73 74 20 76 65 63 74 6f 72 20
		00 20 00 08 00 01 a1 47 e1 12 a6 43
		00 08 00 14 2b 91 f5 99 fd 9e 90 c3 8c 74 89 f9 2a f9 ba 53 f0 6b e7 d7
		80 28 00 04 c0 7d 4c 96`

	rfcResponse6 = `
		01 01 00 48 21 12 a4 42 b7 e7 a7 01 bc 34 d6 86 fa 87 df ae
		80 22 00 0b 74 65 73 74 20 76 65 63 74 6f 72 20
		00 20 00 14 00 02 a1 47 01 13 a9 fa a5 d3 f1 79 bc 25 f4 b5 be d2 b9 d9
		00 08 00 14 a3 82 95 4e 4b e6 7b f1 17 84 c9 7c 82 92 c2 75 bf e3 ed 41
		80 28 00 04 c8 fb 0b 4c`

	rfcLongTerm = `
		00 01 00 60 21 12 a4 42 78 ad 34 33 c6 ad 72 c0 29 da 41 2e
		00 06 00 12 e3 83 9e e3 83 88 e3 83 aa e3 83 83 e3 82 af e3 82 b9 00 00
		00 15 00 1c 66 2f 2f 34 39 39 6b 39 35 34 64 36 4f 4c 33 34 6f 4c 39 46 53 54 76 79 36 34 73 41
		00 14 00 0b 65 78 61 6d 70 6c 65 2e 6f 72 67 00
		00 08 00 14 f6 70 24 65 6d d6 4a 3e 02 b8 e0 71 2e 85 c9 a2 8c a8 96 66`
)

// unhex decodes hexadecimal digits with white space between them.
func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(s), ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// RFC 5769 section 2.1.
func TestSampleRequestParsesAndVerifies(t *testing.T) {
	var c Codec
	msg := unhex(t, rfcRequest)
	r, err := c.Parse(msg)
	if err != nil {
		t.Fatal(err)
	}
	if string(r.LocalUfrag) != "evtj" || string(r.RemoteUfrag) != "h6vY" {
		t.Errorf("USERNAME read as %q : %q", r.LocalUfrag, r.RemoteUfrag)
	}
	if r.Priority != 0x6e0001ff || r.TieBreaker != 0x932ff9b151263b36 || !bytes.Equal(r.TxID[:], msg[8:20]) {
		t.Errorf("wrong values: %+v", r)
	}
	if !r.Controlled || r.Controlling || r.UseCandidate {
		t.Errorf("wrong flags: %+v", r)
	}
	if !c.Verify(rfcPassword) {
		t.Error("the right password was refused")
	}
	if c.Verify(rfcPassword + "x") {
		t.Error("a wrong password was accepted")
	}
}

// RFC 5769 sections 2.2 and 2.3. Our own answers have no SOFTWARE, so these are put together
// from the parts that AppendSuccess uses.
func TestSampleResponsesAreWrittenByteForByte(t *testing.T) {
	for addr, want := range map[string]string{
		"192.0.2.1:32853": rfcResponse4,
		"[2001:db8:1234:5678:11:2233:4455:6677]:32853": rfcResponse6,
	} {
		var c Codec
		wire := unhex(t, want)
		req := Request{TxID: [12]byte(wire[8:20])}
		got := stunwire.AppendHeader(nil, typeSuccess, &req.TxID)
		got = stunwire.AppendAttr(got, stun.AttrSoftware, 11)
		got = append(got, "test vector "...)
		ap := netip.MustParseAddrPort(addr)
		got = stunwire.AppendAddress(got, 0, stun.AttrXORMappedAddress, flow.AddrOf(ap.Addr()), ap.Port())
		got = stunwire.AppendIntegrity(&c.mac, got, 0, rfcPassword)
		got = stunwire.AppendFingerprint(got, 0)
		if !bytes.Equal(got, wire) {
			t.Errorf("%s:\n got %x\nwant %x", addr, got, wire)
		}
	}
}

// RFC 5769 section 2.4: its integrity is right under the long-term key, and as a check it is
// refused for want of a FINGERPRINT.
func TestSampleLongTermRequestHasRightIntegrityAndNoFingerprint(t *testing.T) {
	var c Codec
	msg := unhex(t, rfcLongTerm)
	if _, err := c.Parse(msg); err != ErrMalformed {
		t.Errorf("Parse: %v", err) // USERNAME without a colon comes before the missing FINGERPRINT
	}
	key := md5.Sum([]byte("マトリックス:example.org:TheMatrIX"))
	mi := len(msg) - attrHeaderLen - stunwire.IntegrityLen
	if got := stunwire.Sum(&c.mac, string(key[:]), msg[:mi], nil); !bytes.Equal(got, msg[mi+attrHeaderLen:]) {
		t.Errorf("HMAC %x, want %x", got, msg[mi+attrHeaderLen:])
	}
}
