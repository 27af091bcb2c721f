package srtp

import (
	"encoding/binary"
	"errors"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	pion "github.com/pion/srtp/v3"
)

// cm seals under AES_CM_128_HMAC_SHA1_80 with pion/srtp. A peer that offers nothing better is
// rare, so this need not be fast, and the payload is copied once more than under GCM.
type cm struct {
	context    *pion.Context
	header     rtp.Header // reused: pion allocates one per packet otherwise
	rtcpHeader rtcp.Header
	senders    int // SSRCs that have sent RTCP
}

func newCM(key, salt []byte) (*cm, error) {
	context, err := pion.CreateContext(key, salt, pionProfile(AES_CM_128_HMAC_SHA1_80))
	return &cm{context: context}, err
}

func (c *cm) sealRTP(slot []byte, headerLen int, payload []byte, ssrc uint32, index uint64) (int, error) {
	n := headerLen + copy(slot[headerLen:], payload)
	// pion guesses the rollover counter from the sequence numbers it has seen. Setting it
	// each time makes it take ours, in any order and after any gap.
	c.context.SetROC(ssrc, uint32(index>>16))
	out, err := c.context.EncryptRTP(slot[:0], slot[:n], &c.header)
	if err != nil {
		return 0, ErrMalformed
	}
	return len(out), nil
}

func (c *cm) sealRTCP(slot []byte, plainLen int, ssrc, index uint32) (int, error) {
	// pion keeps an index per SSRC, and cannot forget one.
	if _, known := c.context.Index(ssrc); !known {
		if c.senders >= MaxLocalSSRCs {
			return 0, ErrTooManySSRCs
		}
		c.senders++
	}
	c.context.SetIndex(ssrc, index-1) // it adds one
	out, err := c.context.EncryptRTCP(slot[:0], slot[:plainLen], &c.rtcpHeader)
	if err != nil {
		return 0, ErrMalformed
	}
	return len(out), nil
}

// maxKeptExtensions is how many parsed header extensions the reused header may keep room for.
// Browsers send up to eight; a packet can hold hundreds.
const maxKeptExtensions = 16

// cmOpener opens under AES_CM_128_HMAC_SHA1_80 with pion/srtp. It adds what pion leaves to its
// caller: no allocation, a bound on SSRCs, and errors to tell apart. A refused packet costs
// pion a few allocations.
type cmOpener struct {
	context    *pion.Context
	header     rtp.Header // reused: pion allocates one per packet otherwise
	rtcpHeader rtcp.Header
	rtpSSRCs   int // SSRCs that pion remembers
	rtcpSSRCs  int
}

func newCMOpener(key, salt []byte) (*cmOpener, error) {
	context, err := pion.CreateContext(key, salt, pionProfile(AES_CM_128_HMAC_SHA1_80),
		pion.SRTPReplayProtection(ReplayWindow), pion.SRTCPReplayProtection(ReplayWindow))
	return &cmOpener{context: context}, err
}

func (o *cmOpener) openRTP(dst, datagram []byte, _ int) (int, error) {
	_, known := o.context.ROC(binary.BigEndian.Uint32(datagram[8:]))
	if !known && o.rtpSSRCs >= MaxRemoteSSRCs {
		return 0, ErrTooManySSRCs
	}
	out, err := o.context.DecryptRTP(dst[:0], datagram, &o.header)
	if cap(o.header.Extensions) > maxKeptExtensions {
		o.header.Extensions = nil
	}
	if err != nil {
		return 0, classify(err, datagram)
	}
	if !known {
		o.rtpSSRCs++
	}
	return len(out), nil
}

// classify names why pion refused an SRTP packet. It tells us of a wrong tag only. The rest is
// header extensions that it cannot read or that are encrypted (RFC 9335, which we never agree
// to), which we look up again, and replays.
func classify(err error, datagram []byte) error {
	if errors.Is(err, pion.ErrFailedToVerifyAuthTag) {
		return ErrAuth
	}
	var h rtp.Header
	if _, err = h.Unmarshal(datagram); err != nil || h.Extension &&
		(h.ExtensionProfile == rtp.CryptexProfileOneByte || h.ExtensionProfile == rtp.CryptexProfileTwoByte) {
		return ErrMalformed
	}
	return ErrReplay
}

func (o *cmOpener) openRTCP(dst, datagram []byte) (int, error) {
	_, known := o.context.Index(binary.BigEndian.Uint32(datagram[4:]))
	if !known && o.rtcpSSRCs >= MaxRemoteSSRCs {
		return 0, ErrTooManySSRCs
	}
	out, err := o.context.DecryptRTCP(dst[:0], datagram, &o.rtcpHeader)
	if errors.Is(err, pion.ErrFailedToVerifyAuthTag) {
		return 0, ErrAuth
	}
	if err != nil {
		return 0, ErrReplay // all else has been ruled out before
	}
	if !known {
		o.rtcpSSRCs++
	}
	return len(out), nil
}
