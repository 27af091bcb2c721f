package turnsrv

import (
	"encoding/hex"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/pion/stun/v3"

	"tsubame/netio/flow"
	"tsubame/turnsrv/stunwire"
)

// RFC 5769 section 2.4: a request with long-term authentication, by the user "マトリックス" with
// the password "TheMatrIX" after SASLprep.
const rfcLongTerm = `
	00 01 00 60 21 12 a4 42 78 ad 34 33 c6 ad 72 c0 29 da 41 2e
	00 06 00 12 e3 83 9e e3 83 88 e3 83 aa e3 83 83 e3 82 af e3 82 b9 00 00
	00 15 00 1c 66 2f 2f 34 39 39 6b 39 35 34 64 36 4f 4c 33 34 6f 4c 39 46 53 54 76 79 36 34 73 41
	00 14 00 0b 65 78 61 6d 70 6c 65 2e 6f 72 67 00
	00 08 00 14 f6 70 24 65 6d d6 4a 3e 02 b8 e0 71 2e 85 c9 a2 8c a8 96 66`

// unhex decodes hexadecimal digits with white space between them.
func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(s), ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestSampleOfLongTermCredentialsVerifies(t *testing.T) {
	const user = "マトリックス"
	var m message
	if reason, ok := m.parse(unhex(t, rfcLongTerm)); !ok {
		t.Fatal(reason)
	}
	if string(m.username) != user || string(m.realm) != "example.org" || string(m.nonce) != "f//499k954d6OL34oL9FSTvy64sA" {
		t.Errorf("read as %q, %q, %q", m.username, m.realm, m.nonce)
	}
	var mac stunwire.MAC
	if key := LongTermKey(user, "example.org", "TheMatrIX"); !stunwire.Verify(&mac, key[:], m.b, m.end) {
		t.Error("the right password is refused")
	}
	for _, key := range [][16]byte{{}, LongTermKey(user, "example.org", "TheMatrix"), LongTermKey(user, "example.com", "TheMatrIX")} {
		if stunwire.Verify(&mac, key[:], m.b, m.end) {
			t.Error("a wrong key is taken")
		}
	}
}

func TestSampleWithAnyBitFlippedDoesNotVerify(t *testing.T) {
	var mac stunwire.MAC
	key := LongTermKey("マトリックス", "example.org", "TheMatrIX")
	for i := range len(unhex(t, rfcLongTerm)) * 8 {
		b := unhex(t, rfcLongTerm)
		b[i/8] ^= 1 << (i % 8)
		var m message
		if _, ok := m.parse(b); ok && m.has(hasIntegrity) && stunwire.Verify(&mac, key[:], m.b, m.end) {
			t.Fatalf("bit %d of byte %d is not covered", i%8, i/8)
		}
	}
}

// RFC 8489 section 9.2.4; the bytes are what libwebrtc sends first.
func TestAllocateWithoutCredentialsIsChallenged(t *testing.T) {
	w := newWorld(t)
	c := w.connect(1)
	first := unhex(t, "0003 0008 2112a442 000102030405060708090a0b 0019 0004 11000000")
	m, reason := c.answer(first)
	if codeOf(t, m) != 401 || reason != Challenged {
		t.Fatal(m, reason)
	}
	var realm stun.Realm
	var nonce stun.Nonce
	if realm.GetFrom(m) != nil || nonce.GetFrom(m) != nil || string(realm) != testRealm || len(nonce) != nonceLen {
		t.Fatal(m)
	}
	if m.Contains(stun.AttrFingerprint) || m.Contains(stun.AttrSoftware) || m.Contains(stun.AttrMessageIntegrity) {
		t.Error("the challenge has more than it needs")
	}
	if w.allocations() != 0 || w.count(Challenged) != 1 {
		t.Error("state, or no count")
	}
}

