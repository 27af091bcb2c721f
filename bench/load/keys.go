package load

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"fmt"
	"unsafe"

	benchpeer "tsubame/bench/peer"
	"tsubame/media/prefetch"
	"tsubame/media/srtp"
)

// Lengths of SRTP (RFC 3711) and of its AEAD_AES_128_GCM (RFC 7714).
const (
	saltLen         = 12
	tagLen          = 16
	rtpHeaderLen    = 12 // without CSRCs and extension
	controlClearLen = 8  // of SRTCP
	controlIndexLen = 4  // E bit and index
	controlFlag     = 1 << 31
	maxControlIndex = 1<<31 - 1

	// Labels of the key derivation (RFC 3711 section 4.3.2).
	labelMediaKey    = 0x00
	labelMediaSalt   = 0x02
	labelControlKey  = 0x03
	labelControlSalt = 0x05

	// Where crypto/aes has what opening and sealing read of a key, in bytes from its beginning
	// and in cache lines. Should that change, what is read comes late, and that is all.
	scheduleLines = 3
	tableAt       = 504
	tableLines    = 5

	badHeader = -1
)

// oneWay is one direction's key of AEAD_AES_128_GCM, of RTP or of RTCP.
type oneWay struct {
	aead cipher.AEAD // nil: another profile, which package srtp does
	salt [saltLen]byte
}

// scratch is what would escape to the heap if it were local.
type scratch struct {
	nonce [saltLen]byte
	aad   [controlClearLen + controlIndexLen]byte
}

// secured is what a handshake comes to. Under AEAD_AES_128_GCM, media that comes is opened and
// RTCP that goes is sealed by keys of our own: a viewer has the number of each packet in its
// stream already, so that a packet needs no second window, and where the keys are is known,
// so that they can be asked for ahead. The rest, all of other profiles included, is the
// session's. No RTCP is sealed by both: they would use one index twice.
type secured struct {
	session    *srtp.Session
	media      oneWay // of what comes
	control    oneWay // of the RTCP that goes
	controlled uint32 // the index of the last
}

// newSecured derives the keys.
func newSecured(k benchpeer.Keys) (*secured, error) {
	profile, ok := srtp.ProfileByID(uint16(k.Profile))
	if !ok {
		return nil, fmt.Errorf("load: the server chose SRTP profile %v", k.Profile)
	}
	session, err := srtp.NewSession(srtp.Keys{
		Profile: profile, LocalKey: k.LocalKey, LocalSalt: k.LocalSalt,
		RemoteKey: k.RemoteKey, RemoteSalt: k.RemoteSalt,
	})
	if err != nil {
		return nil, err
	}
	all := &secured{session: session}
	if profile != srtp.AEAD_AES_128_GCM {
		return all, nil
	}
	if all.media, err = newOneWay(k.RemoteKey, k.RemoteSalt, labelMediaKey, labelMediaSalt); err != nil {
		return nil, err
	}
	all.control, err = newOneWay(k.LocalKey, k.LocalSalt, labelControlKey, labelControlSalt)
	return all, err
}

// newOneWay derives a session key and salt (RFC 3711 section 4.3.1).
func newOneWay(key, salt []byte, keyLabel, saltLabel byte) (oneWay, error) {
	master, err := aes.NewCipher(key)
	if err != nil {
		return oneWay{}, err
	}
	var w oneWay
	var own [16]byte
	derive(own[:], master, salt, keyLabel)
	derive(w.salt[:], master, salt, saltLabel)
	block, err := aes.NewCipher(own[:])
	if err != nil {
		return oneWay{}, err
	}
	w.aead, err = cipher.NewGCM(block)
	return w, err
}

// derive fills dst with what AES-CM makes of a master salt of 96 bits, which is one of 112
// with zeros at its end (RFC 7714 section 11), and a label.
func derive(dst []byte, master cipher.Block, salt []byte, label byte) {
	var iv [aes.BlockSize]byte
	copy(iv[:14], salt)
	iv[7] ^= label
	master.Encrypt(iv[:], iv[:]) // the first block of the key stream is all that is asked for
	copy(dst, iv[:])
}

// nonceOf is RFC 7714 sections 8.1 and 9.1: two zero bytes, SSRC and index, exclusive-or salt.
func (c *scratch) nonceOf(salt *[saltLen]byte, ssrc uint32, index uint64) []byte {
	binary.BigEndian.PutUint32(c.nonce[:], binary.BigEndian.Uint32(salt[:])^ssrc>>16)
	binary.BigEndian.PutUint64(c.nonce[4:], binary.BigEndian.Uint64(salt[4:])^(uint64(ssrc)<<48|index))
	return c.nonce[:]
}

// openRTP opens a packet with a number in its place and returns the length of the plain one;
// false: no key of ours sealed it.
func (w *oneWay) openRTP(c *scratch, b []byte, headerLen int, ssrc uint32, index uint64) (n int, ok bool) {
	n = len(b) - tagLen
	_, err := w.aead.Open(b[headerLen:headerLen:n], c.nonceOf(&w.salt, ssrc, index), b[headerLen:], b[:headerLen])
	return n, err == nil
}

// sealRTCP seals the compound packet slot[:n] in its place and returns its length then.
func (all *secured) sealRTCP(c *scratch, slot []byte, n int) (int, error) {
	w := &all.control
	if w.aead == nil {
		return all.session.SealRTCP(slot, n)
	}
	end := n + tagLen
	if end+controlIndexLen > len(slot) {
		return 0, srtp.ErrBuffer
	}
	if all.controlled == maxControlIndex {
		return 0, srtp.ErrExhausted
	}
	all.controlled++
	word := all.controlled | controlFlag
	copy(c.aad[:], slot[:controlClearLen])
	binary.BigEndian.PutUint32(c.aad[controlClearLen:], word)
	nonce := c.nonceOf(&w.salt, binary.BigEndian.Uint32(slot[4:]), uint64(all.controlled))
	w.aead.Seal(slot[controlClearLen:controlClearLen:end], nonce, slot[controlClearLen:n], c.aad[:])
	binary.BigEndian.PutUint32(slot[end:], word)
	return end + controlIndexLen, nil
}

// warm asks for the key.
func (w *oneWay) warm() {
	// An interface's second word is where its value is. Nothing is read from there.
	at := (*[2]unsafe.Pointer)(unsafe.Pointer(&w.aead))[1]
	prefetch.Lines(at, scheduleLines)
	prefetch.Lines(unsafe.Add(at, tableAt), tableLines)
}

// ssrcOf returns the SSRC of an RTP packet; 0: it is too short for one.
func ssrcOf(b []byte) uint32 {
	if len(b) < rtpHeaderLen {
		return 0
	}
	return binary.BigEndian.Uint32(b[8:])
}

// clearOf returns how long the header of an SRTP packet is, which has at least a tag behind
// it; badHeader: it is none.
func clearOf(b []byte) int {
	if len(b) < rtpHeaderLen+tagLen || b[0]>>6 != 2 {
		return badHeader
	}
	n := rtpHeaderLen + 4*int(b[0]&0x0f)
	if b[0]&0x10 != 0 {
		if len(b) < n+4 {
			return badHeader
		}
		n += 4 + 4*int(binary.BigEndian.Uint16(b[n+2:]))
	}
	if len(b) < n+tagLen {
		return badHeader
	}
	return n
}
