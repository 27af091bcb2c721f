package codec

import "time"

// TOC is the first byte of an Opus packet (RFC 6716 section 3.1).
type TOC struct {
	Config uint8 // 0..31: mode, bandwidth and frame size
	Stereo bool
	Code   uint8 // 0: one frame, 1 and 2: two frames, 3: any number of frames
	// FrameDuration is that of one frame; a packet may have several.
	FrameDuration time.Duration
}

// ParseTOC reads a TOC byte. Every value is valid.
func ParseTOC(b uint8) TOC {
	t := TOC{Config: b >> 3, Stereo: b&0x04 != 0, Code: b & 0x03}
	t.FrameDuration = frameDurations[t.Config]
	return t
}

// frameDurations is table 2 of RFC 6716: SILK, hybrid and CELT modes.
var frameDurations = func() (d [32]time.Duration) {
	const ms = time.Millisecond
	for config := range d {
		switch {
		case config < 12:
			d[config] = [4]time.Duration{10 * ms, 20 * ms, 40 * ms, 60 * ms}[config%4]
		case config < 16:
			d[config] = [2]time.Duration{10 * ms, 20 * ms}[config%2]
		default:
			d[config] = [4]time.Duration{2500 * time.Microsecond, 5 * ms, 10 * ms, 20 * ms}[config%4]
		}
	}
	return d
}()

// readOpus never fails: a packet is a whole frame, and one that is empty or has nothing
// behind its TOC byte says that nothing is heard (RFC 6716 section 3.2.1, RFC 7587
// section 3.1.3). Frame counts and lengths are the decoder's to check: they are not part
// of the TOC byte, and may be encrypted.
func (d *Descriptor) readOpus(b []byte) {
	d.FrameStart = true
	d.DTX = len(b) <= 1
	if len(b) > 0 {
		d.Size = 1
	}
}
