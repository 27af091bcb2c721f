package srtp

import "encoding/binary"

// gcmOpener opens under AEAD_AES_128_GCM. It is ours because pion/srtp allocates once for each
// SRTCP packet under GCM and eight times for each packet with a wrong tag, which is what an
// attacker sends.
type gcmOpener struct {
	in        *gcm
	rtp, rtcp windows
}

func newGCMOpener(key, salt []byte) (*gcmOpener, error) {
	g, err := newGCM(key, salt)
	return &gcmOpener{in: g, rtp: newWindows(), rtcp: newWindows()}, err
}

func (o *gcmOpener) openRTP(dst, datagram []byte, headerLen int) (int, error) {
	ssrc := binary.BigEndian.Uint32(datagram[8:])
	w, err := o.rtp.find(ssrc)
	if err != nil {
		return 0, err
	}
	index := w.guess(binary.BigEndian.Uint16(datagram[2:]))
	if !w.fresh(index) || index > maxIndex {
		return 0, ErrReplay
	}
	n, err := o.in.openRTP(dst, datagram, headerLen, ssrc, index)
	if err != nil {
		return 0, err
	}
	o.rtp.use(ssrc, w, index)
	return n, nil
}

func (o *gcmOpener) openRTCP(dst, datagram []byte) (int, error) {
	ssrc := binary.BigEndian.Uint32(datagram[4:])
	w, err := o.rtcp.find(ssrc)
	if err != nil {
		return 0, err
	}
	word := binary.BigEndian.Uint32(datagram[len(datagram)-indexLen:])
	index := uint64(word & maxRTCPIndex)
	if !w.fresh(index) {
		return 0, ErrReplay
	}
	n, err := o.in.openRTCP(dst, datagram, ssrc, word)
	if err != nil {
		return 0, err
	}
	o.rtcp.use(ssrc, w, index)
	return n, nil
}

// windows are the replay windows of the peer's SSRCs.
type windows struct {
	bySSRC map[uint32]*window
	ssrc   uint32  // the one found last: packets come in runs
	last   *window // its window; nil: none yet
	blank  window  // what find returns for an SSRC not seen before; never changed
}

func newWindows() windows { return windows{bySSRC: map[uint32]*window{}} }

// find returns the window of ssrc, which for a new SSRC is one that no packet has used. It
// refuses new SSRCs beyond MaxRemoteSSRCs.
func (ws *windows) find(ssrc uint32) (*window, error) {
	if ws.last != nil && ws.ssrc == ssrc {
		return ws.last, nil
	}
	if w := ws.bySSRC[ssrc]; w != nil {
		ws.ssrc, ws.last = ssrc, w
		return w, nil
	}
	if len(ws.bySSRC) >= MaxRemoteSSRCs {
		return nil, ErrTooManySSRCs
	}
	return &ws.blank, nil
}

// use marks index as used in w, which find has returned for ssrc. Only now, when the packet's
// tag has proven that the peer sent it, does a new SSRC cost memory.
func (ws *windows) use(ssrc uint32, w *window, index uint64) {
	if w == &ws.blank {
		w = new(window)
		ws.bySSRC[ssrc] = w
		ws.ssrc, ws.last = ssrc, w
	}
	w.use(index)
}
