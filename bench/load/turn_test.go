package load

import (
	"encoding/binary"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/pion/stun/v3"

	"tsubame/netio/flow"
	"tsubame/netio/mmsg"
	"tsubame/netio/mono"
	"tsubame/turnsrv"
)

// turnWorld is the real TURN server with one account, a virtual clock, and a relay of that
// account's.
type turnWorld struct {
	t     *testing.T
	s     *turnsrv.Server
	relay *relay
	key   flow.Key
	now   mono.Time
	lost  int // datagrams that are still to be lost
	sent  int
}

func newTurnWorld(t *testing.T, password string) *turnWorld {
	t.Helper()
	const username, realm = "user", "realm"
	candidate := netip.MustParseAddrPort("127.0.0.1:5004")
	book := new(turnsrv.Book)
	w := &turnWorld{t: t, now: mono.Time(time.Hour), key: flow.KeyOf(candidate.Addr(), netip.MustParseAddrPort("127.64.0.1:4000"))}
	w.s = turnsrv.NewServer(turnsrv.Config{Realm: realm, Secret: [32]byte{1}}, func(name []byte) (turnsrv.Account, bool) {
		return turnsrv.Account{Connection: 1, Serial: 1, Key: turnsrv.LongTermKey(username, realm, "secret"), Book: book}, string(name) == username
	})
	w.s.SetAddresses([]turnsrv.Address{{Addr: flow.AddrOf(candidate.Addr()), Port: candidate.Port()}})
	w.relay = newRelay(turnServer{username: username, credential: password}, candidate, nil)
	return w
}

// step brings what the relay has to say to the server, and the answer back.
func (w *turnWorld) step() error {
	for {
		b, err := w.relay.next(w.now)
		if err != nil || b == nil {
			return err
		}
		w.sent++
		if w.lost > 0 {
			w.lost--
			continue
		}
		var out [turnsrv.MaxResponse]byte
		if r := w.s.Handle(w.now, w.key, b, out[:]); r.Outcome == turnsrv.Reply {
			if err := w.relay.answer(w.now, out[:r.Size]); err != nil {
				return err
			}
		}
	}
}

// carries reports whether the server takes ChannelData of the relay.
func (w *turnWorld) carries() bool {
	w.s.Expire(w.now)
	slot := make([]byte, 64)
	n := w.relay.wrap(slot, copy(slot, "payload"))
	_, payload, ok := w.s.ChannelData(w.key, slot[:n])
	return ok && string(payload) == "payload"
}

func TestRelayIsKeptAliveBeyondEveryLifetime(t *testing.T) {
	w := newTurnWorld(t, "secret")
	if err := w.step(); err != nil || !w.relay.ready || w.sent != 4 { // without credentials, with them, permission, channel
		t.Fatalf("ready %t after %d requests: %v", w.relay.ready, w.sent, err)
	}
	for end := w.now.Add(3 * time.Hour); w.now < end; w.now = w.now.Add(500 * time.Millisecond) {
		if err := w.step(); err != nil || !w.carries() {
			t.Fatalf("at %v: %v", time.Duration(w.now), err)
		}
	}
	// In three hours 45 permissions, 20 channels and 20 lifetimes; a nonce for each ten minutes.
	if r := w.relay; r.allocated != 1 || r.answered < 85 || r.answered > 95 || r.refused < 10 || r.refused > 25 {
		t.Errorf("%d allocations, %d answers, %d of them new nonces", r.allocated, r.answered, r.refused)
	}
}

func TestRelayAsksAgainForWhatIsLost(t *testing.T) {
	w := newTurnWorld(t, "secret")
	w.lost = 2
	for end := w.now.Add(2 * time.Second); w.now < end; w.now = w.now.Add(10 * time.Millisecond) {
		if err := w.step(); err != nil {
			t.Fatal(err)
		}
	}
	if !w.relay.ready || w.sent != 4+2 {
		t.Errorf("ready %t after %d requests", w.relay.ready, w.sent)
	}
}

func TestRelayGivesUp(t *testing.T) {
	silent := newTurnWorld(t, "secret")
	silent.lost = 1 << 30
	var err error
	for end := silent.now.Add(2 * time.Minute); silent.now < end && err == nil; silent.now = silent.now.Add(100 * time.Millisecond) {
		err = silent.step()
	}
	if err != errNoRelay || silent.sent != relayTries {
		t.Errorf("nobody answers: %v after %d requests", err, silent.sent)
	}
	if err := newTurnWorld(t, "another").step(); err == nil || !strings.Contains(err.Error(), "Allocate was refused with 401") {
		t.Errorf("a wrong password: %v", err)
	}
	foreign := newTurnWorld(t, "secret")
	foreign.relay.peer = netip.MustParseAddrPort("127.0.0.1:5005")
	if err := foreign.step(); err == nil || !strings.Contains(err.Error(), "was refused with 403") {
		t.Errorf("a peer that is not the server's: %v", err)
	}
}

