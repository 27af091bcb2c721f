package srtp

import (
	"bytes"
	"encoding/binary"
	"testing"

	"pgregory.net/rapid"
)

// pair returns two ends of a connection and a stream of the first.
func pair(t testing.TB, p Profile) (from, to *Session, st *Stream) {
	k := testKeys(p)
	from, to = newSession(t, turned(k)), newSession(t, k)
	return from, to, from.AddStream(testSSRC)
}

// open opens a packet.
func open(s *Session, packet []byte) error {
	var dst [2048]byte
	_, err := s.OpenRTP(dst[:], packet)
	return err
}

// report returns a protected receiver report of ssrc with that SRTCP index.
func report(t testing.TB, s *Session, ssrc, index uint32) []byte {
	t.Helper()
	slot := make([]byte, 64)
	plain := unhex(t, "80c90001 00000000")
	binary.BigEndian.PutUint32(plain[4:], ssrc)
	s.index = index - 1
	n, err := s.SealRTCP(slot, copy(slot, plain))
	if err != nil {
		t.Fatal(err)
	}
	return slot[:n]
}

// openRTCP opens a control packet.
func openRTCP(s *Session, packet []byte) error {
	var dst [2048]byte
	_, err := s.OpenRTCP(dst[:], packet)
	return err
}

// Row RTP-03.
func TestReplayedRTPIsRefused(t *testing.T) {
	for _, p := range profiles {
		from, to, st := pair(t, p)
		newest := mustSeal(t, from, st, 5000, nil)
		edge := mustSeal(t, from, st, 5000-ReplayWindow+1, nil)
		for i, packet := range [][]byte{newest, edge} {
			if err := open(to, packet); err != nil {
				t.Errorf("%v: packet %d: %v", p, i, err)
			}
			if err := open(to, packet); err != ErrReplay {
				t.Errorf("%v: packet %d again: %v", p, i, err)
			}
		}
		other := newSession(t, turned(testKeys(p))) // whose own window does not stop it
		if err := open(to, mustSeal(t, other, other.AddStream(testSSRC), 5000-ReplayWindow, nil)); err != ErrReplay {
			t.Errorf("%v: older than the window: %v", p, err)
		}
		if n := to.Counters().Replay.Load(); n != 3 {
			t.Errorf("%v: counted %d", p, n)
		}
	}
}

// Row RTP-03.
func TestInterleavedSSRCsHaveWindowsOfTheirOwn(t *testing.T) {
	for _, p := range profiles {
		from, to, _ := pair(t, p)
		var rtp, rtcp [][]byte
		for i := range uint32(20) {
			ssrc := testSSRC + i*i%3
			st := stream(from, ssrc)
			rtp = append(rtp, mustSeal(t, from, st, uint64(ssrc%3)*30000+uint64(i), nil))
			rtcp = append(rtcp, report(t, from, ssrc, ssrc%3*50000+i+1))
		}
		for i := range rtp {
			if err := open(to, rtp[i]); err != nil {
				t.Errorf("%v: RTP %d: %v", p, i, err)
			}
			if err := openRTCP(to, rtcp[i]); err != nil {
				t.Errorf("%v: RTCP %d: %v", p, i, err)
			}
			for j := range i + 1 {
				if open(to, rtp[j]) != ErrReplay || openRTCP(to, rtcp[j]) != ErrReplay {
					t.Errorf("%v: packet %d was opened again after %d", p, j, i)
				}
			}
		}
	}
}

func TestNothingIsOpenedBeyondTheLastIndex(t *testing.T) {
	from, to, st := pair(t, AEAD_AES_128_GCM)
	w := &window{next: maxIndex - 3}
	to.open.(*gcmOpener).rtp.bySSRC[testSSRC] = w
	if err := open(to, mustSeal(t, from, st, maxIndex, nil)); err != nil {
		t.Errorf("the last packet: %v", err)
	}
	other := newSession(t, turned(testKeys(AEAD_AES_128_GCM)))
	if err := open(to, mustSeal(t, other, other.AddStream(testSSRC), 0, nil)); err != ErrReplay {
		t.Errorf("the first packet again: %v", err)
	}
}

