package turnsrv

import (
	"time"

	"tsubame/netio/flow"
	"tsubame/netio/mono"
)

// Bounds of what a Config may say, and of answers.
const (
	// MaxRealm keeps the answer to the smallest Allocate, 28 bytes, within three times that.
	MaxRealm = 32
	// MaxSoftware keeps every answer within MaxResponse.
	MaxSoftware = 32
	// MaxResponse is the room that an answer may need.
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
	Rate        int // answers a second to one source that has proven nothing; 32
	Burst       int // how many of those at once; 128
}

// Address is one of our candidates: what a client may send to. Port is in host byte order.
type Address struct {
	Addr flow.Addr
	Port uint16
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
}

// Server is the TURN server of one shard.
type Server struct {
	Counters Counters

	cfg    Config
	lookup Lookup
}

// NewServer makes a server without addresses: until SetAddresses every Allocate is refused with
// 440. It panics if cfg has no secret, no realm, or one of its texts is too long.
func NewServer(cfg Config, lookup Lookup) *Server {
	return &Server{cfg: cfg, lookup: lookup}
}

// SetAddresses says which our candidates are, as they are advertised: at most flow.MaxPeers,
// those beyond are not relayed to. An address that was one before keeps its place, which is
// what Via.Peer names; the allocations whose relayed address is one that is gone end, and so do
// permissions and channels for it. All shards have to be told the same lists in the same order,
// so that places agree.
func (s *Server) SetAddresses(addresses []Address) {}

// Peer returns our address that a relayed path goes to; false if it is ours no more.
func (s *Server) Peer(v flow.Via) (Address, bool) { return Address{}, false }

// Handle takes one STUN message that came on flow k and for which Is is true. An answer is
// written to out, which must have room for MaxResponse bytes.
func (s *Server) Handle(now mono.Time, k flow.Key, b, out []byte) Result {
	return Result{Outcome: Dropped, Reason: Unexpected}
}

// ChannelData takes one ChannelData message that came on flow k: a datagram, or a frame of a
// stream. It returns the path by which payload, a view into b that is not empty, came to us. It
// is one look into one table. Channels end in Expire, so that has to be called in time.
func (s *Server) ChannelData(k flow.Key, b []byte) (path flow.Key, payload []byte, ok bool) {
	return flow.Key{}, nil, false
}

// Relayed returns the relayed transport address of the allocation that path goes through: what
// an ICE agent behind the relay sees as the client's address, and so answers to a check as
// XOR-MAPPED-ADDRESS. It reports false if the allocation has ended.
func (s *Server) Relayed(path flow.Key) (addr flow.Addr, port uint16, ok bool) {
	return flow.Addr{}, 0, false
}

// Owner returns whose allocation path goes through. A connection must not take a check that
// came through another's: row TURN-03.
func (s *Server) Owner(path flow.Key) (connection, serial uint32, ok bool) { return 0, 0, false }

// Expire ends what has lived its time at now.
func (s *Server) Expire(now mono.Time) {}

// Deadline returns when Expire is to be called next, mono.Never if there is nothing to wait for.
func (s *Server) Deadline() mono.Time { return mono.Never }

// End ends the allocations that a connection has on this shard. Its credentials end by Lookup.
func (s *Server) End(connection, serial uint32) {}

// StreamClosed ends the allocation that was made over stream k, if there is one (RFC 8656
// section 7.2: a connection that closes ends the allocation).
func (s *Server) StreamClosed(k flow.Key) {}
