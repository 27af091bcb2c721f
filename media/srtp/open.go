package srtp

import (
	"encoding/binary"
	"errors"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	pion "github.com/pion/srtp/v3"
)

// Header extension profiles of RFC 9335 (Cryptex), which encrypts headers and which we never
// negotiate.
const (
	cryptexOneByte = 0xC0DE
	cryptexTwoByte = 0xC2DE
)

// maxKeptExtensions is how many parsed header extensions the reused header may keep room for.
// Browsers send up to eight; a packet can hold hundreds.
const maxKeptExtensions = 16

// opener opens what the peer seals, by pion/srtp. It adds what pion leaves to its caller: no
// allocation, a bound on SSRCs, no unencrypted SRTCP, and errors to tell apart.
type opener struct {
	context    *pion.Context
	header     rtp.Header // reused: pion allocates one per packet otherwise
	rtcpHeader rtcp.Header
	tagLen     int
	aead       bool

	// How many SSRCs pion remembers, and the one seen last, which it need not be asked about.
	rtpSSRCs, rtcpSSRCs   int
	lastRTP, lastRTCP     uint32
	rtpBefore, rtcpBefore bool
}

func (o *opener) init(p Profile, key, salt []byte) (err error) {
	o.tagLen, o.aead = p.RTPOverhead(), p == AEAD_AES_128_GCM
	o.context, err = pion.CreateContext(key, salt, pionProfile(p),
		pion.SRTPReplayProtection(ReplayWindow), pion.SRTCPReplayProtection(ReplayWindow))
	return err
}

func (o *opener) rtp(dst, datagram []byte) (int, error) {
	if len(datagram) < rtpHeaderLen+o.tagLen {
		return 0, ErrShort
	}
	if datagram[0]>>6 != 2 {
		return 0, ErrMalformed
	}
	if len(dst) < len(datagram) {
		return 0, ErrBuffer
	}
	ssrc := binary.BigEndian.Uint32(datagram[8:])
	known := o.rtpBefore && ssrc == o.lastRTP
	if !known {
		if _, known = o.context.ROC(ssrc); !known && o.rtpSSRCs >= MaxRemoteSSRCs {
			return 0, ErrTooManySSRCs
		}
	}
	out, err := o.context.DecryptRTP(dst[:0], datagram, &o.header)
	if cap(o.header.Extensions) > maxKeptExtensions {
		o.header.Extensions = nil
	}
	if err != nil {
		return 0, o.classify(err, datagram)
	}
	if !known {
		o.rtpSSRCs++
	}
	o.lastRTP, o.rtpBefore = ssrc, true
	return len(out), nil
}

// classify names why pion refused an SRTP packet. It tells us of a wrong tag only; what else
// it finds in a header we look up again, and a replay is what remains.
func (o *opener) classify(err error, datagram []byte) error {
	if errors.Is(err, pion.ErrFailedToVerifyAuthTag) {
		return ErrAuth
	}
	var h rtp.Header
	n, err := h.Unmarshal(datagram)
	switch {
	case err != nil:
		return ErrMalformed
	case len(datagram) < n+o.tagLen:
		return ErrShort
	case h.Extension && (h.ExtensionProfile == cryptexOneByte || h.ExtensionProfile == cryptexTwoByte):
		return ErrMalformed
	}
	return ErrReplay
}

func (o *opener) rtcp(dst, datagram []byte) (int, error) {
	n := len(datagram) - o.tagLen - indexLen
	if n < rtcpHeaderLen {
		return 0, ErrShort
	}
	if datagram[0]>>6 != 2 {
		return 0, ErrMalformed
	}
	// The index stands last under GCM, before the tag under HMAC-SHA1.
	at := n
	if o.aead {
		at = len(datagram) - indexLen
	}
	if datagram[at]&encryptedBit == 0 {
		return 0, ErrPlain
	}
	if len(dst) < len(datagram) {
		return 0, ErrBuffer
	}
	ssrc := binary.BigEndian.Uint32(datagram[4:])
	known := o.rtcpBefore && ssrc == o.lastRTCP
	if !known {
		if _, known = o.context.Index(ssrc); !known && o.rtcpSSRCs >= MaxRemoteSSRCs {
			return 0, ErrTooManySSRCs
		}
	}
	out, err := o.context.DecryptRTCP(dst[:0], datagram, &o.rtcpHeader)
	if errors.Is(err, pion.ErrFailedToVerifyAuthTag) {
		return 0, ErrAuth
	}
	if err != nil {
		return 0, ErrReplay // all else has been ruled out above
	}
	if !known {
		o.rtcpSSRCs++
	}
	o.lastRTCP, o.rtcpBefore = ssrc, true
	return len(out), nil
}