// Row RTP-03.
func TestReplayedRTCPIsRefused(t *testing.T) {
	for _, p := range profiles {
		from, to, _ := pair(t, p)
		for _, index := range []uint32{5000, 5000 - ReplayWindow + 1} {
			packet := report(t, from, testSSRC, index)
			if err := openRTCP(to, packet); err != nil {
				t.Errorf("%v: index %d: %v", p, index, err)
			}
			if err := openRTCP(to, packet); err != ErrReplay {
				t.Errorf("%v: index %d again: %v", p, index, err)
			}
		}
		if err := openRTCP(to, report(t, from, testSSRC, 5000-ReplayWindow)); err != ErrReplay {
			t.Errorf("%v: older than the window: %v", p, err)
		}
		if n := to.Counters().Replay.Load(); n != 3 {
			t.Errorf("%v: counted %d", p, n)
		}
	}
}

// A packet is opened if it is new and within the window, whatever was lost, reordered or
// repeated before it, around wraps too. The next packet may be up to 2^15-1 ahead of the
// newest: that is as far as sequence numbers tell (RFC 3711 section 3.3.1).
//
// Row RTP-03.
func TestAnyScheduleOfLossReorderingAndReplayIsFollowed(t *testing.T) {
	for _, p := range profiles {
		t.Run(p.String(), func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				k := testKeys(p)
				to, err := NewSession(k)
				if err != nil {
					t.Fatal(err)
				}
				newest := rapid.Uint64Range(0, 1<<16-1).Draw(t, "first")
				seen := map[uint64]bool{}
				deliver := func(index uint64) {
					want := error(nil)
					if seen[index] || index+ReplayWindow <= newest {
						want = ErrReplay
					}
					if err := open(to, sealedAt(t, k, index)); err != want {
						t.Fatalf("index %d, newest %d: %v, want %v", index, newest, err, want)
					}
					if want == nil {
						seen[index] = true
						newest = max(newest, index)
					}
				}
				deliver(newest)
				t.Repeat(map[string]func(*rapid.T){
					"next": func(t *rapid.T) { deliver(newest + 1) },
					"loss": func(t *rapid.T) { deliver(newest + rapid.Uint64Range(1, 1<<15-1).Draw(t, "ahead")) },
					"late": func(t *rapid.T) {
						deliver(newest - min(newest, rapid.Uint64Range(0, 2*ReplayWindow).Draw(t, "behind")))
					},
					"repeat": func(t *rapid.T) { deliver(newest) },
					"at wrap": func(t *rapid.T) {
						if last := newest | 0xffff; last+1-newest < 1<<15 && last > newest {
							deliver(last + 1)
							deliver(last)
						}
					},
				})
			})
		})
	}
}

// sealedAt returns the peer's packet with that index. Every call has a session of its own, as
// a sender seals none twice.
func sealedAt(t *rapid.T, k Keys, index uint64) []byte {
	s, err := NewSession(turned(k))
	if err != nil {
		t.Fatal(err)
	}
	packet, err := sealed(s, s.AddStream(testSSRC), index, []byte("payload"))
	if err != nil {
		t.Fatal(err)
	}
	return packet
}

// remembered returns how many SSRCs of RTP and RTCP cost s memory.
func remembered(s *Session) int {
	if o, ok := s.open.(*gcmOpener); ok {
		return len(o.rtp.bySSRC) + len(o.rtcp.bySSRC)
	}
	o := s.open.(*cmOpener)
	return o.rtpSSRCs + o.rtcpSSRCs
}

