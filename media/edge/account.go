package edge

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"sync/atomic"

	"tsubame/turnsrv"
)

// account is what a connection's client shows to the TURN server: a name and a password that
// nobody had before, and that are good for as long as the connection lives (rows TURN-06,
// TURN-08). The name says which connection it is, so that nothing has to be searched.
type account struct {
	random   [8]byte  // of the name: nobody guesses it, so that nobody learns who is here
	password [16]byte // 128 bits
	key      atomic.Pointer[[16]byte]
	book     turnsrv.Book
}

// The name is 16 bytes in letters: the connection's index, its serial, random.
const accountBytes = 16

var accountText = base64.RawURLEncoding.Strict()

func (a *account) draw() {
	var raw [len(a.random) + len(a.password)]byte
	rand.Read(raw[:]) // never fails (crypto/rand)
	copy(a.random[:], raw[:])
	copy(a.password[:], raw[len(a.random):])
}

// TURNCredentials returns the long-term credentials (RFC 8489 section 9.2) that the peer may
// make TURN allocations with. They are this connection's alone, and die with it.
func (c *Conn) TURNCredentials() (username, password string) {
	var raw [accountBytes]byte
	binary.BigEndian.PutUint32(raw[:], c.index)
	binary.BigEndian.PutUint32(raw[4:], c.serial)
	copy(raw[8:], c.account.random[:])
	return accountText.EncodeToString(raw[:]), accountText.EncodeToString(c.account.password[:])
}

// byUsername returns the connection that a TURN username names, while it lives. It changes
// nothing and allocates nothing: anybody may ask.
func (p *Plane) byUsername(username []byte) *Conn {
	var raw [accountBytes]byte
	if len(username) != accountText.EncodedLen(accountBytes) {
		return nil
	}
	if n, err := accountText.Decode(raw[:], username); err != nil || n != accountBytes {
		return nil
	}
	i := binary.BigEndian.Uint32(raw[:])
	if int(i) >= len(p.slots) {
		return nil
	}
	c := p.slots[i].conn.Load()
	if c == nil || c.serial != binary.BigEndian.Uint32(raw[4:]) || c.dead.Load() || c.shut.Load() {
		return nil
	}
	if subtle.ConstantTimeCompare(raw[8:], c.account.random[:]) != 1 {
		return nil
	}
	return c
}

// turnKey returns the key that the client signs with, which is made when it is asked for first:
// most connections of a server that hands out host candidates never use TURN.
func (c *Conn) turnKey(realm string) [16]byte {
	if k := c.account.key.Load(); k != nil {
		return *k
	}
	username, password := c.TURNCredentials()
	k := turnsrv.LongTermKey(username, realm, password)
	c.account.key.Store(&k)
	return k
}
