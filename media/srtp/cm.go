package srtp

import (
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
