package ice

import (
	"encoding/binary"
	"testing"

	"github.com/pion/stun/v3"

	"tsubame/turnsrv/stunwire"
)

const (
	testUfrag    = "ABCDefghIJKL"
	testPassword = "0123456789abcdefghijklmn"
	testUsername = testUfrag + ":peer"
)

// attr is one attribute of a message that a test puts together.
type attr struct {
	typ   stun.AttrType
	value string
}

// Attributes that most tests need.
var (
	attrUsername  = attr{stun.AttrUsername, testUsername}
	attrPriority  = attr{stun.AttrPriority, "\x6e\x7f\x1e\xff"}
	attrControl   = attr{stun.AttrICEControlling, "\x01\x02\x03\x04\x05\x06\x07\x08"}
	attrNominate  = attr{stun.AttrUseCandidate, ""}
	attrIntegrity = attr{stun.AttrMessageIntegrity, ""} // signed in its place
	attrFinger    = attr{stun.AttrFingerprint, ""}      // computed in its place
)

// build puts together a message of type typ with attributes in that order. An integrity or
// fingerprint without a value gets the right one for its place.
func build(typ uint16, password string, attrs ...attr) []byte {
	var c Codec
	req := Request{TxID: [12]byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}}
	msg := stunwire.AppendHeader(nil, typ, &req.TxID)
	for _, a := range attrs {
		switch {
		case a == attrIntegrity:
			msg = stunwire.AppendIntegrity(&c.mac, msg, 0, password)
		case a == attrFinger:
			msg = stunwire.AppendFingerprint(msg, 0)
		default:
			msg = stunwire.AppendAttr(msg, a.typ, len(a.value))
			msg = append(msg, a.value...)
			msg = append(msg, "   "[:-len(a.value)&3]...)
		}
	}
	stunwire.SetLength(msg, 0)
	return msg
}

// browserCheck is what a browser sends to nominate: attributes in Chromium's order.
func browserCheck(t testing.TB, password string) []byte {
	t.Helper()
	return build(typeRequest, password,
		attrUsername,
		attr{0xC057, "\x00\x01\x00\x0a"}, // GOOG-NETWORK-INFO
		attrControl, attrNominate, attrPriority, attrIntegrity, attrFinger)
}

// refit makes the length field and the fingerprint of msg right again after a change.
func refit(msg []byte) []byte {
	msg = msg[:len(msg)-attrHeaderLen-stunwire.FingerprintLen]
	binary.BigEndian.PutUint16(msg[2:], uint16(len(msg)-headerLen))
	return stunwire.AppendFingerprint(msg, 0)
}
