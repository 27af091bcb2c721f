package srtp

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Session protects one connection. Get one from NewSession.
type Session struct {
	// What SealRTP needs is one cache line.
	profile Profile
	index   uint32 // of the last SRTCP packet
	open    opener // the two halves of the profile
	seal    sealer
	streams map[uint32]*Stream
	packets uint64 // RTP packets sealed under this key, and
	bytes   uint64 // how long they became

	retired  map[uint32]uint64 // of removed SSRCs: the first index not sealed
	counters Counters
}

// sealer is the sending cipher of a profile. The caller has made sure that the result fits
// and that the nonce is new. Both methods return the length of the result.
type sealer interface {
	// sealRTP protects header slot[:headerLen] and payload; the latter may stand right
	// behind the header already, or anywhere outside the slot.
	sealRTP(slot []byte, headerLen int, payload []byte, ssrc uint32, index uint64) (int, error)
	// sealRTCP protects the compound packet slot[:plainLen] in place.
	sealRTCP(slot []byte, plainLen int, ssrc, index uint32) (int, error)
}

// NewSession makes a session of keys, none of which it keeps a reference to. It fails if the
// profile is unknown or a length is wrong for it.
func NewSession(k Keys) (*Session, error) {
	if k.Profile.ID() == 0 {
		return nil, fmt.Errorf("srtp: unknown profile %d", k.Profile)
	}
	for _, key := range [][]byte{k.LocalKey, k.RemoteKey} {
		if len(key) != k.Profile.KeyLen() {
			return nil, fmt.Errorf("srtp: %v: master key of %d bytes", k.Profile, len(key))
		}
	}
	for _, salt := range [][]byte{k.LocalSalt, k.RemoteSalt} {
		if len(salt) != k.Profile.SaltLen() {
			return nil, fmt.Errorf("srtp: %v: master salt of %d bytes", k.Profile, len(salt))
		}
	}
	s := &Session{profile: k.Profile, streams: map[uint32]*Stream{}, retired: map[uint32]uint64{}}
	var openErr, sealErr error
	if k.Profile == AEAD_AES_128_GCM {
		s.open, openErr = newGCMOpener(k.RemoteKey, k.RemoteSalt)
		s.seal, sealErr = newGCM(k.LocalKey, k.LocalSalt)
	} else {
		s.open, openErr = newCMOpener(k.RemoteKey, k.RemoteSalt)
		s.seal, sealErr = newCM(k.LocalKey, k.LocalSalt)
	}
	if err := errors.Join(openErr, sealErr); err != nil {
		return nil, fmt.Errorf("srtp: %w", err)
	}
	return s, nil
}

// Profile returns the session's protection profile.
func (s *Session) Profile() Profile { return s.profile }

// Counters returns what the session has refused so far.
func (s *Session) Counters() *Counters { return &s.counters }

// Sealed returns how many RTP packets SealRTP has protected, and how many bytes they have.
func (s *Session) Sealed() (packets, bytes uint64) { return s.packets, s.bytes }

// SealRTP protects one RTP packet of stream st: the header that stands in slot[:headerLen],
// and payload, which may stand at slot[headerLen:] already or outside of the slot, where it is
// only read. The result begins at slot[0] and has n bytes. index is ROC<<16 | SEQ; SEQ and the
// stream's SSRC must be those in the header, anything else is a programming error and panics.
// ErrSealedTwice says that nothing was sealed because the index was used before, or may have
// been: more than SealWindow behind the newest, or before a RemoveStream.
func (s *Session) SealRTP(slot []byte, headerLen int, payload []byte, st *Stream, index uint64) (n int, err error) {
	if st == nil || st.owner != s {
		return 0, ErrNoStream
	}
	if headerLen < rtpHeaderLen || binary.BigEndian.Uint32(slot[8:]) != st.ssrc ||
		binary.BigEndian.Uint16(slot[2:]) != uint16(index) {
		panic("srtp: the header does not belong to the stream and index")
	}
	if headerLen+len(payload)+s.profile.RTPOverhead() > len(slot) {
		return 0, ErrBuffer
	}
	if index > maxIndex || s.packets >= maxPackets {
		return 0, s.counters.count(ErrExhausted)
	}
	if !st.window.fresh(index) {
		return 0, s.counters.count(ErrSealedTwice)
	}
	st.window.use(index)
	s.packets++
	n, err = s.seal.sealRTP(slot, headerLen, payload, st.ssrc, index)
	s.bytes += uint64(n)
	return n, s.counters.count(err)
}

// SealRTCP protects the compound RTCP packet in slot[:plainLen] in place; the result has n
// bytes. The SRTCP index counts all packets of the session, whatever SSRC sends them, so that
// the limit of RFC 3711 section 9.2 holds for the key by itself.
func (s *Session) SealRTCP(slot []byte, plainLen int) (n int, err error) {
	if plainLen < rtcpHeaderLen || slot[0]>>6 != 2 {
		panic("srtp: not an RTCP packet")
	}
	if plainLen+s.profile.RTCPOverhead() > len(slot) {
		return 0, ErrBuffer
	}
	if s.index >= maxRTCPIndex {
		return 0, s.counters.count(ErrExhausted)
	}
	s.index++ // the first is 1, as everywhere
	n, err = s.seal.sealRTCP(slot, plainLen, binary.BigEndian.Uint32(slot[4:]), s.index)
	return n, s.counters.count(err)
}
