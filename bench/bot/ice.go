package bot

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"errors"
	mathrand "math/rand/v2"
	"net/netip"
	"time"

	"github.com/pion/stun/v3"
)

const (
	checkPacing     = 5 * time.Millisecond // between first checks (RFC 8445 section 14.2 allows it)
	firstRetry      = 50 * time.Millisecond
	lastRetry       = 1600 * time.Millisecond
	consentInterval = 2500 * time.Millisecond // of the selected path
	backupInterval  = 10 * time.Second        // of other validated paths
	consentTimeout  = 30 * time.Second        // RFC 7675 section 5.1
	maxTransactions = 256
)

// Path is one pair of a local socket and a candidate of the server, as a test sees it.
type Path struct {
	Socket    int // index of the bot's socket
	Local     netip.AddrPort
	Remote    netip.AddrPort
	Checks    int // requests sent
	Answers   int // authenticated success responses
	Validated bool
	Selected  bool
	Dead      bool // its socket was closed
}

// path is the state behind it.
type path struct {
	Path
	nominate   bool // checks carry USE-CANDIDATE
	nextCheck  time.Time
	retry      time.Duration
	lastAnswer time.Time
}

// transaction is a check whose answer is due.
type transaction struct {
	path     *path
	nominate bool
	sent     time.Time
}

// agent is the least that a controlling full agent needs against an ICE-lite server (RFC
// 8445): it checks its pairs in order, nominates one, and keeps consent. It has no
// goroutine and no socket; its owner's lock guards it.
type agent struct {
	ufrag, password             string // ours
	remoteUfrag, remotePassword string
	tieBreaker                  uint64
	nominateAfter               time.Duration
	aggressive                  bool

	paths        []*path
	selected     *path
	firstValid   time.Time
	nominated    bool // something was nominated, by delay or by hand
	lastConsent  time.Time
	transactions map[[stun.TransactionIDSize]byte]transaction
	counts       ICEStats
}

// ICEStats count what the agent saw.
type ICEStats struct {
	Checks      int // requests sent
	Answers     int // success responses that were ours and authenticated
	Errors      int // error responses, by whatever code
	RoleErrors  int // 487 among them
	Bad         int // responses to nothing, or without integrity
	Asymmetric  int // answers that came from another address than was asked, or to another
	Requests    int // checks from the server, which a lite agent never sends
	Restarts    int // by re-offers with other credentials
	RTT         time.Duration
	ConsentLost bool
}

func newAgent() *agent {
	a := &agent{transactions: make(map[[stun.TransactionIDSize]byte]transaction)}
	a.ufrag, a.password = newCredentials()
	var b [8]byte
	random(b[:])
	a.tieBreaker = binary.BigEndian.Uint64(b[:])
	return a
}

func random(b []byte) {
	if _, err := rand.Read(b); err != nil {
		panic("bot: source of random numbers: " + err.Error())
	}
}

// newCredentials makes a ufrag and a password.
func newCredentials() (ufrag, password string) {
	var b [16]byte
	random(b[:])
	return hex.EncodeToString(b[:4]), hex.EncodeToString(b[4:])
}

// add appends pairs, to be checked one after the other from now.
func (a *agent) add(now time.Time, paths ...Path) {
	for i, p := range paths {
		a.paths = append(a.paths, &path{
			Path: p, nextCheck: now.Add(time.Duration(i) * checkPacing), retry: firstRetry,
		})
	}
}

// restart begins anew with the server's new credentials and new ones of ours. The selected
// path carries on until another one is.
func (a *agent) restart(now time.Time, ufrag, password string) {
	a.counts.Restarts++
	a.remoteUfrag, a.remotePassword = ufrag, password
	a.ufrag, a.password = newCredentials()
	clear(a.transactions)
	a.nominated, a.firstValid = false, time.Time{}
	for i, p := range a.paths {
		p.Validated, p.nominate, p.retry = false, false, firstRetry
		p.nextCheck = now.Add(time.Duration(i) * checkPacing)
	}
}

// current returns the path for media and DTLS: the selected one, before that the first
// validated one; nil if there is none.
func (a *agent) current() *path {
	if a.selected != nil && !a.selected.Dead {
		return a.selected
	}
	for _, p := range a.paths {
		if p.Validated && !p.Dead {
			return p
		}
	}
	return nil
}

// nominatePath makes the agent nominate p from now on.
func (a *agent) nominatePath(now time.Time, p *path) {
	for _, q := range a.paths {
		q.nominate = false
	}
	a.nominated = true
	p.nominate, p.nextCheck, p.retry = true, now, firstRetry
}

