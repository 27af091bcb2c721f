package entry

import "sync/atomic"

// counter is an index of counters.
type counter int

// What is counted: what came of connections, each of which is under at least one of them.
const (
	accepted counter = iota
	acceptErrors
	refusedFull      // MaxConnections
	refusedAddress   // MaxPerAddress
	evicted          // MaxHalfOpen, MaxHalfOpenPer
	proxied          // PROXY headers taken
	proxyBad         // missing, broken or too long where one is required
	sniffTimeout     // said too little for too long
	closedEarly      // gone before it was known what it is
	unknownProtocol  // none of ours at that place
	turnStreams      // plain or inside TLS
	iceStreams       //
	tlsStreams       // handshakes completed
	tlsFailed        // handshakes that failed, timed out, or had too long a ClientHello
	tlsBusy          // QueueTimeout
	tlsNameRefused   // names that are not ours
	passedThrough    // names that are somebody else's
	passthroughError // whose target could not be reached
	acmeChallenges   // TLS-ALPN-01 handshakes answered
	httpConns        // given to HTTP's server
	httpRefused      // nobody took them
	redirected       // plain HTTP, told to use https
	badRequest       // plain HTTP without a host to redirect to
	reloads          // certificate pairs read anew
	reloadErrors     // that were bad: the one before stays
	numCounters
)

var counterNames = [numCounters]string{
	"entry_accepted", "entry_accept_errors", "entry_refused_full", "entry_refused_address", "entry_evicted",
	"entry_proxied", "entry_proxy_bad", "entry_sniff_timeout", "entry_closed_early", "entry_unknown_protocol",
	"entry_turn_streams", "entry_ice_streams", "entry_tls_streams", "entry_tls_failed", "entry_tls_busy",
	"entry_tls_name_refused", "entry_passed_through", "entry_passthrough_errors", "entry_acme_challenges",
	"entry_http", "entry_http_refused", "entry_redirected", "entry_bad_requests",
	"entry_certificates_reloaded", "entry_certificate_errors",
}

type counters [numCounters]atomic.Uint64

func (c *counters) inc(i counter)         { c[i].Add(1) }
func (c *counters) load(i counter) uint64 { return c[i].Load() }

// Counters returns what is counted, and how many connections are open, half open and at
// their handshake's costly part now.
func (e *Entry) Counters() map[string]uint64 {
	out := make(map[string]uint64, numCounters+3)
	for i, name := range counterNames {
		out[name] = e.counts.load(counter(i))
	}
	open, half := e.room.size()
	out["entry_open"], out["entry_half_open"] = uint64(open), uint64(half)
	out["entry_handshakes"] = uint64(len(e.slots))
	return out
}