func TestRelayBelievesOnlyWhatIsSigned(t *testing.T) {
	w := newTurnWorld(t, "secret")
	if err := w.step(); err != nil {
		t.Fatal(err)
	}
	w.now = w.now.Add(permissionInterval)
	b, err := w.relay.next(w.now)
	if err != nil || b == nil {
		t.Fatal(b, err)
	}
	m := &stun.Message{Raw: b}
	if err := m.Decode(); err != nil {
		t.Fatal(err)
	}
	forged := stun.MustBuild(stun.NewTransactionIDSetter(m.TransactionID), stun.NewType(stun.MethodCreatePermission, stun.ClassSuccessResponse),
		stun.NewLongTermIntegrity("user", "realm", "guess"), stun.Fingerprint)
	if err := w.relay.answer(w.now, forged.Raw); err != nil || !w.relay.waiting {
		t.Errorf("an answer of somebody else's was taken: %v", err)
	}
}

func TestURLIsTheFirstOfItsWay(t *testing.T) {
	all := []ICEServer{
		{URLs: []string{"turn:[::1]:1?transport=udp", "turn:127.0.0.1:2?transport=udp", "turn:127.0.0.1:3?transport=tcp"}, Username: "a", Credential: "b"},
		{URLs: []string{"turns:host.example:4?transport=tcp", "turn:127.0.0.2:5?transport=udp", "stun:127.0.0.1:6"}, Username: "c", Credential: "d"},
	}
	for way, want := range map[TURN]turnServer{
		TURNUDP: {"127.0.0.1", 2, "a", "b"}, TURNTCP: {"127.0.0.1", 3, "a", "b"}, TURNTLS: {"host.example", 4, "c", "d"},
	} {
		if got, err := turnServerOf(all, way); err != nil || got != want {
			t.Errorf("%s: %+v, %v, want %+v", way, got, err, want)
		}
	}
	if _, err := turnServerOf(all[1:], TURNTCP); err == nil || !strings.Contains(err.Error(), "no TURN server by tcp") {
		t.Errorf("%v", err)
	}
}

func TestNamesOfServersAreResolved(t *testing.T) {
	for host, want := range map[string]string{"127.0.0.5": "127.0.0.5:7", "::1": "[::1]:7", "localhost": "127.0.0.1:7"} {
		s := turnServer{host: host, port: 7}
		if got, err := s.resolve(t.Context(), TURNTCP); err != nil || got.String() != want {
			t.Errorf("%s: %v, %v", host, got, err)
		}
	}
}

func TestChannelDataOfOthersIsNotTaken(t *testing.T) {
	for name, b := range map[string][]byte{
		"nothing": {}, "no length": {0x40, 0, 0}, "empty": {0x40, 0, 0, 0}, "another channel": {0x40, 1, 0, 1, 9},
		"cut": {0x40, 0, 0, 3, 1, 2},
	} {
		if inner := inChannel(b); inner != nil {
			t.Errorf("%s: %x", name, inner)
		}
	}
	if inner := inChannel([]byte{0x40, 0, 0, 2, 1, 2, 0, 0}); len(inner) != 2 || cap(inner) != 2 || inner[1] != 2 {
		t.Errorf("%x", inner)
	}
}

func TestWhatFillsASlotIsNotWrapped(t *testing.T) {
	slot := make([]byte, mmsg.SlotSize)
	r := &relay{carrier: &carrier{fd: -1}}
	if n := r.wrap(slot, len(slot)-turnsrv.ChannelHeader); n != len(slot) {
		t.Errorf("%d bytes", n)
	}
	if n := r.wrap(slot, len(slot)-turnsrv.ChannelHeader+1); n != 0 {
		t.Errorf("%d bytes of a slot of %d", n, len(slot))
	}
	slot[0], slot[1], slot[2] = 1, 2, 3
	if n := r.wrap(slot, 3); n != 8 || binary.BigEndian.Uint64(slot) != 0x4000_0003_0102_0300 {
		t.Errorf("over a stream 3 bytes are %x", slot[:n])
	}
}

// streamRig is a viewer whose frames come by a stream; the test has the other end.
type streamRig struct {
	*far
	end net.Conn
}

func newStreamRig(t *testing.T) streamRig {
	t.Helper()
	f := newFar(t, 1100)
	p, s := f.rig.peer, f.rig.shard
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	at := netip.MustParseAddrPort(l.Addr().String())
	c, err := dialCarrier(t.Context(), carrierOptions{from: addressOf(1), to: at})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.close)
	end, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { end.Close() })
	s.scenario.TURN = TURNTCP
	p.relay = newRelay(turnServer{}, at, c)
	p.relay.ready = true
	p.ice.next = mono.Time(1 << 62) // no checks
	f.rig.phase(measuring)
	return streamRig{f, end}
}

// frames seals n packets as ChannelData.
func (r *streamRig) frames(t *testing.T, n int) (all []byte) {
	t.Helper()
	b := r.rig.shard.batch
	b.Reset()
	for i := range n {
		r.packet(t)
		all = appendFrame(all, b.Packet(i))
	}
	return all
}

