package load

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/pion/stun/v3"

	"tsubame/netio/mono"
)

// TURN says what carries a client's media to the server.
type TURN string

// The ways. All but Direct go through the TURN server that an offer tells of.
const (
	Direct  TURN = ""
	TURNUDP TURN = "udp"
	TURNTCP TURN = "tcp"
	TURNTLS TURN = "tls"
)

// stream reports whether it is a stream of bytes that carries the media.
func (t TURN) stream() bool { return t == TURNTCP || t == TURNTLS }

// check refuses what is none of the ways.
func (t TURN) check() error {
	if !slices.Contains([]TURN{Direct, TURNUDP, TURNTCP, TURNTLS}, t) {
		return fmt.Errorf("load: TURN by %q, which is none of udp, tcp and tls", t)
	}
	return nil
}

// ICEServer is one of the servers that an offer tells of.
type ICEServer struct {
	URLs       []string `json:"urls"`
	Username   string   `json:"username"`
	Credential string   `json:"credential"`
}

// Relaying is what a Signaling is besides whose server tells of TURN servers.
type Relaying interface {
	// ICEServers returns those of the first offer, once that has come.
	ICEServers() []ICEServer
}

// turnServer is one URL and its credentials.
type turnServer struct {
	host                 string // a name or an address
	port                 uint16
	username, credential string
}

// turnServerOf returns the first of the servers for a way; by UDP, the first that has an IPv4
// address or a name, as the clients' sockets have no other.
func turnServerOf(all []ICEServer, way TURN) (turnServer, error) {
	for _, one := range all {
		for _, text := range one.URLs {
			u, err := stun.ParseURI(text)
			if err != nil || u.Port <= 0 || u.Port >= 1<<16 {
				continue
			}
			by := Direct
			switch {
			case u.Scheme == stun.SchemeTypeTURNS && u.Proto == stun.ProtoTypeTCP:
				by = TURNTLS
			case u.Scheme == stun.SchemeTypeTURN && u.Proto == stun.ProtoTypeTCP:
				by = TURNTCP
			case u.Scheme == stun.SchemeTypeTURN && u.Proto == stun.ProtoTypeUDP:
				by = TURNUDP
			}
			host := strings.Trim(u.Host, "[]")
			if ip, err := netip.ParseAddr(host); by != way || way == TURNUDP && err == nil && !ip.Is4() {
				continue
			}
			return turnServer{host, uint16(u.Port), one.Username, one.Credential}, nil
		}
	}
	return turnServer{}, fmt.Errorf("load: the offer has no TURN server by %s", way)
}

const (
	relayChannel = 0x4000 // of the one channel that an allocation has

	// As often as libwebrtc asks: lifetimes are 5 minutes of a permission and 10 of a channel
	// (RFC 8656 sections 9 and 12), and what the server says of an allocation.
	permissionInterval = 4 * time.Minute
	channelInterval    = 9 * time.Minute
	refreshMargin      = time.Minute
	allocationLifetime = 10 * time.Minute // if the server does not say

	relayRetry    = 500 * time.Millisecond // RFC 8489 section 6.2.1; doubles
	relayTries    = 7                      // likewise
	maxChallenges = 3                      // for one task, of which two are needed when a nonce has just ended
)

var errNoRelay = errors.New("load: the TURN server does not answer")

// task is what a relay asks the server for.
type task int

const (
	allocate task = iota
	permit
	bind
	refresh
	tasks
)

var methods = [tasks]stun.Method{stun.MethodAllocate, stun.MethodCreatePermission, stun.MethodChannelBind, stun.MethodRefresh}

// relay is a TURN client (RFC 8656) with one allocation, and a permission and a channel in it for
// one peer, the server's candidate. It asks for one thing at a time and keeps all of them alive.
// It has no clock; a stream is the only thing that it owns.
type relay struct {
	peer                         netip.AddrPort
	username, credential         string
	realm, nonce                 string
	integrity                    stun.MessageIntegrity
	carrier                      *carrier // nil: media goes by UDP
	ready                        bool     // the channel is bound
	at                           [tasks]mono.Time
	now                          task // what was asked for last
	waiting                      bool // for the answer
	id                           [stun.TransactionIDSize]byte
	request                      []byte
	again                        mono.Time // when to send it again
	retry                        time.Duration
	tries, challenges            int
	allocated, answered, refused int // answers, for tests and errors
}

// newRelay makes one that has asked for nothing yet.
func newRelay(server turnServer, peer netip.AddrPort, c *carrier) *relay {
	r := &relay{peer: peer, username: server.username, credential: server.credential, carrier: c}
	for t := range r.at {
		r.at[t] = never
	}
	r.at[allocate] = 0
	return r
}

const never = mono.Time(1<<63 - 1)

