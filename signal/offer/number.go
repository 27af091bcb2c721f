package offer

import (
	"slices"
	"strings"

	"tsubame/media/param"
)

// format is one payload format of a connection: a codec with parameters, its payload type,
// and that of its retransmissions.
type format struct {
	*encoding
	params  string
	key     string // params in canonical form
	pt, rtx uint8
	red     uint8      // payload type of the codec with redundancy; 0: not offered
	lines   string     // the attributes of its payload types
	free    []*section // scratch of place
}

// numbering gives formats their payload types. Under BUNDLE a number must mean one format
// (RFC 9143 section 9.1.1); as sections are reused, and clients remember, it never comes to
// mean another one. The usual forms have fixed numbers, so there is always room for them.
// Others get what is left, 24 video formats or 49 of audio (RED takes two numbers); a format beyond that is not
// offered to this client. Numbers 64 to 95 are left out: with the marker bit they look like
// RTCP (RFC 5761 section 4).
type numbering struct {
	formats []*format
	taken   [128]bool // of those that are not fixed
	red     bool      // Opus has redundancy
}

var fixed = func() (out [128]bool) {
	for i := range encodings {
		out[encodings[i].pt] = true
		if encodings[i].rtx != 0 {
			out[encodings[i].rtx] = true
		}
	}
	out[otherOpusType] = true
	return out
}()

// next returns the lowest free number from 96 on, or else from 35 on; 0: none.
func (n *numbering) next(after uint8) uint8 {
	for _, r := range [][2]uint8{{96, 127}, {35, 63}} {
		for pt := r[0]; pt <= r[1]; pt++ {
			if !fixed[pt] && !n.taken[pt] && pt != after && !(n.red && (pt == redType || pt == otherREDType)) {
				return pt
			}
		}
	}
	return 0
}

// canonical brings format parameters into one order, so that texts of one meaning compare
// equal.
func canonical(params string) string {
	if strings.IndexByte(params, ';') < 0 && strings.IndexByte(params, ' ') < 0 {
		return strings.ToLower(params)
	}
	p := strings.Split(strings.ToLower(params), ";")
	for i := range p {
		p[i] = strings.TrimSpace(p[i])
	}
	slices.Sort(p)
	return strings.Join(p, ";")
}

// isUsual reports whether the parameters are those of the codec's usual form.
func (e *encoding) isUsual(params string) bool {
	return params == "" || params == e.usual || canonical(params) == canonical(e.usual)
}

// find returns the format of a track, or nil if this connection has not met it.
func (n *numbering) find(t Track) *format {
	e := encodingOf(t.Codec)
	if t.Params == "" || t.Params == e.usual {
		return n.lookup(e, e.usual)
	}
	if f := n.lookup(e, t.Params); f != nil {
		return f
	}
	key := canonical(t.Params)
	for _, f := range n.formats {
		if f.encoding == e && f.key == key {
			return f
		}
	}
	return nil
}

func (n *numbering) lookup(e *encoding, params string) *format {
	for _, f := range n.formats {
		if f.encoding == e && f.params == params {
			return f
		}
	}
	return nil
}

// hasRoom reports whether add would have numbers for a format that find does not know.
func (n *numbering) hasRoom(c param.Codec, params string) bool {
	e := encodingOf(c)
	if e.isUsual(params) {
		return true
	}
	first := n.next(0)
	return first != 0 && (e.rtx == 0 || n.next(first) != 0)
}

// add gives a new format its numbers. There must be room.
func (n *numbering) add(c param.Codec, params string) *format {
	e := encodingOf(c)
	f := &format{encoding: e, params: e.usual, pt: e.pt, rtx: e.rtx, lines: usualLines[c]}
	switch {
	case !e.isUsual(params):
		f.params, f.pt = params, n.next(0)
		n.taken[f.pt] = true
		if e.rtx != 0 {
			f.rtx = n.next(0)
			n.taken[f.rtx] = true
		}
		f.lines = e.lines(params, f.pt, f.rtx)
	case c == param.Opus && len(n.formats) > 0 && n.formats[0].pt == opusType:
		f.pt = otherOpusType
		f.lines = e.lines(e.usual, f.pt, 0)
	}
	n.withRED(f)
	f.key = canonical(f.params)
	n.formats = append(n.formats, f)
	return f
}

// withRED adds redundancy to Opus, if it is to be offered. That is a format of its own, which
// names the payload type of what it has redundancy of.
func (n *numbering) withRED(f *format) {
	if !n.red || f.codec != param.Opus {
		return
	}
	if f.red = redType; f.pt == otherOpusType {
		f.red = otherREDType
	}
	f.lines = redLines(f.red, f.pt) + f.lines
}

// own numbers what the client sends, the first formats of a connection. Its Opus has the
// usual number whatever the parameters.
func (n *numbering) own(c param.Codec, params string) *format {
	if f := n.find(Track{Codec: c, Params: params}); f != nil {
		return f
	}
	e := encodingOf(c)
	if c != param.Opus || e.isUsual(params) {
		return n.add(c, params)
	}
	f := &format{encoding: e, params: params, key: canonical(params), pt: opusType, lines: e.lines(params, opusType, 0)}
	n.withRED(f)
	n.formats = append(n.formats, f)
	return f
}
