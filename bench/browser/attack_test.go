//go:build browser

package browser

import (
	"context"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/pion/rtp"

	"tsubame/bench/attack"
	"tsubame/bench/bot"
)

// A call between two tabs goes on beside all of these, undisturbed. The minute before the
// attacks is the measure for each of them.
//
// By strangers: Row ICE-01 (garbage), Row ICE-02 (unknown user fragments), Row ICE-03 (wrong
// integrity), Row ICE-05 (responses and indications), Row ICE-06 (reflection: in all of them the
// bytes that come back are measured), Row ICE-10 and Row DTLS-01 (records and media by paths
// without a check).
//
// By participants: Row ICE-08 (one user fragment from ten thousand ports and more addresses),
// Row DTLS-05 (a wrong fingerprint), Row RTP-01 (injection), Row RTP-03 (replay), Row RTP-04
// (unknown SSRCs by the million), Row RTP-06 (a flood), Row RTP-07 (NACK), Row RTP-08 (key frame
// requests), Row RTP-11 (RTCP bombs).
//
// By way of signaling: Row SIG-01 and Row SIG-08 (half-open sockets), Row SIG-02 (frames),
// Row SIG-04 (JSON bombs).
func TestAttacks(t *testing.T) {
	s := newSiege(t)
	for _, a := range []struct {
		name string
		run  func(t *testing.T, s *siege)
	}{
		{"TenThousandHalfOpenSockets", halfOpenSockets},
		{"Garbage", garbage},
		{"UnknownUfrags", unknownUfrags},
		{"WrongIntegrity", wrongIntegrity},
		{"UnsolicitedResponses", unsolicitedResponses},
		{"Reflection", reflection},
		{"RecordsAndMediaOfStrangers", recordsAndMediaOfStrangers},
		{"ThousandsOfPortsOfOneUfrag", thousandsOfPorts},
		{"MoreAddressesOfOneUfragThanAreRemembered", moreAddressesThanRemembered},
		{"InjectedMedia", injectedMedia},
		{"ReplayedMedia", replayedMedia},
		{"BadFingerprints", badFingerprints},
		{"AMillionSSRCs", aMillionSSRCs},
		{"FloodOfAParticipant", floodOfAParticipant},
		{"NACKAbuse", nackAbuse},
		{"KeyFrameStorm", keyFrameStorm},
		{"RTCPBombs", rtcpBombs},
		{"JSONBombs", jsonBombs},
		{"BadFrames", badFrames},
	} {
		t.Run(a.name, func(t *testing.T) { s.withstand(t, a.run) })
	}
}

func garbage(t *testing.T, s *siege) {
	before := s.server.Counters()
	g := attack.NewGarbage(1)
	tally := s.flood(t, attack.Flood{Sources: attack.Sources(1000), Next: g.Next})
	requireSilence(t, tally)
	s.requireCounted(t, before, map[string]uint64{
		"net_rx_dropped_empty":     g.Counts[attack.Empty],
		"net_rx_dropped_truncated": g.Counts[attack.TooLong],
		"drop_stun":                g.Counts[attack.NoSTUN],
		"drop_path":                g.Counts[attack.NoPath],
		"turn_bad_channel_data":    g.Counts[attack.NoChannelData],
		"turn_unbound_channel":     g.Counts[attack.NoChannel],
		"drop_unknown":             g.Counts[attack.NoneOfIt],
	})
}

// victim is a participant whose user fragment is known to the attacker.
func (s *siege) victim(t *testing.T) (*bot.Bot, attack.Credentials) {
	t.Helper()
	b := s.bot(t, bot.Config{Role: bot.SendRecv, Audio: true, Video: true})
	return b, credentials(t, b)
}

// requireUnharmed fails if the bot's connection has suffered.
func requireUnharmed(t *testing.T, bots ...*bot.Bot) {
	t.Helper()
	for _, b := range bots {
		if err := b.Err(); err != nil {
			t.Errorf("the connection of a bystander ended: %v", err)
		}
	}
}

func unknownUfrags(t *testing.T, s *siege) {
	b, c := s.victim(t)
	before := s.server.Counters()
	checks := attack.UnknownUfrags(4096, c.Ufrag)
	tally := s.flood(t, attack.Flood{Sources: attack.Sources(10_000), Next: attack.InTurn(checks, 0)})
	requireSilence(t, tally)
	s.requireCounted(t, before, map[string]uint64{"drop_ufrag": tally.Sent, "drop_integrity": 0})
	requireUnharmed(t, b)
}