// next returns what is to be sent at now; nil: nothing. It is valid until the next call.
func (r *relay) next(now mono.Time) ([]byte, error) {
	if !r.waiting {
		if r.now = r.first(); now < r.at[r.now] {
			return nil, nil
		}
		if err := r.ask(); err != nil {
			return nil, err
		}
		r.waiting, r.tries, r.retry, r.again = true, 0, relayRetry, now
	}
	switch {
	case now < r.again:
		return nil, nil
	case r.tries == relayTries:
		return nil, errNoRelay
	case r.carrier != nil && r.tries > 0: // nothing is lost
		r.again, r.tries = now.Add(joinTimeout), relayTries
		return nil, nil
	}
	r.tries++
	r.again = now.Add(r.retry)
	r.retry *= 2
	return r.request, nil
}

// first returns the task that is due first.
func (r *relay) first() task {
	least := allocate
	for t := range tasks {
		if r.at[t] < r.at[least] {
			least = t
		}
	}
	return least
}

// ask makes the request for the task.
func (r *relay) ask() error {
	all := []stun.Setter{stun.TransactionID, stun.NewType(methods[r.now], stun.ClassRequest)}
	switch r.now {
	case allocate:
		const udp = 17
		all = append(all, stun.RawAttribute{Type: stun.AttrRequestedTransport, Value: []byte{udp, 0, 0, 0}})
	case permit:
		all = append(all, peerOf(r.peer))
	case bind:
		all = append(all, stun.RawAttribute{Type: stun.AttrChannelNumber, Value: []byte{relayChannel >> 8, relayChannel & 0xff, 0, 0}}, peerOf(r.peer))
	}
	if r.nonce != "" {
		all = append(all, stun.NewUsername(r.username), stun.NewRealm(r.realm), stun.NewNonce(r.nonce), r.integrity)
	}
	m, err := stun.Build(append(all, stun.Fingerprint)...)
	if err != nil {
		return err
	}
	r.request, r.id = m.Raw, m.TransactionID
	return nil
}

// peerOf is XOR-PEER-ADDRESS.
type peerOf netip.AddrPort

func (p peerOf) AddTo(m *stun.Message) error {
	a := netip.AddrPort(p)
	return stun.XORMappedAddress{IP: a.Addr().AsSlice(), Port: int(a.Port())}.AddToAs(m, stun.AttrXORPeerAddress)
}

// answer takes a STUN message of the TURN server; all but the answer that is waited for are
// ignored. The error is the end of the relay.
func (r *relay) answer(now mono.Time, b []byte) error {
	m := stun.Message{Raw: b}
	if !r.waiting || m.Decode() != nil || m.TransactionID != r.id || m.Type.Method != methods[r.now] {
		return nil
	}
	switch m.Type.Class {
	case stun.ClassErrorResponse:
		r.waiting = false
		return r.refusal(now, &m)
	case stun.ClassSuccessResponse:
		if r.integrity.Check(&m) == nil {
			r.waiting = false
			r.success(now, &m)
		}
	}
	return nil
}

// refusal takes a nonce, the first or another, and asks again with that.
func (r *relay) refusal(now mono.Time, m *stun.Message) error {
	var code stun.ErrorCodeAttribute
	if err := code.GetFrom(m); err != nil {
		return fmt.Errorf("load: TURN: %w", err)
	}
	r.refused++
	var realm stun.Realm
	var nonce stun.Nonce
	known := realm.GetFrom(m) == nil && nonce.GetFrom(m) == nil
	if challenge := code.Code == stun.CodeUnauthorized || code.Code == stun.CodeStaleNonce; !challenge || !known || r.challenges == maxChallenges {
		return fmt.Errorf("load: TURN: %v was refused with %d %s", methods[r.now], code.Code, code.Reason)
	}
	r.challenges++
	r.realm, r.nonce = realm.String(), nonce.String()
	r.integrity = stun.NewLongTermIntegrity(r.username, r.realm, r.credential)
	r.at[r.now] = now
	return nil
}

// success notes what the server has granted, and when to ask for it again.
func (r *relay) success(now mono.Time, m *stun.Message) {
	r.challenges = 0
	r.answered++
	switch r.now {
	case allocate:
		r.allocated++
		r.at[allocate], r.at[permit], r.at[refresh] = never, now, now.Add(untilRefresh(m))
	case permit:
		r.at[permit] = now.Add(permissionInterval)
		if !r.ready {
			r.at[bind] = now
		}
	case bind:
		r.at[bind], r.ready = now.Add(channelInterval), true
	case refresh:
		r.at[refresh] = now.Add(untilRefresh(m))
	}
}

// untilRefresh is how long after an answer the allocation it is about wants to be refreshed.
func untilRefresh(m *stun.Message) time.Duration {
	life := allocationLifetime
	if v, err := m.Get(stun.AttrLifetime); err == nil && len(v) == 4 {
		life = time.Duration(binary.BigEndian.Uint32(v)) * time.Second
	}
	return max(life-refreshMargin, cmp.Or(life/2, time.Second))
}

// close frees what the relay owns.
func (r *relay) close() {
	if r.carrier != nil {
		r.carrier.close()
	}
}
