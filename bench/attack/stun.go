package attack

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"fmt"

	"github.com/pion/stun/v3"
)

// Credentials are those of one connection, as its offer names them.
type Credentials struct{ Ufrag, Password string }

// randomText returns n hexadecimal digits.
func randomText(n int) string {
	b := make([]byte, (n+1)/2)
	if _, err := rand.Read(b); err != nil {
		panic("attack: source of random numbers: " + err.Error())
	}
	return hex.EncodeToString(b)[:n]
}

// Check returns a connectivity check as a controlling agent sends it (RFC 8445 section
// 7.2.2), with a transaction of its own. Without Nominate it validates a path only.
func Check(c Credentials, nominate bool) []byte {
	setters := []stun.Setter{
		stun.TransactionID, stun.BindingRequest,
		stun.NewUsername(c.Ufrag + ":" + randomText(8)),
		stun.RawAttribute{Type: stun.AttrPriority, Value: []byte{0x6e, 0, 1, 0xff}},
		stun.RawAttribute{Type: stun.AttrICEControlling, Value: []byte(randomText(8))},
	}
	if nominate {
		setters = append(setters, stun.RawAttribute{Type: stun.AttrUseCandidate})
	}
	return build(append(setters, stun.NewShortTermIntegrity(c.Password), stun.Fingerprint)...)
}

// ShortestCheck returns the shortest request that still has all that a server asks of one: the
// one that any answer to it amplifies the most.
func ShortestCheck(c Credentials) []byte {
	return build(stun.TransactionID, stun.BindingRequest, stun.NewUsername(c.Ufrag+":a"),
		stun.NewShortTermIntegrity(c.Password), stun.Fingerprint)
}

// PlainBinding returns the request that any STUN server answers: without credentials.
func PlainBinding() []byte { return build(stun.TransactionID, stun.BindingRequest, stun.Fingerprint) }

func build(setters ...stun.Setter) []byte {
	m, err := stun.Build(setters...)
	if err != nil {
		panic(fmt.Sprintf("attack: a STUN message that cannot be: %v", err))
	}
	return m.Raw
}

// UnknownUfrags returns n well-formed checks whose user fragments nobody was given: some like
// the genuine one but for the end, some of other lengths, and one that is the genuine one and
// more. Their integrity is good under passwords that nobody was given either.
func UnknownUfrags(n int, genuine string) [][]byte {
	out := make([][]byte, n)
	for i := range out {
		ufrag := ""
		switch i % 4 {
		case 0: // the same place in the server's table, and another secret
			kept := len(genuine) / 2
			ufrag = genuine[:kept] + randomText(len(genuine)-kept)
		case 1:
			ufrag = randomText(len(genuine))
		case 2:
			ufrag = randomText(1 + i%256)
		case 3:
			ufrag = genuine + randomText(1+i%8)
		}
		out[i] = Check(Credentials{ufrag, randomText(24)}, i%2 == 0)
	}
	return out
}

// WrongIntegrity returns n checks with the genuine user fragment, signed with other passwords:
// random ones, and ones that differ from the genuine one in its first or last byte only.
func WrongIntegrity(n int, genuine Credentials) [][]byte {
	out := make([][]byte, n)
	for i := range out {
		password := []byte(genuine.Password)
		switch i % 3 {
		case 0:
			password = []byte(randomText(len(password)))
		case 1:
			password[0] ^= 1
		case 2:
			password[len(password)-1] ^= 1
		}
		c := Credentials{genuine.Ufrag, string(password)}
		if out[i] = Check(c, i%2 == 0); i%8 == 7 {
			out[i] = ShortestCheck(c)
		}
	}
	return out
}