func wrongIntegrity(t *testing.T, s *siege) {
	b, c := s.victim(t)
	before := s.server.Counters()
	checks := attack.WrongIntegrity(4096, c)
	tally := s.flood(t, attack.Flood{Sources: attack.Sources(10_000), Next: attack.InTurn(checks, 0)})
	requireSilence(t, tally)
	s.requireCounted(t, before, map[string]uint64{"drop_integrity": tally.Sent, "stun_errors": 0})
	requireUnharmed(t, b)
}

func unsolicitedResponses(t *testing.T, s *siege) {
	b, c := s.victim(t)
	before := s.server.Counters()
	responses := attack.Unsolicited(4096, c)
	tally := s.flood(t, attack.Flood{Sources: attack.Sources(1000), Next: attack.InTurn(responses, 0)})
	requireSilence(t, tally)
	s.requireCounted(t, before, map[string]uint64{"drop_stun_type": tally.Sent})
	requireUnharmed(t, b)
}

// reflection asks for answers with the shortest requests there are, for somebody else. Who does
// not know the password gets none to a check, and to what any STUN server answers only so many as
// a source may have, which is less than was sent.
func reflection(t *testing.T, s *siege) {
	_, c := s.victim(t)
	before := s.server.Counters()
	var requests [][]byte
	for range 256 {
		requests = append(requests, attack.PlainBinding(), attack.ShortestCheck(attack.Credentials{Ufrag: c.Ufrag, Password: "wrong"}))
	}
	tally := s.flood(t, attack.Flood{Sources: attack.Sources(16), Next: attack.InTurn(requests, 0)})
	if tally.Amplified() {
		t.Errorf("amplified: %v", tally)
	}
	s.requireCounted(t, before, map[string]uint64{"drop_integrity": tally.Sent / 2})
	answers, limited := s.grown(before, "turn_binding"), s.grown(before, "turn_limited")
	if tally.Received > answers || answers+limited > (tally.Sent+1)/2 || limited == 0 {
		t.Errorf("%d answers, %d over what a source may have: %v", answers, limited, tally)
	}

	ctx, cancel := context.WithTimeout(t.Context(), attackTime)
	defer cancel()
	genuine := attack.Flood{To: s.udp(), Rate: 100, Next: attack.InTurn([][]byte{attack.ShortestCheck(c)}, 10)}
	answered, err := genuine.Run(ctx)
	if err != nil || answered.Received != 10 {
		t.Errorf("genuine checks: %v, %v", answered, err)
	}
	t.Logf("of the shortest genuine checks: %v", answered)
}

// recordsAndMediaOfStrangers sends handshakes, alerts and media by paths that no check has
// come by, while others join: each of those handshakes succeeds.
func recordsAndMediaOfStrangers(t *testing.T, s *siege) {
	genuine := &tape{limit: 200}
	b := s.bot(t, bot.Config{Role: bot.SendOnly, Audio: true, Video: true, Outgoing: genuine.record})
	datagrams := append(attack.Records(), genuine.wait(t)...)
	for _, sending := range b.Stats().Sending {
		h := rtp.Header{Version: 2, PayloadType: 96, SSRC: sending.SSRC}
		datagrams = append(datagrams, attack.Forged(h, 100), attack.ForgedRTCP(sending.SSRC, 100))
	}
	joined := make(chan int)
	done, stop := context.WithCancel(t.Context())
	defer stop()
	go func() { joined <- s.joinAndLeave(t, done) }()

	before := s.server.Counters()
	tally := s.flood(t, attack.Flood{Sources: attack.Sources(1000), Next: attack.InTurn(datagrams, 0)})
	stop()
	n := <-joined
	requireSilence(t, tally)
	// The last media of those who leave come by a path that is closed already.
	s.requireCountedWith(t, 200*uint64(n), before, map[string]uint64{"drop_path": tally.Sent})
	s.requireCounted(t, before, map[string]uint64{"handshakes_failed": 0, "drop_auth": 0, "drop_replay": 0})
	if n < 3 {
		t.Errorf("only %d could join meanwhile", n)
	}
	requireUnharmed(t, b)
}

// joinAndLeave does both again and again, at most joinRate times a second, until ctx ends, and
// returns how often it did. It may run beside the test's goroutine: failures are reported as
// errors.
func (s *siege) joinAndLeave(t *testing.T, ctx context.Context) (n int) {
	_, err := attack.Pace(ctx, joinRate, func(int) bool {
		within, cancel := context.WithTimeout(context.WithoutCancel(ctx), arriveTimeout)
		defer cancel()
		b, err := bot.Dial(within, bot.Config{
			URL: s.server.SignalingURL(), Channel: channelName(t) + "-others", Role: bot.SendRecv, Audio: true,
		})
		if err == nil {
			if err = b.WaitConnected(within); err == nil {
				n++
				err = b.Close(within)
			} else {
				b.Kill()
			}
		}
		if err != nil {
			t.Errorf("joining: %v", err)
		}
		return err == nil
	})
	if err != nil {
		t.Error(err)
	}
	return n
}

