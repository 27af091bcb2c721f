package turnsrv

import (
	"crypto/hmac"
	"crypto/md5"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"hash"
	"time"

	"tsubame/netio/flow"
	"tsubame/netio/mono"
)

// LongTermKey is the key of long-term credentials (RFC 8489 section 9.2.2). Our usernames and
// passwords are plain ASCII without spaces, which OpaqueString (RFC 8265) leaves as they are; a
// realm is taken as it is written.
func LongTermKey(username, realm, password string) [16]byte {
	return md5.Sum([]byte(username + ":" + realm + ":" + password))
}

// A nonce is the second in which it was made and a MAC of that and of the client's address and
// port, as 16 characters. So we keep nothing for who has only asked, and what one client was
// given is of no use from anywhere else (row TURN-05). 64 bits of MAC are enough: a forger has
// one guess a datagram, and a nonce alone opens nothing.
const (
	nonceTime = 4
	nonceMAC  = 8
	nonceRaw  = nonceTime + nonceMAC
	nonceLen  = nonceRaw / 3 * 4
)

// nonces makes and checks nonces. It is scratch space for one goroutine.
type nonces struct {
	mac      hash.Hash
	lifetime time.Duration
	input    [nonceTime + 16 + 2]byte
	sum      [sha256.Size]byte
	raw      [nonceRaw]byte
	text     [nonceLen]byte
}

func (n *nonces) init(secret [32]byte, lifetime time.Duration) {
	n.mac, n.lifetime = hmac.New(sha256.New, secret[:]), lifetime
}

// make returns a nonce for who is behind k, valid until the next call.
func (n *nonces) make(now mono.Time, k flow.Key) []byte {
	n.fill(uint32(now/mono.Time(time.Second)), k)
	base64.RawURLEncoding.Encode(n.text[:], n.raw[:])
	return n.text[:]
}

// valid reports whether nonce was made for who is behind k and has not expired.
func (n *nonces) valid(now mono.Time, k flow.Key, nonce []byte) bool {
	if len(nonce) != nonceLen {
		return false
	}
	// Line ends are skipped by the decoder: then there is less than a nonce.
	if size, err := base64.RawURLEncoding.Strict().Decode(n.raw[:], nonce); err != nil || size != nonceRaw {
		return false
	}
	var claimed [nonceMAC]byte
	copy(claimed[:], n.raw[nonceTime:])
	made := binary.BigEndian.Uint32(n.raw[:])
	n.fill(made, k)
	if subtle.ConstantTimeCompare(claimed[:], n.raw[nonceTime:]) != 1 {
		return false
	}
	age := now.Sub(mono.Time(made) * mono.Time(time.Second))
	return age >= 0 && age < n.lifetime
}

// fill makes raw.
func (n *nonces) fill(second uint32, k flow.Key) {
	binary.BigEndian.PutUint32(n.input[:], second)
	copy(n.input[nonceTime:], k.Remote[:])
	binary.BigEndian.PutUint16(n.input[nonceTime+16:], k.Port)
	n.mac.Reset()
	n.mac.Write(n.input[:])
	n.mac.Sum(n.sum[:0])
	binary.BigEndian.PutUint32(n.raw[:], second)
	copy(n.raw[nonceTime:], n.sum[:nonceMAC])
}
