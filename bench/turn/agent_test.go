package turn

import (
	"context"
	"encoding/hex"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	piondtls "github.com/pion/dtls/v3"
	"github.com/pion/ice/v4"
	"github.com/pion/stun/v3"

	benchpeer "tsubame/bench/peer"
	"tsubame/media/param"
)

// agent is a full ICE agent that has nothing but relayed candidates, by one of the account's
// URLs.
func (w *world) agent(as account, v way) *ice.Agent {
	w.t.Helper()
	var urls []*stun.URI
	for _, text := range as.URLs {
		u, err := stun.ParseURI(text)
		if err != nil {
			w.t.Fatal(err)
		}
		u.Host = strings.Trim(u.Host, "[]")
		u.Username, u.Password = as.Username, as.Credential
		secure := u.Scheme == stun.SchemeTypeTURNS
		if secure == (v.carrier == "tls") && (secure || u.Proto.String() == v.carrier && u.Host == v.server().String()) {
			urls = append(urls, u)
		}
	}
	var noWait time.Duration
	//lint:ignore SA1019 with options there is no way to say that the certificate is not to be verified
	a, err := ice.NewAgent(&ice.AgentConfig{
		Urls: urls, CandidateTypes: []ice.CandidateType{ice.CandidateTypeRelay},
		NetworkTypes: []ice.NetworkType{ice.NetworkTypeUDP4}, IncludeLoopback: true,
		RelayAcceptanceMinWait: &noWait, MulticastDNSMode: ice.MulticastDNSModeDisabled,
		InsecureSkipVerify: true,
	})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() {
		if err := a.GracefulClose(); err != nil {
			w.t.Error(err)
		}
	})
	return a
}

// gather waits for the agent's candidates.
func gather(t *testing.T, a *ice.Agent) {
	t.Helper()
	done := make(chan struct{})
	var once sync.Once
	if err := a.OnCandidate(func(c ice.Candidate) {
		if c == nil {
			once.Do(func() { close(done) })
		}
	}); err != nil {
		t.Fatal(err)
	}
	if err := a.GatherCandidates(); err != nil {
		t.Fatal(err)
	}
	select {
	case <-done:
	case <-within(t).Done():
		t.Fatal("gathering did not end")
	}
}

// addRemote gives the agent the offer's candidates.
func addRemote(t *testing.T, a *ice.Agent, sdp string) {
	t.Helper()
	for line := range strings.SplitSeq(sdp, "\r\n") {
		text, ok := strings.CutPrefix(line, "a=candidate:")
		if !ok {
			continue
		}
		c, err := ice.UnmarshalCandidate(text)
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		if err := a.AddRemoteCandidate(c); err != nil {
			t.Fatal(err)
		}
	}
}

// An agent as a browser has it, under the policy relay: it gathers, checks and nominates through
// the relay, and then does its handshake there.
func TestAgentWithRelayedCandidatesOnly(t *testing.T) {
	t.Parallel()
	w := start(t, nil)
	for _, v := range []way{overUDP, overTCP, overTLS} {
		t.Run(v.String(), func(t *testing.T) { w.in(t).agentBy(v) })
	}
}

func (w *world) agentBy(v way) {
	t := w.t
	as := w.connect()
	a := w.agent(as, v)
	gather(t, a)
	candidates, err := a.GetLocalCandidates()
	if err != nil || len(candidates) != 1 || candidates[0].Address() != server4.String() {
		t.Fatalf("candidates %v, %v", candidates, err)
	}
	addRemote(t, a, as.sdp)
	conn, err := a.Dial(within(t), as.ufrag, as.password)
	if err != nil {
		t.Fatal(err)
	}
	pair, err := a.GetSelectedCandidatePair()
	if err != nil || pair == nil {
		t.Fatalf("no pair: %v", err)
	}
	local, ok := pair.Local.(*ice.CandidateRelay)
	if !ok || local.RelayProtocol() != v.carrier || pair.Remote.Port() != w.UDPPort() {
		t.Errorf("the pair is %v", pair)
	}
	handshake(t, conn, as)
	w.waitGrown("established", 1)
	if n := w.grown("turn_channel_data"); n == 0 {
		t.Error("nothing came by ChannelData")
	}
}

// handshake is DTLS over an agent's connection, as the answer of the account's bot promised it.
func handshake(t *testing.T, conn net.Conn, as account) {
	t.Helper()
	ended, end := context.WithCancel(context.Background())
	h := benchpeer.Handshaker{
		Send:         func(b []byte) { _, _ = conn.Write(b) },
		Profiles:     []piondtls.SRTPProtectionProfile{piondtls.SRTP_AEAD_AES_128_GCM},
		Fingerprints: fingerprints(t, as.sdp),
		Closed:       func() {},
	}
	var reading sync.WaitGroup
	reading.Go(func() {
		b := make([]byte, 2048)
		for ended.Err() == nil {
			n, err := conn.Read(b)
			if err != nil {
				return
			}
			if n > 0 && b[0] >= 20 && b[0] < 64 {
				h.Feed(b[:n])
			}
		}
	})
	// In front of the agent's own end, which waits for whoever reads.
	t.Cleanup(func() {
		end()
		conn.Close()
		reading.Wait()
	})
	if _, err := h.Run(within(t)); err != nil {
		t.Fatal(err)
	}
	h.End(true)
}

// fingerprints are those of an offer.
func fingerprints(t *testing.T, sdp string) (out []param.Fingerprint) {
	t.Helper()
	for line := range strings.SplitSeq(sdp, "\r\n") {
		text, ok := strings.CutPrefix(line, "a=fingerprint:")
		if !ok {
			continue
		}
		algorithm, digest, _ := strings.Cut(text, " ")
		value, err := hex.DecodeString(strings.ReplaceAll(digest, ":", ""))
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		out = append(out, param.Fingerprint{Algorithm: algorithm, Value: value})
	}
	return out
}
