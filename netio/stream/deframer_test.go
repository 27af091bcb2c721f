package stream

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"

	"tsubame/netio/flow"
)

const (
	turn   = Deframer(flow.TURNStream)
	framed = Deframer(flow.FramedStream)
)

// A Binding request without attributes (RFC 8489 section 5).
var binding = []byte{
	0x00, 0x01, 0x00, 0x00, 0x21, 0x12, 0xa4, 0x42,
	1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12,
}

func TestFramesOfTURN(t *testing.T) {
	withAttribute := append(bytes.Clone(binding), 0x80, 0x22, 0, 0)
	withAttribute[3] = 4
	for name, c := range map[string]struct {
		b     []byte
		frame []byte
		n     int
	}{
		"STUN":                       {binding, binding, 20},
		"STUN with an attribute":     {withAttribute, withAttribute, 24},
		"STUN and more":              {append(bytes.Clone(binding), 0x40), binding, 20},
		"ChannelData, no padding":    {[]byte{0x40, 0, 0, 4, 1, 2, 3, 4}, []byte{0x40, 0, 0, 4, 1, 2, 3, 4}, 8},
		"ChannelData, padded":        {[]byte{0x4f, 0xff, 0, 1, 9, 0, 0, 0}, []byte{0x4f, 0xff, 0, 1, 9}, 8},
		"ChannelData, noisy padding": {[]byte{0x40, 1, 0, 3, 1, 2, 3, 0xff, 7}, []byte{0x40, 1, 0, 3, 1, 2, 3}, 8},
		"ChannelData of nothing":     {[]byte{0x40, 0, 0, 0}, []byte{0x40, 0, 0, 0}, 4},
	} {
		frame, n, err := turn.Peek(c.b)
		if !bytes.Equal(frame, c.frame) || n != c.n || err != nil {
			t.Errorf("%s: %x, %d, %v", name, frame, n, err)
		}
	}
}

func TestFramesOfRFC4571(t *testing.T) {
	for name, c := range map[string]struct {
		b     []byte
		frame []byte
		n     int
	}{
		"one":           {[]byte{0, 3, 1, 2, 3}, []byte{1, 2, 3}, 5},
		"one and more":  {[]byte{0, 1, 7, 0}, []byte{7}, 3},
		"empty":         {[]byte{0, 0}, []byte{}, 2},
		"empty, more":   {[]byte{0, 0, 0, 1, 5}, []byte{}, 2},
		"STUN":          {append([]byte{0, 20}, binding...), binding, 22},
		"looks of TURN": {[]byte{0x00, 0x04, 0xff, 0xff, 0xff, 0xff}, []byte{255, 255, 255, 255}, 6},
	} {
		frame, n, err := framed.Peek(c.b)
		if !bytes.Equal(frame, c.frame) || n != c.n || err != nil {
			t.Errorf("%s: %x, %d, %v", name, frame, n, err)
		}
	}
}

func TestLongestFrames(t *testing.T) {
	longest := make([]byte, lengthSize+MaxFrame)
	binary.BigEndian.PutUint16(longest, MaxFrame)
	if frame, n, err := framed.Peek(longest); len(frame) != MaxFrame || n != len(longest) || err != nil {
		t.Errorf("RFC 4571: %d, %d, %v", len(frame), n, err)
	}
	channel := make([]byte, MaxFrame)
	channel[0] = 0x40
	binary.BigEndian.PutUint16(channel[2:], MaxFrame-channelHeader-3)
	if frame, n, err := turn.Peek(channel); len(frame) != MaxFrame-3 || n != MaxFrame || err != nil {
		t.Errorf("ChannelData: %d, %d, %v", len(frame), n, err)
	}
	message := make([]byte, MaxFrame)
	copy(message, binding)
	binary.BigEndian.PutUint16(message[2:], MaxFrame-stunHeader)
	if frame, n, err := turn.Peek(message); len(frame) != MaxFrame || n != MaxFrame || err != nil {
		t.Errorf("STUN: %d, %d, %v", len(frame), n, err)
	}
	if maxWire < lengthSize+MaxFrame {
		t.Error("the reader does not make room for the longest frame")
	}
}