func TestAnswerHasFingerprintIfTheRequestHad(t *testing.T) {
	w := newWorld(t)
	c := w.connect(1)
	m, _ := c.answer(w.build(stun.MethodAllocate, stun.ClassRequest, overUDP, stun.Fingerprint).Raw)
	if err := stun.Fingerprint.Check(m); err != nil {
		t.Error(err)
	}
	if err := stun.Fingerprint.Check(c.allocate()); err != nil {
		t.Error(err)
	}
	unmarked := w.connect(2)
	unmarked.prove()
	m, _ = unmarked.answer(w.build(stun.MethodAllocate, stun.ClassRequest, overUDP, stun.NewUsername("user2"), stun.NewRealm(testRealm),
		stun.NewNonce(unmarked.nonce), stun.NewLongTermIntegrity("user2", testRealm, testPassword)).Raw)
	if codeOf(t, m) != 0 || m.Contains(stun.AttrFingerprint) {
		t.Error(m)
	}
	if err := stun.NewLongTermIntegrity("user2", testRealm, testPassword).Check(m); err != nil {
		t.Error(err)
	}
}

// Row ICE-06.
func TestSoftwareGoesToWhoHasShownCredentials(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.Software = "a server" })
	c := w.connect(1)
	m, _ := c.answer(w.build(stun.MethodAllocate, stun.ClassRequest, overUDP).Raw)
	if m.Contains(stun.AttrSoftware) {
		t.Error("a stranger is told the software")
	}
	var software stun.Software
	if err := software.GetFrom(c.allocate()); err != nil || software.String() != "a server" {
		t.Error(software, err)
	}
}

func TestIntegrityWithoutUsernameRealmOrNonceIs400(t *testing.T) {
	all := []stun.Setter{stun.NewUsername("user1"), stun.NewRealm(testRealm), stun.NewNonce("0123456789abcdef")}
	for missing := range all {
		w := newWorld(t)
		c := w.connect(1)
		setters := []stun.Setter{overUDP}
		for i, s := range all {
			if i != missing {
				setters = append(setters, s)
			}
		}
		setters = append(setters, stun.NewLongTermIntegrity("user1", testRealm, testPassword))
		m, reason := c.answer(w.build(stun.MethodAllocate, stun.ClassRequest, setters...).Raw)
		if codeOf(t, m) != 400 || reason != BadRequest || m.Contains(stun.AttrNonce) || m.Contains(stun.AttrMessageIntegrity) {
			t.Errorf("without attribute %d: %v", missing, m)
		}
	}
}

// wrongCredentials are ways to be refused with 401.
var wrongCredentials = map[string]func(*client){
	"unknown username":     func(c *client) { c.username = "nobody" },
	"empty username":       func(c *client) { c.username = "" },
	"wrong password":       func(c *client) { c.password += "x" },
	"wrong realm":          func(c *client) { c.realm = "example.org" },
	"connection has ended": func(c *client) { delete(c.w.accounts, c.username) },
	"another connection's name": func(c *client) {
		c.w.connect(9)
		c.w.accounts["user9"] = Account{Key: [16]byte{9}}
		c.username = "user9"
	},
	"realm differs only in letter": func(c *client) { c.realm = strings.ToUpper(c.realm) },
}

// Row TURN-08.
func TestWrongCredentialsAre401(t *testing.T) {
	for name, spoil := range wrongCredentials {
		for _, method := range []stun.Method{stun.MethodAllocate, stun.MethodRefresh, stun.MethodCreatePermission, stun.MethodChannelBind} {
			t.Run(fmt.Sprint(name, " ", method), func(t *testing.T) {
				w := newWorld(t)
				c := w.connect(1)
				c.prove()
				spoil(c)
				m := c.refused(401, method, overUDP)
				if !m.Contains(stun.AttrNonce) || !m.Contains(stun.AttrRealm) || m.Contains(stun.AttrMessageIntegrity) {
					t.Error(m)
				}
				if w.count(Unauthorised) != 1 || w.allocations() != 0 {
					t.Error("state, or no count")
				}
			})
		}
	}
}

