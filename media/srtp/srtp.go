// Package srtp protects the RTP and RTCP of one connection (RFC 3711, RFC 7714), both ways.
//
// A Session holds the keys that DTLS agreed on. It belongs to the shard goroutine that owns
// the connection: no other may call it or anything it returned. Opening refuses replays.
// Sealing goes straight from a payload that many viewers share into the packet of one of them,
// and seals each (SSRC, index) once, because a second time with other bytes would give the key
// away. AEAD_AES_128_GCM is our own; the rarely seen AES_CM_128_HMAC_SHA1_80 is pion/srtp's.
// Nothing here allocates per packet, keeps a slice that it was given, or knows what a packet
// means.
package srtp

import (
	"errors"

	pion "github.com/pion/srtp/v3"

	"tsubame/netio/count"
)

// Why a packet was not opened or not sealed. They are classes to count by, and never wrapped.
var (
	// ErrShort: fewer bytes than header and tag take.
	ErrShort = errors.New("srtp: packet too short")
	// ErrMalformed: not RTP or RTCP version 2, or a header that breaks RFC 3550.
	ErrMalformed = errors.New("srtp: malformed header")
	// ErrAuth: the authentication tag is wrong.
	ErrAuth = errors.New("srtp: authentication failed")
	// ErrReplay: opened before, or older than the replay window.
	ErrReplay = errors.New("srtp: replayed packet")
	// ErrPlain: an SRTCP packet that says it is not encrypted (E bit 0), which no WebRTC
	// peer may send (RFC 8827 section 6.5).
	ErrPlain = errors.New("srtp: unencrypted SRTCP")
	// ErrTooManySSRCs: the session has opened packets of MaxRemoteSSRCs others already, or, under
	// AES_CM_128_HMAC_SHA1_80, sealed control packets of MaxLocalSSRCs others.
	ErrTooManySSRCs = errors.New("srtp: too many SSRCs")
	// ErrBuffer: the result does not fit the buffer.
	ErrBuffer = errors.New("srtp: buffer too small")
	// ErrSealedTwice: the index was sealed before, or is too old to be sure that it was not.
	ErrSealedTwice = errors.New("srtp: index sealed twice")
	// ErrExhausted: the key has protected as many packets as it may (RFC 3711 section 9.2).
	ErrExhausted = errors.New("srtp: key exhausted")
	// ErrNoStream: the stream is nil, was removed, or belongs to another session.
	ErrNoStream = errors.New("srtp: no such stream")
)

// Bounds of one session, with what happens there.
const (
	// ReplayWindow is how many packets behind the newest one may still come (RFC 3711
	// section 3.3.2), for RTP and for RTCP. It has to hold what a NACK brings back late.
	ReplayWindow = windowSize
	// SealWindow is how many packets behind the newest of its stream a packet may be sealed.
	SealWindow = windowSize
	// MaxLocalSSRCs is how many SSRCs may ever have sent in a session. An SSRC that was
	// removed counts on, since its indices must never be sealed again. At the bound AddStream
	// refuses.
	MaxLocalSSRCs = 1 << 14
	// MaxRemoteSSRCs is how many SSRCs the peer may ever have sent with, counted for RTP and
	// RTCP each: forgetting one would let its packets be replayed. Packets of further ones are
	// refused.
	MaxRemoteSSRCs = 1024

	maxIndex     = 1<<48 - 1 // of RTP: ROC and SEQ (RFC 3711 section 3.3.1)
	maxPackets   = 1 << 48   // of RTP under one key (RFC 3711 section 9.2)
	maxRTCPIndex = 1<<31 - 1 // of SRTCP; it is never used again from 0
)

// What protection adds to a packet at most, whatever the profile. See Profile for exact values.
const (
	MaxRTPOverhead  = gcmTagLen
	MaxRTCPOverhead = gcmTagLen + indexLen
)

const (
	rtpHeaderLen  = 12 // without CSRCs and extensions
	rtcpHeaderLen = 8  // what SRTCP leaves in the clear
	indexLen      = 4  // E bit and SRTCP index
	encryptedBit  = 0x80
	gcmTagLen     = 16 // RFC 7714 section 13.2
	cmTagLen      = 10 // HMAC-SHA1 cut to 80 bits
)

// Profile is an SRTP protection profile (RFC 5764 section 4.1.2, RFC 7714 section 14.2).
type Profile uint8

// The profiles, in our order of preference.
const (
	AEAD_AES_128_GCM Profile = iota + 1
	AES_CM_128_HMAC_SHA1_80
)

// ID returns the profile's number in DTLS's use_srtp extension; 0 if p is not a profile.
func (p Profile) ID() uint16 {
	switch p {
	case AEAD_AES_128_GCM:
		return 0x0007
	case AES_CM_128_HMAC_SHA1_80:
		return 0x0001
	}
	return 0
}

// ProfileByID is the inverse of ID.
func ProfileByID(id uint16) (Profile, bool) {
	switch id {
	case 0x0007:
		return AEAD_AES_128_GCM, true
	case 0x0001:
		return AES_CM_128_HMAC_SHA1_80, true
	}
	return 0, false
}

// String returns the name that RFC 7714 and RFC 5764 use.
func (p Profile) String() string {
	switch p {
	case AEAD_AES_128_GCM:
		return "AEAD_AES_128_GCM"
	case AES_CM_128_HMAC_SHA1_80:
		return "AES_CM_128_HMAC_SHA1_80"
	}
	return "unknown"
}

// KeyLen returns the length of a master key in bytes.
func (p Profile) KeyLen() int { return 16 }

// SaltLen returns the length of a master salt in bytes.
func (p Profile) SaltLen() int {
	if p == AES_CM_128_HMAC_SHA1_80 {
		return 14
	}
	return 12
}

// RTPOverhead returns how many bytes SealRTP adds.
func (p Profile) RTPOverhead() int {
	if p == AES_CM_128_HMAC_SHA1_80 {
		return cmTagLen
	}
	return gcmTagLen
}

// RTCPOverhead returns how many bytes SealRTCP adds.
func (p Profile) RTCPOverhead() int { return p.RTPOverhead() + indexLen }

// Keys are the master keys and salts of a connection, as exported from DTLS (RFC 5764
// section 4.2). Local ones protect what we send.
type Keys struct {
	Profile    Profile
	LocalKey   []byte
	LocalSalt  []byte
	RemoteKey  []byte
	RemoteSalt []byte
}

// Counters count what a session refused, by reason. Any goroutine may read them.
type Counters struct {
	Malformed    count.Word // ErrShort and ErrMalformed
	Auth         count.Word
	Replay       count.Word
	Plain        count.Word
	TooManySSRCs count.Word
	SealedTwice  count.Word
	Exhausted    count.Word
}

// count counts err and returns it.
func (c *Counters) count(err error) error {
	if err == nil {
		return nil
	}
	switch err {
	case ErrShort, ErrMalformed:
		c.Malformed.Inc()
	case ErrAuth:
		c.Auth.Inc()
	case ErrReplay:
		c.Replay.Inc()
	case ErrPlain:
		c.Plain.Inc()
	case ErrTooManySSRCs:
		c.TooManySSRCs.Inc()
	case ErrSealedTwice:
		c.SealedTwice.Inc()
	case ErrExhausted:
		c.Exhausted.Inc()
	}
	return err
}

// pionProfile is p's name in pion/srtp.
func pionProfile(p Profile) pion.ProtectionProfile {
	if p == AES_CM_128_HMAC_SHA1_80 {
		return pion.ProtectionProfileAes128CmHmacSha1_80
	}
	return pion.ProtectionProfileAeadAes128Gcm
}
