package load

import (
	"fmt"
	mathrand "math/rand/v2"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"tsubame/bench/harness"
	"tsubame/bench/report"
	"tsubame/netio/stream/certtest"
)

// turnConfig is the configuration of a server that has every way.
func turnConfig(t *testing.T) map[string]string {
	t.Helper()
	port := freePort(t)
	certificate, key := certtest.New(t).Issue(t, "localhost").Files(t)
	return map[string]string{
		"ice_transport_policy": "relay", // for clients to be told of TURN over UDP
		"tls_port":             port, "turn_tls": "true", "turn_tls_port": port, "turn_tls_fqdn": "localhost",
		"tls_certificate_file": certificate, "tls_private_key_file": key,
	}
}

// freePort returns a TCP port that is free, from below those that systems give to clients.
func freePort(t *testing.T) string {
	t.Helper()
	const low, high, tries = 12_000, 20_000, 100
	for range tries {
		port := strconv.Itoa(low + mathrand.IntN(high-low))
		if l, err := net.Listen("tcp", ":"+port); err == nil {
			l.Close()
			return port
		}
	}
	t.Fatal("no free port")
	return ""
}

// Every packet of a conference and of a broadcast, by each way; and each goes its way and no other.
func TestMediaIsForwardedThroughTURNWithoutLoss(t *testing.T) {
	s := harness.Start(t, harness.Options{Config: turnConfig(t)})
	ways := []TURN{TURNUDP, TURNTCP, TURNTLS}
	for _, way := range ways {
		for _, sc := range []Scenario{
			{Rooms: 2, Clients: 4, Role: SendRecv, Audio: true, Video: true, Clip: conferenceClip, Latency: true},
			{Rooms: 1, Clients: 11, Role: Broadcast, Video: true, PayloadSize: 1100, PacketRate: 200, FrameRate: 20},
		} {
			t.Run(fmt.Sprintf("%s/%s", way, sc.Role), func(t *testing.T) {
				before := s.Counters()
				sc.URL, sc.PID, sc.TURN, sc.Duration = s.SignalingURL(), s.PID(), way, 2*time.Second
				others := uint64(sc.Clients - 1)
				r, err := Run(t.Context(), sc, func(one report.Sample) { t.Logf("%+v", one) })
				if err != nil {
					t.Fatal(err)
				}
				whole(t, r)
				if want := r.Sent * others; r.Expected != want {
					t.Errorf("%d packets expected, want %d: each of %d at %d others", r.Expected, want, r.Sent, others)
				}
				if sc.Latency && (r.Audio.Count == 0 || r.FrameLast.Count == 0) {
					t.Errorf("latencies of %d audio packets and %d frames", r.Audio.Count, r.FrameLast.Count)
				}
				after := s.Counters()
				for _, other := range ways {
					in, out := "turn_"+string(other)+"_in", "turn_"+string(other)+"_out"
					got, least := after[out]-before[out], r.Forwarded
					if other != way {
						least = 0
					}
					if _, ok := after[out]; !ok || got < least || least == 0 && got+after[in]-before[in] != 0 {
						t.Errorf("%s grew by %d, %s by %d", out, got, in, after[in]-before[in])
					}
				}
			})
		}
	}
}

// Who leaves takes his allocation or his stream with him, and comes back with another.
func TestPeersThatComeBackThroughTURNLoseNothing(t *testing.T) {
	s := harness.Start(t, harness.Options{Config: turnConfig(t)})
	for _, way := range []TURN{TURNUDP, TURNTLS} {
		t.Run(string(way), func(t *testing.T) {
			r, err := Run(t.Context(), Scenario{
				URL: s.SignalingURL(), Rooms: 2, Clients: 4, Role: SendRecv, Audio: true, Duration: 2 * time.Second,
				Churn: 2 * time.Second, TURN: way,
			}, nil)
			if err != nil {
				t.Fatal(err)
			}
			if r.Failed != 0 || r.Lost > r.ClientLoss || r.Duplicated != 0 {
				t.Errorf("%d failed, %d of %d packets lost, %d came twice: %q", r.Failed, r.Lost, r.Expected, r.Duplicated, r.Problems)
			}
			if r.Join.Count <= uint64(r.Peers) {
				t.Errorf("%d joins of %d peers: nobody came back", r.Join.Count, r.Peers)
			}
		})
	}
}

func TestServerWithoutTURNIsSaidInWords(t *testing.T) {
	s := harness.Start(t, harness.Options{Config: map[string]string{"turn": "false"}})
	_, err := Run(t.Context(), Scenario{
		URL: s.SignalingURL(), Rooms: 1, Clients: 2, Role: SendRecv, Audio: true, Duration: time.Second, TURN: TURNUDP,
	}, nil)
	if want := "load: the offer has no TURN server by udp"; err == nil || !strings.HasSuffix(err.Error(), want) {
		t.Errorf("%v, want %s", err, want)
	}
}