func TestRealmThatWasNotSignedForIs401(t *testing.T) {
	w := newWorld(t)
	c := w.connect(1)
	c.prove()
	m, _ := c.answer(w.build(stun.MethodAllocate, stun.ClassRequest, overUDP, stun.NewUsername("user1"), stun.NewRealm("other"),
		stun.NewNonce(c.nonce), stun.NewLongTermIntegrity("user1", testRealm, testPassword)).Raw)
	if codeOf(t, m) != 401 {
		t.Error(m)
	}
}

// Row TURN-08.
func TestCredentialsEndWithTheirConnection(t *testing.T) {
	w := newWorld(t)
	c := w.connect(1)
	c.allocate()
	c.must(stun.MethodCreatePermission, peerAt(ours4))
	c.must(stun.MethodChannelBind, peerAt(ours4), channelNumber(0x4000))
	replay := c.signed(stun.MethodAllocate, overUDP)
	delete(w.accounts, "user1")
	w.s.End(1, 7)
	if w.allocations() != 0 {
		t.Fatal("the allocation lives on")
	}
	if m, _ := c.answer(replay); codeOf(t, m) != 401 {
		t.Error(m)
	}
	if r := c.indicate(peerAt(ours4), "data"); r.Outcome != Dropped || r.Reason != Unallocated {
		t.Errorf("%+v", r)
	}
	if _, _, ok := w.s.ChannelData(c.k, channelData(0x4000, "data")); ok {
		t.Error("the channel lives on")
	}
}

// Row TURN-08.
func TestAnotherConnectionsCredentialsOnAnAllocationAre441(t *testing.T) {
	for _, method := range []stun.Method{stun.MethodRefresh, stun.MethodCreatePermission, stun.MethodChannelBind} {
		w := newWorld(t)
		c, thief := w.connect(1), w.connect(2)
		c.allocate()
		thief.k = c.k
		thief.refused(441, method, peerAt(ours4), channelNumber(0x4000), lifetime(0))
		if w.allocations() != 1 || w.count(WrongCredentials) != 1 || c.book().Channel(flow.Via(0).Relayed(0, 0)) != 0 {
			t.Errorf("%v did something", method)
		}
	}
}

// Row TURN-08.
func TestLaterConnectionAtTheSameIndexIsAnother(t *testing.T) {
	w := newWorld(t)
	c := w.connect(1)
	c.allocate()
	w.accounts["next"] = Account{Connection: 1, Serial: 8, Key: LongTermKey("next", testRealm, testPassword), Book: new(Book)}
	c.username = "next"
	c.refused(441, stun.MethodRefresh)
}

// Row TURN-05.
func TestNonceThatIsNotGoodIs438(t *testing.T) {
	for name, spoil := range map[string]func(*client){
		"expired":           func(c *client) { c.w.now = c.w.now.Add(10*time.Minute + time.Second) },
		"another port":      func(c *client) { c.k.Port++ },
		"another address":   func(c *client) { c.k.Remote[15]++ },
		"forged":            func(c *client) { c.nonce = "0123456789abcdef" },
		"one letter":        func(c *client) { c.nonce = "A" + c.nonce[1:15] + "_" },
		"cut":               func(c *client) { c.nonce = c.nonce[:15] },
		"longer":            func(c *client) { c.nonce += "A" },
		"empty":             func(c *client) { c.nonce = "" },
		"not base64":        func(c *client) { c.nonce = "????????????????" },
		"line ends":         func(c *client) { c.nonce = strings.Repeat("\n", nonceLen) },
		"another server's":  func(c *client) { c.nonce = nonceOf(c, func(cfg *Config) { cfg.Secret[31] = 1 }) },
		"from the future":   func(c *client) { c.w.now = c.w.now.Add(-2 * time.Second) },
		"500 bytes of text": func(c *client) { c.nonce = strings.Repeat("x", 500) },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			c := w.connect(1)
			c.prove()
			spoil(c)
			m, reason := c.answer(c.signed(stun.MethodAllocate, overUDP))
			if codeOf(t, m) != 438 || reason != StaleNonce || w.allocations() != 0 {
				t.Fatal(m, reason)
			}
			var fresh stun.Nonce
			if err := fresh.GetFrom(m); err != nil {
				t.Fatal(err)
			}
			c.nonce = string(fresh)
			c.allocate()
		})
	}
}