// thousandsOfPorts checks from ten thousand ports with the credentials of a participant whose
// media go on.
func thousandsOfPorts(t *testing.T, s *siege) {
	const ports = 10_000
	publisher := s.bot(t, bot.Config{Role: bot.SendOnly, Audio: true, Video: true})
	viewer := s.bot(t, bot.Config{Role: bot.RecvOnly, Audio: true, Video: true})
	of := []attack.Credentials{credentials(t, publisher), credentials(t, viewer)}
	before := s.server.Counters()
	answers := 0
	_, err := attack.Pace(t.Context(), ports/7, func(i int) bool {
		if i == ports {
			return false
		}
		c := of[i%len(of)]
		ok, err := knock(s.udp(), netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 9, 9, 9}), uint16(10_000+i)), attack.Check(c, false), c.Password)
		if err != nil {
			t.Error(err)
			return false
		}
		if ok {
			answers++
		}
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d of %d ports were answered", answers, ports)
	// Of each connection the server remembers eight paths, and counts those that had to go.
	if n := s.grown(before, "drop_paths"); n < ports/2 {
		t.Errorf("only %d paths made room for others", n)
	}
	requireUnharmed(t, publisher, viewer)
	requireWholeMedia(t, viewer)
}

// knock sends a check from a port and reports whether it was answered.
func knock(to, from netip.AddrPort, check []byte, password string) (bool, error) {
	conn, err := net.DialUDP("udp4", net.UDPAddrFromAddrPort(from), net.UDPAddrFromAddrPort(to))
	if err != nil {
		return false, err
	}
	defer conn.Close()
	if _, err := conn.Write(check); err != nil {
		return false, err
	}
	if err := conn.SetReadDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
		return false, err
	}
	b := make([]byte, 512)
	n, err := conn.Read(b)
	return err == nil && attack.IsSuccess(b[:n], check, password), nil
}

// requireWholeMedia waits until every stream that the bot receives has moved on by ten
// frames, and fails if a packet of it was lost or anything else but a bot's came.
func requireWholeMedia(t *testing.T, viewer *bot.Bot) {
	t.Helper()
	from := viewer.Stats()
	if len(from.Receiving) == 0 {
		t.Fatal("the viewer receives nothing")
	}
	eventually(t, arriveTimeout, "media go on", func() (bool, any) {
		now := viewer.Stats()
		for i, r := range from.Receiving {
			if r.Active && now.Receiving[i].Frames < r.Frames+10 {
				return false, now.Receiving
			}
		}
		return true, nil
	})
	for _, r := range viewer.Stats().Receiving {
		if r.Lost != 0 || r.BadPayload != 0 || r.Shifts != 0 || r.MaxFreeze > time.Second {
			t.Errorf("%v of a bystander suffered: %+v", r.Kind, r)
		}
	}
}

// moreAddressesThanRemembered fills the server's memory of paths with those of one
// participant, while others join.
func moreAddressesThanRemembered(t *testing.T, s *siege) {
	publisher := s.bot(t, bot.Config{Role: bot.SendOnly, Audio: true, Video: true})
	viewer := s.bot(t, bot.Config{Role: bot.RecvOnly, Audio: true, Video: true})
	c := credentials(t, viewer)
	var checks [][]byte
	for range 1024 {
		checks = append(checks, attack.Check(c, false))
	}
	joined := make(chan int)
	done, stop := context.WithCancel(t.Context())
	defer stop()
	go func() { joined <- s.joinAndLeave(t, done) }()
	tally := s.flood(t, attack.Flood{Sources: attack.Sources(150_000), Next: attack.InTurn(checks, 0)})
	stop()
	if n := <-joined; n < 3 {
		t.Errorf("only %d could join meanwhile", n)
	}
	// Joining is possible behind the flood, too, when the memory is as full as it gets.
	s.bot(t, bot.Config{Channel: channelName(t) + "-late", Role: bot.SendRecv, Audio: true})
	if tally.Amplified() {
		t.Errorf("%v", tally)
	}
	if foreign := s.server.Counters()["foreign"]; foreign > 1000 {
		t.Errorf("%d paths of one connection are remembered", foreign)
	}
	requireUnharmed(t, publisher, viewer)
	requireWholeMedia(t, viewer)
}