// poll sends what is due by send and returns when it wants to be called again.
func (a *agent) poll(now time.Time, send func(p *path, b []byte)) time.Time {
	if !a.aggressive && !a.nominated && !a.firstValid.IsZero() && !now.Before(a.firstValid.Add(a.nominateAfter)) {
		if p := a.current(); p != nil && p.Validated {
			a.nominatePath(now, p)
		}
	}
	next := now.Add(time.Second)
	if !a.aggressive && !a.nominated && !a.firstValid.IsZero() {
		next = earlier(next, a.firstValid.Add(a.nominateAfter))
	}
	for _, p := range a.paths {
		if p.Dead {
			continue
		}
		if !now.Before(p.nextCheck) {
			p.nextCheck = now.Add(p.retry)
			p.retry = min(2*p.retry, lastRetry)
			if b := a.check(now, p); b != nil {
				send(p, b)
			}
		}
		next = earlier(next, p.nextCheck)
	}
	if !a.lastConsent.IsZero() && now.Sub(a.lastConsent) > consentTimeout {
		a.counts.ConsentLost = true
	}
	return next
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// check builds a Binding request (RFC 8445 section 7.2.2).
func (a *agent) check(now time.Time, p *path) []byte {
	if len(a.transactions) >= maxTransactions {
		for id, t := range a.transactions {
			if now.Sub(t.sent) > 2*lastRetry {
				delete(a.transactions, id)
			}
		}
		if len(a.transactions) >= maxTransactions {
			return nil // a dead network: try again when some have expired
		}
	}
	var priority, tie [8]byte
	binary.BigEndian.PutUint32(priority[:], 110<<24|65535<<8|255) // peer reflexive
	binary.BigEndian.PutUint64(tie[:], a.tieBreaker)
	setters := []stun.Setter{
		stun.TransactionID, stun.BindingRequest,
		stun.NewUsername(a.remoteUfrag + ":" + a.ufrag),
		stun.RawAttribute{Type: stun.AttrPriority, Value: priority[:4]},
		stun.RawAttribute{Type: stun.AttrICEControlling, Value: tie[:]},
	}
	if p.nominate || a.aggressive {
		setters = append(setters, stun.RawAttribute{Type: stun.AttrUseCandidate})
	}
	setters = append(setters, stun.NewShortTermIntegrity(a.remotePassword), stun.Fingerprint)
	m, err := stun.Build(setters...)
	if err != nil {
		return nil
	}
	a.transactions[m.TransactionID] = transaction{p, p.nominate, now}
	p.Checks++
	a.counts.Checks++
	return m.Raw
}

// handle takes a STUN message that came in on a socket; it returns an answer if the message
// was a request.
func (a *agent) handle(now time.Time, socket int, from netip.AddrPort, datagram []byte) (reply []byte) {
	m := &stun.Message{Raw: append([]byte(nil), datagram...)}
	if err := m.Decode(); err != nil || m.Type.Method != stun.MethodBinding {
		a.counts.Bad++
		return nil
	}
	switch m.Type.Class {
	case stun.ClassRequest:
		return a.answer(m, from)
	case stun.ClassSuccessResponse, stun.ClassErrorResponse:
		a.response(now, socket, from, m)
	}
	return nil
}

// answer answers a check of a full agent.
func (a *agent) answer(m *stun.Message, from netip.AddrPort) []byte {
	a.counts.Requests++
	integrity := stun.NewShortTermIntegrity(a.password)
	if integrity.Check(m) != nil {
		return nil
	}
	out, err := stun.Build(m, stun.BindingSuccess,
		&stun.XORMappedAddress{IP: from.Addr().AsSlice(), Port: int(from.Port())},
		integrity, stun.Fingerprint)
	if err != nil {
		return nil
	}
	return out.Raw
}

// response takes the answer to one of our checks.
func (a *agent) response(now time.Time, socket int, from netip.AddrPort, m *stun.Message) {
	t, ok := a.transactions[m.TransactionID]
	if !ok {
		a.counts.Bad++
		return
	}
	if m.Type.Class == stun.ClassErrorResponse {
		delete(a.transactions, m.TransactionID)
		a.counts.Errors++
		var code stun.ErrorCodeAttribute
		if code.GetFrom(m) == nil && code.Code == stun.CodeRoleConflict {
			a.counts.RoleErrors++
		}
		return
	}
	if stun.NewShortTermIntegrity(a.remotePassword).Check(m) != nil {
		a.counts.Bad++
		return
	}
	delete(a.transactions, m.TransactionID)
	if t.path.Remote != from || t.path.Socket != socket { // RFC 8445 section 7.2.5.2.1
		a.counts.Asymmetric++
		return
	}
	a.counts.Answers++
	a.counts.RTT = now.Sub(t.sent)
	a.validated(now, t)
}

// validated records a success.
func (a *agent) validated(now time.Time, t transaction) {
	p := t.path
	p.Answers++
	p.Validated, p.lastAnswer, p.retry = true, now, firstRetry
	if a.firstValid.IsZero() {
		a.firstValid = now
	}
	first := a.aggressive && a.selected == nil
	if (first || t.nominate && p.nominate) && a.selected != p {
		if a.selected != nil {
			a.selected.Selected = false
		}
		a.selected, p.Selected = p, true
	}
	if p == a.selected || a.selected == nil {
		a.lastConsent = now
	}
	interval := consentInterval
	if p != a.selected {
		interval = backupInterval
	}
	// Spread by a fifth either way (RFC 7675 section 5.1).
	p.nextCheck = now.Add(time.Duration(float64(interval) * (0.8 + 0.4*mathrand.Float64())))
	if p.nominate && a.selected != p {
		p.nextCheck = now // validated before it was nominated: nominate at once
	}
}

// errNoPath says that no check has been answered yet.
var errNoPath = errors.New("bot: no validated path")
