package turnsrv

import (
	"cmp"
	"time"

	"tsubame/netio/flow"
	"tsubame/netio/mono"
	"tsubame/turnsrv/stunwire"
)

// Bounds of what a Config may say, and of answers.
const (
	// MaxRealm keeps the answer to the smallest Allocate, 28 bytes, within three times that.
	MaxRealm = 32
	// MaxSoftware keeps every answer within MaxResponse.
	MaxSoftware = 32
	// MaxResponse is the room that an answer may need: that to an Allocate has 20 bytes of
	// header, 72 of IPv6 addresses, 16 of lifetime and error code, 36 of SOFTWARE, 24 of
	// integrity and 8 of fingerprint, and every other has less.
	MaxResponse = 256
)

// Config is fixed for the life of a Server. Zero durations and numbers mean the default.
type Config struct {
	Realm    string   // 1 to MaxRealm bytes
	Software string   // of answers to who has shown credentials; at most MaxSoftware bytes
	Secret   [32]byte // of nonces: random, one a process, the same for all its shards

	DefaultLifetime time.Duration // of an allocation; 10 minutes (RFC 8656 section 3.2)
	MaxLifetime     time.Duration // of an allocation that asks for more; 1 hour
	NonceLifetime   time.Duration // 10 minutes

	Allocations int // of this server at a time; 16,384. One more is refused with 508.
	Rate        int // answers a second to one source that has proven nothing, and as many to its Bindings; 64
	Burst       int // how many of those at once; 256
}

// withDefaults fills in what is zero.
func (c Config) withDefaults() Config {
	c.DefaultLifetime = cmp.Or(c.DefaultLifetime, 10*time.Minute)
	c.MaxLifetime = cmp.Or(c.MaxLifetime, time.Hour)
	c.NonceLifetime = cmp.Or(c.NonceLifetime, 10*time.Minute)
	c.Allocations = cmp.Or(c.Allocations, 1<<14)
	c.Rate = cmp.Or(c.Rate, 64)
	c.Burst = cmp.Or(c.Burst, 256)
	return c
}

// check panics if the caller has made a mistake.
func (c Config) check() {
	switch {
	case c.Realm == "" || len(c.Realm) > MaxRealm:
		panic("turnsrv: no realm, or one that is too long")
	case len(c.Software) > MaxSoftware:
		panic("turnsrv: the software's name is too long")
	case c.Secret == [32]byte{}:
		panic("turnsrv: no secret for nonces")
	case c.DefaultLifetime < time.Second || c.MaxLifetime < c.DefaultLifetime || c.NonceLifetime < time.Second:
		panic("turnsrv: lifetimes out of order")
	case c.Allocations < 0 || c.Rate < 0 || c.Burst < 0:
		panic("turnsrv: negative bounds")
	}
}

// Account is what a username leads to: the one-time credentials of one connection.
type Account struct {
	Connection, Serial uint32   // name the connection; equal pairs are one connection
	Key                [16]byte // LongTermKey of username, realm and password
	Book               *Book    // the connection's, shared by all shards
}

// Lookup finds the account of a username. It reports false if there is none or its connection
// has ended. It must not keep username.
type Lookup func(username []byte) (Account, bool)

// Outcome says what the caller of Handle has to do.
type Outcome uint8

// The outcomes.
const (
	Dropped Outcome = iota // nothing
	Reply                  // send the first Size bytes of out to where the message came from
	Data                   // take Payload as a datagram that came by Path
)

// Result is what became of a message.
type Result struct {
	Outcome Outcome
	Reason  Reason
	Size    int      // of the reply
	Path    flow.Key // of the data
	Payload []byte   // a view into the message, never empty if there is data
	Evicted bool     // a stale allocation has given way to the one made: other servers are to Purge
}

// drop is the result of what is not answered.
func drop(r Reason) Result { return Result{Outcome: Dropped, Reason: r} }

// Server is the TURN server of one shard.
type Server struct {
	Counters Counters

	// Ended, if it is set, is told of the flow of each allocation that ends, for whatever reason:
	// it is released, its time is over, it has given way to another, or its connection has ended.
	// It is called from within the server's methods, after the fact, and may call Serves only.
	Ended func(k flow.Key)

	cfg     Config
	lookup  Lookup
	mac     stunwire.MAC
	nonces  nonces
	sources sources
	peers   peers
	table   table
}