// nonceOf returns the nonce that another server gives c.
func nonceOf(c *client, change func(*Config)) string {
	other := newWorld(c.w.t, change)
	other.now = c.w.now
	there := *c
	there.w, there.nonce = other, ""
	there.prove()
	return there.nonce
}

func TestNonceOfAnotherShardIsGood(t *testing.T) {
	w := newWorld(t)
	c := w.connect(1)
	c.nonce = nonceOf(c, func(*Config) {})
	c.allocate()
}

func TestNonceIsGoodUntilItExpires(t *testing.T) {
	w := newWorld(t)
	c := w.connect(1)
	c.allocate()
	w.now = w.now.Add(10*time.Minute - time.Nanosecond)
	c.must(stun.MethodRefresh)
	w.now = w.now.Add(time.Nanosecond)
	c.refused(438, stun.MethodRefresh)
}

// A call of hours: a client that takes the new nonce from each 438 keeps its allocation.
func TestAllocationOutlivesItsNonce(t *testing.T) {
	w := newWorld(t)
	c := w.connect(1)
	c.allocate()
	c.must(stun.MethodChannelBind, peerAt(ours4), channelNumber(0x4000))
	stale := 0
	for range 60 {
		w.pass(4 * time.Minute)
		for _, request := range [][]stun.Setter{{lifetime(600)}, {peerAt(ours4), channelNumber(0x4000)}} {
			method := stun.MethodRefresh
			if len(request) == 2 {
				method = stun.MethodChannelBind
			}
			m, code := c.ask(method, request...)
			if code == 438 {
				var fresh stun.Nonce
				if err := fresh.GetFrom(m); err != nil {
					t.Fatal(err)
				}
				c.nonce = string(fresh)
				stale++
				c.must(method, request...)
			} else if code != 0 {
				t.Fatal(code)
			}
		}
		if _, _, ok := w.s.ChannelData(c.k, channelData(0x4000, "media")); !ok {
			t.Fatal("the channel is gone")
		}
	}
	if stale < 20 || stale > 30 {
		t.Errorf("%d stale nonces in four hours", stale)
	}
}

func TestNewServerPanicsOnMistakes(t *testing.T) {
	good := Config{Realm: "r", Secret: [32]byte{1}}
	for name, change := range map[string]func(*Config){
		"no secret":          func(c *Config) { c.Secret = [32]byte{} },
		"no realm":           func(c *Config) { c.Realm = "" },
		"long realm":         func(c *Config) { c.Realm = strings.Repeat("x", MaxRealm+1) },
		"long software":      func(c *Config) { c.Software = strings.Repeat("x", MaxSoftware+1) },
		"lifetimes":          func(c *Config) { c.MaxLifetime = time.Minute },
		"negative lifetime":  func(c *Config) { c.DefaultLifetime = -time.Minute },
		"negative rate":      func(c *Config) { c.Rate = -1 },
		"negative numbers":   func(c *Config) { c.Allocations = -1 },
		"no time for nonces": func(c *Config) { c.NonceLifetime = time.Millisecond },
	} {
		t.Run(name, func(t *testing.T) {
			cfg := good
			change(&cfg)
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()
			NewServer(cfg, nil)
		})
	}
}

func TestHandlePanicsWithoutRoomForAnAnswer(t *testing.T) {
	w := newWorld(t)
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	w.s.Handle(start, flow.KeyOf(netip.Addr{}, netip.AddrPort{}), nil, make([]byte, MaxResponse-1))
}