func TestEveryTruncationWaitsForMore(t *testing.T) {
	for name, c := range map[string]struct {
		d Deframer
		b []byte
	}{
		"STUN":        {turn, binding},
		"ChannelData": {turn, []byte{0x40, 0, 0, 5, 1, 2, 3, 4, 5, 0, 0, 0}},
		"RFC 4571":    {framed, []byte{0, 4, 1, 2, 3, 4}},
	} {
		for cut := range len(c.b) {
			if frame, n, err := c.d.Peek(c.b[:cut]); frame != nil || n != 0 || err != nil {
				t.Errorf("%s, %d bytes: %x, %d, %v", name, cut, frame, n, err)
			}
		}
		if _, n, err := c.d.Peek(c.b); n != len(c.b) || err != nil {
			t.Errorf("%s: %d, %v", name, n, err)
		}
	}
}

// A lie shows in the shortest prefix that holds it; nothing is waited for.
// Row ICE-13.
// Row TURN-09.
func TestLieIsSeenBeforeItsFrameHasCome(t *testing.T) {
	for name, c := range map[string]struct {
		d    Deframer
		b    []byte
		from int // the error shows from so many bytes on
		want error
	}{
		"STUN, too long":             {turn, []byte{0x00, 0x01, 0x08, 0x00}, 4, ErrTooLong},
		"STUN, 64 KiB":               {turn, []byte{0x00, 0x01, 0xff, 0xfc}, 4, ErrTooLong},
		"STUN, odd length":           {turn, []byte{0x00, 0x01, 0x00, 0x02}, 4, ErrBadSTUN},
		"STUN without cookie":        {turn, []byte{0x00, 0x01, 0x00, 0x00, 0x21, 0x12, 0xa4, 0x43}, 8, ErrBadSTUN},
		"ChannelData, too long":      {turn, []byte{0x40, 0x00, 0x07, 0xfd}, 4, ErrTooLong},
		"ChannelData, 64 KiB":        {turn, []byte{0x40, 0x00, 0xff, 0xff}, 4, ErrTooLong},
		"ChannelData, reserved":      {turn, []byte{0x50}, 1, ErrNotTURN},
		"DTLS without a frame":       {turn, []byte{0x80}, 1, ErrNotTURN},
		"RTP without a frame":        {turn, []byte{0xff}, 1, ErrNotTURN},
		"RFC 4571, too long":         {framed, []byte{0x08, 0x01}, 2, ErrTooLong},
		"RFC 4571, 64 KiB":           {framed, []byte{0xff, 0xff}, 2, ErrTooLong},
		"RFC 4571 that is an HTTP":   {framed, []byte("GET / HTTP/1.1\r\n"), 2, ErrTooLong},
		"TURN that is an HTTP":       {turn, []byte("PRI * HTTP/2.0\r\n"), 1, ErrNotTURN},
		"TURN that is a TLS record":  {turn, []byte{0x16, 0x03, 0x01, 0x02}, 4, ErrBadSTUN},
		"TURN that is an RFC 4571":   {turn, append([]byte{0, 20}, binding...), 4, ErrBadSTUN},
		"UDP is no stream, any byte": {Deframer(flow.UDP), []byte{0}, 0, errNoStream},
	} {
		for n := range len(c.b) + 1 {
			frame, size, err := c.d.Peek(c.b[:n])
			if frame != nil || size != 0 {
				t.Errorf("%s, %d bytes: a frame", name, n)
			}
			if want := n >= c.from; want != (err != nil) || want && !errors.Is(err, c.want) {
				t.Errorf("%s, %d bytes: %v", name, n, err)
			}
		}
	}
}