// Unsolicited returns n responses and indications to no request of the target's: successes and
// errors, signed and unsigned, and indications.
func Unsolicited(n int, genuine Credentials) [][]byte {
	out := make([][]byte, n)
	for i := range out {
		mapped := &stun.XORMappedAddress{IP: []byte{127, 0, 0, 1}, Port: i % 65536}
		integrity := stun.NewShortTermIntegrity(genuine.Password)
		switch i % 4 {
		case 0:
			out[i] = build(stun.TransactionID, stun.BindingSuccess, mapped, integrity, stun.Fingerprint)
		case 1:
			out[i] = build(stun.TransactionID, stun.BindingSuccess, mapped)
		case 2:
			out[i] = build(stun.TransactionID, stun.BindingError, stun.CodeRoleConflict, integrity, stun.Fingerprint)
		case 3:
			out[i] = build(stun.TransactionID, stun.NewType(stun.MethodBinding, stun.ClassIndication), stun.Fingerprint)
		}
	}
	return out
}

// IsSuccess reports whether b is a success response to request, signed with the password.
func IsSuccess(b, request []byte, password string) bool {
	m := &stun.Message{Raw: append([]byte(nil), b...)}
	if m.Decode() != nil || m.Type != stun.BindingSuccess || len(request) < 20 {
		return false
	}
	return string(m.TransactionID[:]) == string(request[8:20]) &&
		stun.NewShortTermIntegrity(password).Check(m) == nil
}

// InTurn returns a Next of Flood that goes through the datagrams again and again, n in all; 0
// means without end. Each time round the transaction ids (if they are STUN) stay the same:
// nothing on the way of a datagram that is dropped may depend on them.
func InTurn(datagrams [][]byte, n int) func(i int) []byte {
	return func(i int) []byte {
		if n > 0 && i >= n {
			return nil
		}
		return datagrams[i%len(datagrams)]
	}
}

// Records returns DTLS datagrams as strangers send them: ClientHellos with the suites given,
// alerts, application data, records of later epochs, and handshake records that lie about
// their length.
func Records() [][]byte {
	record := func(kind byte, epoch uint16, body []byte) []byte {
		b := []byte{kind, 0xfe, 0xfd}
		b = binary.BigEndian.AppendUint16(b, epoch)
		b = append(b, 0, 0, 0, 0, 0, 1)
		b = binary.BigEndian.AppendUint16(b, uint16(len(body)))
		return append(b, body...)
	}
	const changeCipherSpec, alert, handshake, data = 20, 21, 22, 23
	lying := record(handshake, 0, make([]byte, 40))
	binary.BigEndian.PutUint16(lying[11:], 0xffff)
	return [][]byte{
		record(handshake, 0, clientHello(0xc0, 0x2b)), // ECDHE_ECDSA, AES-128-GCM
		record(handshake, 0, clientHello(0x00, 0x00)), // no cipher at all
		record(handshake, 0, clientHello(0x00, 0x2f)), // RSA, AES-128-CBC
		record(alert, 0, []byte{2, 40}),               // fatal, handshake_failure
		record(alert, 0, []byte{1, 0}),                // warning, close_notify
		record(changeCipherSpec, 0, []byte{1}),
		record(data, 0, []byte("in the clear")),
		record(data, 1, make([]byte, 64)),
		record(handshake, 7, make([]byte, 64)),
		record(63, 0, make([]byte, 16)),
		lying,
		{handshake},
	}
}

// clientHello returns a handshake message (RFC 6347 section 4.2) that offers one suite.
func clientHello(suite ...byte) []byte {
	body := []byte{0xfe, 0xfd}
	body = append(body, make([]byte, 32)...) // random
	body = append(body, 0, 0)                // no session, no cookie
	body = append(body, 0, byte(len(suite)))
	body = append(body, suite...)
	body = append(body, 1, 0) // compression: none
	// use_srtp (RFC 5764 section 4.1.1): AEAD_AES_128_GCM, no MKI.
	body = append(body, 0, 9, 0, 14, 0, 5, 0, 2, 0, 7, 0)
	length := []byte{byte(len(body) >> 16), byte(len(body) >> 8), byte(len(body))}
	b := append([]byte{1}, length...)
	b = append(b, 0, 0) // message 0
	b = append(b, 0, 0, 0)
	b = append(b, length...) // one fragment
	return append(b, body...)
}