// appendFrame appends ChannelData over a stream.
func appendFrame(dst, data []byte) []byte {
	dst = binary.BigEndian.AppendUint16(dst, relayChannel)
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(data)))
	return append(append(dst, data...), make([]byte, turnsrv.Padded(len(data))-len(data))...)
}

// arrive writes b and polls until so many packets have been counted.
func (r *streamRig) arrive(t *testing.T, b []byte, want uint64) {
	t.Helper()
	if _, err := r.end.Write(b); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(10 * time.Second); r.rig.shard.total.forwarded < want && time.Now().Before(end); {
		if !r.rig.shard.pollStreams() {
			t.Fatal("a short stream is not read to its end")
		}
	}
	if got := r.rig.shard.total.forwarded; got != want {
		t.Fatalf("%d packets, want %d", got, want)
	}
}

func TestFramesThatComeInPiecesAreWhole(t *testing.T) {
	r := newStreamRig(t)
	all := r.frames(t, 20)
	const whole = 3 // packets in the first piece, which ends within the fourth
	each := len(all) / 20
	r.arrive(t, all[:whole*each+5], whole)
	r.arrive(t, all[whole*each+5:19*each+1], 19)
	r.arrive(t, all[19*each+1:], 20)
}

// Package stun takes room behind a message for its own use.
func TestAnswerToACheckLeavesThePacketBehindItAlone(t *testing.T) {
	r := newStreamRig(t)
	p := r.rig.peer
	p.ice = newAgent("far", "password", "near")
	if _, err := p.ice.check(r.rig.shard.now); err != nil {
		t.Fatal(err)
	}
	answer := stun.MustBuild(stun.NewTransactionIDSetter(p.ice.id), stun.BindingSuccess, stun.NewShortTermIntegrity("password"), stun.Fingerprint)
	r.arrive(t, append(appendFrame(nil, answer.Raw), r.frames(t, 1)...), 1)
	if !p.ice.selected {
		t.Error("the answer was not taken")
	}
}

func TestFeedbackGoesByTheStream(t *testing.T) {
	r := newStreamRig(t)
	s := r.rig.shard
	s.now = s.now.Add(time.Second)
	r.arrive(t, r.frames(t, 20), 20)
	s.flush()
	if s.queue.Len() != 0 {
		t.Errorf("%d datagrams beside the stream", s.queue.Len())
	}
	if err := r.end.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 4)
	if _, err := r.end.Read(b); err != nil || binary.BigEndian.Uint16(b) != relayChannel {
		t.Errorf("%x, %v", b, err)
	}
}

// What the server does not take is bounded.
func TestStreamThatIsNotReadFails(t *testing.T) {
	r := newStreamRig(t)
	c := r.rig.peer.relay.carrier
	frame := appendFrame(nil, make([]byte, 1200))
	var err error
	for range 1 << 16 {
		if err = c.put(frame); err != nil {
			break
		}
		if _, err = c.flush(); err != nil {
			break
		}
	}
	if err != errStuck {
		t.Errorf("%v", err)
	}
	if len(c.out) > maxPending+len(frame) {
		t.Errorf("%d bytes wait", len(c.out))
	}
}

func TestStreamThatEndsIsSeen(t *testing.T) {
	r := newStreamRig(t)
	c := r.rig.peer.relay.carrier
	b := make([]byte, 64)
	if n, err := c.pull(b); n != 0 || err != errAgain {
		t.Fatalf("an empty stream: %d, %v", n, err)
	}
	r.end.Close()
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); {
		if _, err := c.pull(b); err != errAgain {
			if err != errClosed {
				t.Errorf("%v", err)
			}
			return
		}
	}
	t.Error("the end of the stream was not seen")
}

// Nothing of a stream is left to the runtime's poller, and nothing is left open.
func TestStreamsLeaveNoDescriptor(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	at := netip.MustParseAddrPort(l.Addr().String())
	before := descriptors(t)
	var all []*carrier
	for range 8 {
		c, err := dialCarrier(t.Context(), carrierOptions{from: addressOf(1), to: at})
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, c)
	}
	if got := descriptors(t); got != before+len(all) {
		t.Errorf("%d streams made %d descriptors of %d", len(all), got, before)
	}
	for _, c := range all {
		c.close()
		c.close()
	}
	if got := descriptors(t); got != before {
		t.Errorf("%d descriptors, before %d", got, before)
	}
}

func descriptors(t *testing.T) int {
	t.Helper()
	all, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(all)
}

func TestOnlyOnLoopbackAnyCertificateWillDo(t *testing.T) {
	for at, want := range map[string]bool{
		"127.0.0.1:1": true, "[::1]:1": true, "[::ffff:127.0.0.1]:1": true, "192.0.2.1:1": false, "[2001:db8::1]:1": false,
	} {
		o := carrierOptions{to: netip.MustParseAddrPort(at)}
		if o.unverified() != want {
			t.Errorf("%s: %t", at, !want)
		}
		if o.insecure = true; !o.unverified() {
			t.Errorf("%s is verified though it is not to be", at)
		}
	}
}
