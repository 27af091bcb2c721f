package ice

import (
	"context"
	"net"
	"net/netip"
	"testing"
	"time"

	pion "github.com/pion/ice/v4"

	"tsubame/netio/flow"
	"tsubame/netio/mono"
)

// liteServer answers checks on a socket until it is closed, and returns the agent that
// resulted and the first payload that came over its selected path.
func liteServer(conn *net.UDPConn, creds Credentials) (agent *Agent, payload string) {
	var c Codec
	agent = new(Agent)
	agent.Init(1)
	local := netip.MustParseAddr("127.0.0.1")
	buf := make([]byte, 2048)
	for now := mono.Time(1); ; now = now.Add(MinHold) {
		n, from, err := conn.ReadFromUDPAddrPort(buf)
		if err != nil {
			return agent, payload
		}
		k := flow.KeyOf(local, from)
		if buf[0] > 3 {
			if s, ok := agent.Selected(); ok && s == k && payload == "" {
				payload = string(buf[:n])
				conn.WriteToUDPAddrPort(buf[:n], from)
			}
			continue
		}
		r, err := c.Parse(buf[:n])
		if err != nil || string(r.LocalUfrag) != creds.Ufrag || !c.Verify(creds.Password) {
			continue
		}
		var answer []byte
		if out := agent.HandleCheck(now, k, &r); out.ErrorCode != 0 {
			answer = c.AppendError(nil, &r, out.ErrorCode, creds.Password)
		} else {
			answer = c.AppendSuccess(nil, &r, k, creds.Password)
		}
		conn.WriteToUDPAddrPort(answer, from)
	}
}

// A full agent accepts our answers, nominates, and sends over the path that we selected.
func TestFullAgentConnects(t *testing.T) {
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	creds := NewCredentials(4711)
	type result struct {
		agent   *Agent
		payload string
	}
	done := make(chan result, 1)
	go func() {
		a, p := liteServer(conn, creds)
		done <- result{a, p}
	}()

	full, err := pion.NewAgentWithOptions(
		pion.WithNetworkTypes([]pion.NetworkType{pion.NetworkTypeUDP4}), pion.WithIncludeLoopback(),
		pion.WithMulticastDNSMode(pion.MulticastDNSModeDisabled))
	if err != nil {
		t.Fatal(err)
	}
	defer full.Close()
	if err := full.OnCandidate(func(pion.Candidate) {}); err != nil {
		t.Fatal(err)
	}
	if err := full.GatherCandidates(); err != nil {
		t.Fatal(err)
	}
	remote, err := pion.NewCandidateHost(&pion.CandidateHostConfig{
		Network: "udp", Address: "127.0.0.1", Port: conn.LocalAddr().(*net.UDPAddr).Port, Component: 1,
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := full.AddRemoteCandidate(remote); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	path, err := full.Dial(ctx, creds.Ufrag, creds.Password)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := path.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	echo := make([]byte, 16)
	if n, err := path.Read(echo); err != nil || string(echo[:n]) != "hello" {
		t.Errorf("echo %q, %v", echo[:n], err)
	}
	conn.Close()
	if r := <-done; r.payload != "hello" || len(r.agent.Paths(nil)) == 0 {
		t.Errorf("%+v", r)
	}
}