// NewServer makes a server without addresses: until SetAddresses every Allocate is refused with
// 440. It panics if cfg has no secret, no realm, a text that is too long or negative numbers.
func NewServer(cfg Config, lookup Lookup) *Server {
	cfg = cfg.withDefaults()
	cfg.check()
	s := &Server{cfg: cfg, lookup: lookup}
	s.nonces.init(cfg.Secret, cfg.NonceLifetime)
	s.sources.init(cfg.Secret, cfg.Rate, cfg.Burst)
	s.table.init(cfg.Allocations)
	return s
}

// Handle takes one STUN message that came on flow k and for which Is is true. An answer is
// written to out, which must have room for MaxResponse bytes.
func (s *Server) Handle(now mono.Time, k flow.Key, b, out []byte) Result {
	_ = out[MaxResponse-1] // less would make answers of what is appended elsewhere
	r := s.handle(now, k, b, out)
	s.Counters.Reasons[r.Reason].Inc()
	return r
}

func (s *Server) handle(now mono.Time, k flow.Key, b, out []byte) Result {
	// A relay in a relay would go in circles; ICE over TCP is framed as no TURN client frames.
	if k.Via.IsRelayed() || k.Via.Carrier() == flow.FramedStream {
		return drop(Unexpected)
	}
	x := exchange{now: now, k: k, out: out}
	if reason, ok := x.parse(b); !ok {
		return drop(reason)
	}
	if x.class() == classIndication && x.method() == methodSend {
		return s.send(&x)
	}
	if x.class() != classRequest {
		return drop(Unexpected)
	}
	switch x.method() {
	case methodBinding:
		return s.binding(&x)
	case methodAllocate, methodRefresh, methodCreatePermission, methodChannelBind:
		return s.authenticated(&x)
	}
	return drop(Unexpected)
}

// binding answers a plain STUN Binding request (RFC 8489 section 12): who asks proves nothing.
func (s *Server) binding(x *exchange) Result {
	if x.numUnknown > 0 {
		return s.refuse(x, stunUnknownAttribute)
	}
	if !s.sources.allow(x.now, x.k, x.method()) {
		return drop(Limited)
	}
	return s.reply(x, x.mapped(x.success()), Bound)
}

// authenticated answers a request that needs credentials, in the order of RFC 8489 sections
// 9.2.4 and 6.3 and RFC 8656 section 5; proven does the rest.
func (s *Server) authenticated(x *exchange) Result {
	account, refusal := s.authenticate(x)
	if refusal != nil {
		return s.refuse(x, *refusal)
	}
	x.proven, x.key = true, account.Key
	r := s.proven(x, account)
	account.Book.answered(x.method(), r.Reason)
	return r
}

// proven answers a request whose credentials are good.
func (s *Server) proven(x *exchange, account Account) Result {
	if x.numUnknown > 0 {
		return s.refuse(x, stunUnknownAttribute)
	}
	if x.bad {
		return s.refuse(x, stunBadRequest)
	}
	a := s.find(x.k)
	if a != nil && a.expires.Due(x.now) {
		s.remove(a)
		a = nil
	}
	if x.method() == methodAllocate {
		return s.allocate(x, account, a)
	}
	if a == nil {
		return s.refuse(x, turnNoAllocation)
	}
	if !a.of(account) {
		return s.refuse(x, turnWrongCredentials)
	}
	switch x.method() {
	case methodRefresh:
		return s.refresh(x, a)
	case methodCreatePermission:
		return s.createPermission(x, a)
	}
	return s.channelBind(x, a)
}

// authenticate checks the long-term credentials. The nonce comes first, as RFC 5389 section
// 10.2.2 has it: who cannot receive at his address learns nothing about credentials. An unknown
// username and a wrong password give the same answer after the same work.
func (s *Server) authenticate(x *exchange) (Account, *refusal) {
	const all = hasUsername | hasRealm | hasNonce
	switch {
	case !x.has(hasIntegrity):
		return Account{}, &stunChallenge
	case !x.has(all):
		return Account{}, &stunBadRequest
	case !s.nonces.valid(x.now, x.k, x.nonce):
		return Account{}, &stunStaleNonce
	}
	account, known := s.lookup(x.username)
	if !stunwire.Verify(&s.mac, account.Key[:], x.message.b, x.message.end) || !known || string(x.realm) != s.cfg.Realm {
		return Account{}, &stunUnauthorised
	}
	return account, nil
}