// Row RTP-01.
func TestInjectedPacketsHaveNoEffect(t *testing.T) {
	for _, p := range profiles {
		from, to, st := pair(t, p)
		if err := open(to, mustSeal(t, from, st, 65530, nil)); err != nil {
			t.Fatal(err)
		}
		if err := openRTCP(to, report(t, from, testSSRC, 100)); err != nil {
			t.Fatal(err)
		}
		k := testKeys(p)
		k.RemoteKey = seq(77, 16)
		stranger := newSession(t, turned(k))
		// Next ones, far ones that would move the rollover counter or the windows if believed,
		// and one of an SSRC not seen before.
		for i, index := range []uint64{65531, 65530 + 20000, 65536, 65000, 65530 + 32767} {
			if err := open(to, mustSeal(t, stranger, stranger.AddStream(uint32(i)), index, seq(0, 50))); err != ErrAuth {
				t.Errorf("%v: unknown SSRC: %v", p, err)
			}
			again := newSession(t, turned(k)) // whose window does not stop the order of indices
			if err := open(to, mustSeal(t, again, again.AddStream(testSSRC), index, nil)); err != ErrAuth {
				t.Errorf("%v: index %d: %v", p, index, err)
			}
			if err := openRTCP(to, report(t, stranger, testSSRC, 101+uint32(i)*50000)); err != ErrAuth {
				t.Errorf("%v: SRTCP: %v", p, err)
			}
		}
		if n, ssrcs := to.Counters().Auth.Load(), remembered(to); n != 15 || ssrcs != 2 {
			t.Errorf("%v: counted %d, remembers %d SSRCs", p, n, ssrcs)
		}
		for _, index := range []uint64{65531, 65536, 65529} {
			if err := open(to, mustSeal(t, from, st, index, nil)); err != nil {
				t.Errorf("%v: the true packet %d: %v", p, index, err)
			}
		}
		if err := openRTCP(to, report(t, from, testSSRC, 101)); err != nil {
			t.Errorf("%v: the true SRTCP packet: %v", p, err)
		}
	}
}

func TestEveryTurnedBitIsNoticed(t *testing.T) {
	for _, p := range profiles {
		from, to, st := pair(t, p)
		packet := mustSeal(t, from, st, 9, seq(1, 30))
		control := report(t, from, testSSRC, 1)
		for bit := range 8 * len(packet) {
			b := bytes.Clone(packet)
			b[bit/8] ^= 1 << (bit % 8)
			if err := open(to, b); err == nil {
				t.Errorf("%v: RTP with bit %d turned was opened", p, bit)
			}
		}
		for bit := range 8 * len(control) {
			b := bytes.Clone(control)
			b[bit/8] ^= 1 << (bit % 8)
			if err := openRTCP(to, b); err == nil {
				t.Errorf("%v: RTCP with bit %d turned was opened", p, bit)
			}
		}
		if open(to, packet) != nil || openRTCP(to, control) != nil {
			t.Errorf("%v: the true ones are refused after that", p)
		}
	}
}

func TestEveryTruncationIsAnError(t *testing.T) {
	for _, p := range profiles {
		from, to, _ := pair(t, p)
		for name, h := range headers {
			slot := make([]byte, 200)
			n, err := from.SealRTP(slot, copy(slot, unhex(t, h)), seq(1, 30), stream(from, testSSRC), 0x1234)
			if err != nil {
				t.Fatal(err)
			}
			for i := range n {
				if err := open(to, slot[:i:i]); err == nil {
					t.Errorf("%v %s: %d of %d bytes were opened", p, name, i, n)
				}
			}
			from.RemoveStream(stream(from, testSSRC))
			from, _, _ = pair(t, p)
		}
		packet := report(t, from, testSSRC, 1)
		for i := range packet {
			if err := openRTCP(to, packet[:i:i]); err == nil {
				t.Errorf("%v: %d of %d bytes of SRTCP were opened", p, i, len(packet))
			}
		}
	}
}

