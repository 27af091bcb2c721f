package load

import (
	"bytes"
	"testing"

	pionsrtp "github.com/pion/srtp/v3"

	benchpeer "tsubame/bench/peer"
	"tsubame/media/param"
	"tsubame/media/rtcp"
	"tsubame/media/rtp"
	"tsubame/media/srtp"
	"tsubame/netio/mmsg"
)

const gcmProfile = pionsrtp.ProtectionProfileAeadAes128Gcm

// pairOf makes a client's keys and the session of its server.
func pairOf(t *testing.T, profile pionsrtp.ProtectionProfile) (*secured, *srtp.Session) {
	t.Helper()
	ours, _ := srtp.ProfileByID(uint16(profile))
	k := benchpeer.Keys{
		Profile: profile, LocalKey: bytes.Repeat([]byte{1}, 16), RemoteKey: bytes.Repeat([]byte{2}, 16),
		LocalSalt: bytes.Repeat([]byte{3}, ours.SaltLen()), RemoteSalt: bytes.Repeat([]byte{4}, ours.SaltLen()),
	}
	near, err := newSecured(k)
	if err != nil {
		t.Fatal(err)
	}
	far, err := srtp.NewSession(srtp.Keys{
		Profile: ours, LocalKey: k.RemoteKey, LocalSalt: k.RemoteSalt, RemoteKey: k.LocalKey, RemoteSalt: k.LocalSalt,
	})
	if err != nil {
		t.Fatal(err)
	}
	return near, far
}

func TestServersOpenTheControlPacketsOfClients(t *testing.T) {
	for _, profile := range []pionsrtp.ProtectionProfile{
		pionsrtp.ProtectionProfileAeadAes128Gcm, pionsrtp.ProtectionProfileAes128CmHmacSha1_80,
	} {
		near, far := pairOf(t, profile)
		var c scratch
		for i := range uint32(3) { // the third would be a replay if an index came twice
			plain := rtcp.AppendPLI(nil, 7, i)
			slot := make([]byte, mmsg.SlotSize)
			n, err := near.sealRTCP(&c, slot, copy(slot, plain))
			if err != nil {
				t.Fatal(err)
			}
			got := make([]byte, n)
			n, err = far.OpenRTCP(got, slot[:n])
			if err != nil || !bytes.Equal(got[:n], plain) {
				t.Errorf("%v: packet %d is %x, %v, want %x", profile, i, got[:n], err, plain)
			}
		}
	}
}

func TestControlPacketsWithoutRoomAreNotSealed(t *testing.T) {
	near, _ := pairOf(t, pionsrtp.ProtectionProfileAeadAes128Gcm)
	var c scratch
	slot := rtcp.AppendPLI(nil, 7, 8)
	if _, err := near.sealRTCP(&c, slot, len(slot)); err != srtp.ErrBuffer {
		t.Errorf("%v", err)
	}
	near.controlled = maxControlIndex
	slot = append(slot, make([]byte, 100)...)
	if _, err := near.sealRTCP(&c, slot, 12); err != srtp.ErrExhausted {
		t.Errorf("behind the last index: %v", err)
	}
}

func TestProfileOfNobodyIsRefused(t *testing.T) {
	if _, err := newSecured(benchpeer.Keys{Profile: pionsrtp.ProtectionProfileNullHmacSha1_80}); err == nil {
		t.Error("a profile without encryption was taken")
	}
}

func TestHeadersThatEndTooEarlyAreNone(t *testing.T) {
	whole := make([]byte, 12+4+4+8+tagLen) // a CSRC, and an extension of two words
	whole[0] = 0x91
	whole[12+4+3] = 2
	if n := clearOf(whole); n != 12+4+4+8 {
		t.Errorf("a header of 28 bytes has %d", n)
	}
	for n := range len(whole) {
		if got := clearOf(whole[:n]); got != badHeader {
			t.Errorf("%d of %d bytes have a header of %d", n, len(whole), got)
		}
	}
	whole[0] = 0x51
	if clearOf(whole) != badHeader {
		t.Error("version 1 has a header")
	}
	if ssrcOf(whole[:11]) != 0 {
		t.Error("11 bytes have an SSRC")
	}
}

// The server counts the rollovers of an SSRC for as long as it has the keys.
func TestStreamThatComesBackGoesOnWithItsNumbers(t *testing.T) {
	f := newFar(t, 100)
	s, p := f.rig.shard, f.rig.peer
	f.rig.phase(measuring)
	f.seq = 65530
	for range 10 {
		f.packet(t)
	}
	s.read(s.batch)
	f.rig.want("forwarded", s.total.forwarded, 10)
	sec := section{kind: param.Video, ssrc: 1, rtxSSRC: 2, sends: true, formats: []format{{codec: param.VP8, pt: 96}}}
	p.describe(s, &Description{}, true)
	if len(p.streams) != 0 {
		t.Fatal("the stream did not end")
	}
	p.describe(s, &Description{sections: []section{sec}}, true)
	s.batch.Reset()
	f.packet(t)
	s.read(s.batch)
	f.rig.want("undecryptable", s.total.undecryptable, 0)
	f.rig.want("packets", p.streams[0].packets, 1)
}

func TestOldNumbersAreForgottenAtABound(t *testing.T) {
	p := &peer{}
	for i := range uint32(maxPast + 10) {
		one := &stream{ssrc: i, packets: 1, unwrap: rtp.Unwrapper{}}
		p.remember(one)
	}
	if len(p.past) > maxPast {
		t.Errorf("%d are remembered, %d at most", len(p.past), maxPast)
	}
	p.remember(&stream{ssrc: 1 << 20})
	if _, ok := p.past[1<<20]; ok {
		t.Error("a stream of no packets has numbers")
	}
}