func TestCutTakesOutEmptyFrames(t *testing.T) {
	for name, c := range map[string]struct {
		b    []byte
		want []byte // what is left of it
		cuts cuts
	}{
		"none":            {[]byte{0, 1, 5, 0, 2, 6, 7}, []byte{0, 1, 5, 0, 2, 6, 7}, cuts{frames: 2, bytes: 7}},
		"only":            {[]byte{0, 0, 0, 0}, nil, cuts{empty: 2}},
		"first":           {[]byte{0, 0, 0, 1, 5}, []byte{0, 1, 5}, cuts{frames: 1, bytes: 3, empty: 1}},
		"between":         {[]byte{0, 1, 5, 0, 0, 0, 0, 0, 1, 6}, []byte{0, 1, 5, 0, 1, 6}, cuts{frames: 2, bytes: 6, empty: 2}},
		"before a part":   {[]byte{0, 1, 5, 0, 0, 0, 9, 1, 2}, []byte{0, 1, 5, 0, 9, 1, 2}, cuts{frames: 1, bytes: 3, empty: 1, pending: 4}},
		"before one byte": {[]byte{0, 0, 0}, []byte{0}, cuts{empty: 1, pending: 1}},
		"before a lie":    {[]byte{0, 0, 0, 1, 5, 255, 255}, []byte{0, 1, 5, 255, 255}, cuts{frames: 1, bytes: 3, empty: 1, pending: 2, err: ErrTooLong}},
		"nothing":         {nil, nil, cuts{}},
	} {
		b := bytes.Clone(c.b)
		got := framed.cut(b)
		if got != c.cuts || !bytes.Equal(b[:got.bytes+got.pending], c.want) {
			t.Errorf("%s: %+v, %v", name, got, b[:got.bytes+got.pending])
		}
	}
}

// FuzzDeframer feeds bytes whole and byte by byte: both have to find the same frames.
func FuzzDeframer(f *testing.F) {
	f.Add(false, append([]byte{0, 20}, binding...))
	f.Add(false, []byte{0, 0, 0, 0, 0, 1, 5, 0xff, 0xff})
	f.Add(true, append(bytes.Clone(binding), 0x40, 0, 0, 1, 9, 0, 0, 0, 0x50))
	f.Fuzz(func(t *testing.T, isTURN bool, b []byte) {
		d := framed
		if isTURN {
			d = turn
		}
		whole, wholeErr := peekAll(d, b)
		var slow [][]byte
		var slowErr error
		start := 0
		for end := 0; end <= len(b) && slowErr == nil; end++ {
			for {
				frame, n, err := d.Peek(b[start:end])
				if err != nil && (frame != nil || n != 0) || n > end-start || len(frame) > MaxFrame || n > maxWire {
					t.Fatalf("%d bytes of %d for a frame of %d, %v", n, end-start, len(frame), err)
				}
				slowErr = err
				if n == 0 {
					break
				}
				slow = append(slow, frame)
				start += n
			}
		}
		if len(whole) != len(slow) || !errors.Is(slowErr, wholeErr) || (slowErr == nil) != (wholeErr == nil) {
			t.Fatalf("%d frames, %v; byte by byte %d, %v", len(whole), wholeErr, len(slow), slowErr)
		}
		checkCut(t, d, b, whole)
		for i := range whole {
			if !bytes.Equal(whole[i], slow[i]) {
				t.Fatalf("frame %d: %x, byte by byte %x", i, whole[i], slow[i])
			}
		}
	})
}

// checkCut compares what cut leaves with the frames of b.
func checkCut(t *testing.T, d Deframer, b []byte, whole [][]byte) {
	t.Helper()
	var want [][]byte
	for _, f := range whole {
		if len(f) > 0 {
			want = append(want, f)
		}
	}
	left := bytes.Clone(b)
	c := d.cut(left)
	got, _ := peekAll(d, left[:c.bytes])
	if c.frames != len(want) || len(got) != len(want) || c.empty != len(whole)-len(want) ||
		c.bytes+c.empty*lengthSize+c.pending != len(b) {
		t.Fatalf("%+v of %d bytes with %d frames, %d empty", c, len(b), len(want), len(whole)-len(want))
	}
	for i := range want {
		if !bytes.Equal(got[i], want[i]) {
			t.Fatalf("frame %d: %x, want %x", i, got[i], want[i])
		}
	}
	if !bytes.Equal(left[c.bytes:c.bytes+c.pending], b[len(b)-c.pending:]) {
		t.Fatal("what is pending has changed")
	}
}

// peekAll returns all frames of b.
func peekAll(d Deframer, b []byte) (frames [][]byte, err error) {
	for {
		frame, n, err := d.Peek(b)
		if n == 0 {
			return frames, err
		}
		frames = append(frames, frame)
		b = b[n:]
	}
}

func TestDeframingDoesNotAllocate(t *testing.T) {
	if raceEnabled {
		return
	}
	b := append([]byte{0, 20}, binding...)
	if n := testing.AllocsPerRun(100, func() {
		_, _, _ = framed.Peek(b)
		_, _, _ = turn.Peek(binding)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