func TestBufferShorterThanThePlainPacketIsRefusedAndNothingIsLost(t *testing.T) {
	for _, p := range profiles {
		from, to, st := pair(t, p)
		packet := mustSeal(t, from, st, 1, seq(1, 30))
		control := report(t, from, testSSRC, 1)
		rtp, rtcp := len(packet)-p.RTPOverhead(), len(control)-p.RTCPOverhead()
		dst := make([]byte, 100)
		if _, err := to.OpenRTP(dst[:rtp-1], packet); err != ErrBuffer {
			t.Errorf("%v: %v", p, err)
		}
		if _, err := to.OpenRTCP(dst[:rtcp-1], control); err != ErrBuffer {
			t.Errorf("%v: %v", p, err)
		}
		if n, err := to.OpenRTP(dst[:rtp:rtp], packet); err != nil || n != rtp || !bytes.Equal(dst[rtpHeaderLen:n], seq(1, 30)) {
			t.Errorf("%v: %d, %v", p, n, err)
		}
		if n, err := to.OpenRTCP(dst[:rtcp:rtcp], control); err != nil || n != rtcp || dst[1] != 201 {
			t.Errorf("%v: %d, %v", p, n, err)
		}
	}
}

func TestPacketMayBeOpenedInPlace(t *testing.T) {
	for _, p := range profiles {
		from, to, st := pair(t, p)
		packet := mustSeal(t, from, st, 1, seq(1, 30))
		n, err := to.OpenRTP(packet, packet)
		if err != nil || !bytes.Equal(packet[rtpHeaderLen:n], seq(1, 30)) {
			t.Errorf("%v: %v, %x", p, err, packet[:n])
		}
	}
}

func TestRemoteSSRCsAreBounded(t *testing.T) {
	for _, p := range profiles {
		from, to, _ := pair(t, p)
		for ssrc := range uint32(MaxRemoteSSRCs) {
			if err := open(to, mustSeal(t, from, from.AddStream(ssrc), 1, nil)); err != nil {
				t.Fatal(err)
			}
			if err := openRTCP(to, report(t, from, ssrc, ssrc+1)); err != nil {
				t.Fatal(err)
			}
		}
		if err := open(to, mustSeal(t, from, from.AddStream(MaxRemoteSSRCs), 1, nil)); err != ErrTooManySSRCs {
			t.Errorf("%v: %v", p, err)
		}
		if err := openRTCP(to, report(t, from, MaxRemoteSSRCs, 5000)); err != ErrTooManySSRCs {
			t.Errorf("%v: %v", p, err)
		}
		if n := to.Counters().TooManySSRCs.Load(); n != 2 {
			t.Errorf("%v: counted %d", p, n)
		}
		if err := open(to, mustSeal(t, from, from.streams[3], 2, nil)); err != nil {
			t.Errorf("%v: a known SSRC is refused: %v", p, err)
		}
		if err := openRTCP(to, report(t, from, 3, 5001)); err != nil {
			t.Errorf("%v: a known SSRC is refused: %v", p, err)
		}
	}
}

// A packet full of one-byte extensions must not leave a large table in every session.
func TestExtensionTableDoesNotStayLarge(t *testing.T) {
	from, to, st := pair(t, AES_CM_128_HMAC_SHA1_80)
	slot := make([]byte, 2048)
	h := putHeader(slot, testSSRC, 1)
	slot[0] |= 0x10
	copy(slot[h:], unhex(t, "bede0100"))
	h += 4
	for range 512 {
		h += copy(slot[h:], []byte{0x10, 0xff})
	}
	n, err := from.SealRTP(slot, h, seq(1, 30), st, 1)
	if err != nil {
		t.Fatal(err)
	}
	if err := open(to, slot[:n]); err != nil {
		t.Fatal(err)
	}
	if c := cap(to.open.(*cmOpener).header.Extensions); c > maxKeptExtensions {
		t.Errorf("room for %d stays", c)
	}
}
