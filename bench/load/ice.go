package load

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"time"

	"github.com/pion/stun/v3"

	"tsubame/netio/mono"
)

const (
	firstRetry = 50 * time.Millisecond // between checks before the first answer; doubles
	lastRetry  = 1600 * time.Millisecond
)

// agent is the least that a controlling agent needs against an ICE-lite server (RFC 8445)
// when there is one pair of candidates: each check nominates it, and later ones keep consent
// (RFC 7675). It has no clock and no socket.
type agent struct {
	username   string // the server's ufrag, a colon, and ours
	password   string // the server's
	tieBreaker uint64
	id         [stun.TransactionIDSize]byte // of the check whose answer is awaited
	next       mono.Time
	retry      time.Duration
	selected   bool
	answered   mono.Time
}

// newCredentials makes a ufrag and a password.
func newCredentials() (ufrag, password string) {
	var b [16]byte
	_, _ = rand.Read(b[:]) // it never fails
	return hex.EncodeToString(b[:4]), hex.EncodeToString(b[4:])
}

func newAgent(remoteUfrag, remotePassword, ufrag string) agent {
	var b [8]byte
	_, _ = rand.Read(b[:])
	return agent{
		username: remoteUfrag + ":" + ufrag, password: remotePassword,
		tieBreaker: binary.BigEndian.Uint64(b[:]), retry: firstRetry,
	}
}

// check returns the next check and notes when another is due.
func (a *agent) check(now mono.Time) ([]byte, error) {
	role := binary.BigEndian.AppendUint64(nil, a.tieBreaker)
	m, err := stun.Build(stun.TransactionID, stun.BindingRequest,
		stun.NewUsername(a.username),
		stun.RawAttribute{Type: stun.AttrPriority, Value: []byte{0x6e, 0, 0x1e, 0xff}},
		stun.RawAttribute{Type: stun.AttrICEControlling, Value: role},
		stun.RawAttribute{Type: stun.AttrUseCandidate},
		stun.NewShortTermIntegrity(a.password), stun.Fingerprint)
	if err != nil {
		return nil, err
	}
	a.id = m.TransactionID
	if a.selected {
		a.next = now.Add(consentInterval)
	} else {
		a.next = now.Add(a.retry)
		a.retry = min(2*a.retry, lastRetry)
	}
	return m.Raw, nil
}

// answer takes a STUN message and reports whether it is the first good answer.
func (a *agent) answer(now mono.Time, datagram []byte) (first bool) {
	m := stun.Message{Raw: datagram}
	if m.Decode() != nil || m.Type != stun.BindingSuccess || m.TransactionID != a.id {
		return false
	}
	if stun.NewShortTermIntegrity(a.password).Check(&m) != nil {
		return false
	}
	a.answered = now
	first = !a.selected
	if first {
		a.selected = true
		a.next = now.Add(consentInterval)
	}
	return first
}

// lost reports whether consent has run out.
func (a *agent) lost(now mono.Time) bool {
	return a.selected && now.Sub(a.answered) >= consentTimeout
}
