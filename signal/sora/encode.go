package sora

import (
	"bytes"
	"math/bits"
	"slices"
	"strconv"
	"unicode/utf8"
)

// Offer is the server's first message. Raw members are valid JSON.
type Offer struct {
	SDP          []byte
	ChannelID    string
	ClientID     string
	BundleID     string
	ConnectionID string
	SessionID    string
	Version      string // of the server

	ICEServer ICEServer
	RelayOnly bool // the client is to send nothing but through the ICE server

	// The mids of the sections on which this client sends; empty ones are left out.
	AudioMID string
	VideoMID string

	Simulcast bool
	Spotlight bool

	// What is in effect. Codec types and bit rates (kbps) are left out where they are
	// zero.
	Audio          bool
	Video          bool
	AudioCodecType string
	VideoCodecType string
	AudioBitRate   int
	VideoBitRate   int

	Metadata []byte // JSON from whoever authenticated the client; nil: none
}

// ICEServer is the TURN server that a client is told of, and what it has to say there.
type ICEServer struct {
	URLs       []string // none: there is no server
	Username   string
	Credential string
}

// size is how long it is in an offer, without escapes.
func (s *ICEServer) size() int {
	n := 64 + len(s.Username) + len(s.Credential)
	for _, u := range s.URLs {
		n += len(u) + 3
	}
	return n
}

// Append appends the message to dst. The order of the members is fixed.
func (o *Offer) Append(dst []byte) []byte {
	w := writer{b: slices.Grow(dst, escaped(o.SDP)+len(o.Metadata)+o.ICEServer.size()+1024)}
	w.open()
	w.str("type", "offer")
	w.text("sdp", o.SDP)
	w.str("channel_id", o.ChannelID)
	w.str("client_id", o.ClientID)
	w.str("bundle_id", o.BundleID)
	w.str("connection_id", o.ConnectionID)
	w.str("session_id", o.SessionID)
	w.str("version", o.Version)
	w.config(o.ICEServer, o.RelayOnly)
	w.key("mid")
	w.open()
	w.strIf("audio", o.AudioMID)
	w.strIf("video", o.VideoMID)
	w.close()
	w.boolean("multistream", true)
	w.boolean("simulcast", o.Simulcast)
	w.boolean("simulcast_multicodec", false)
	w.boolean("spotlight", o.Spotlight)
	w.boolean("data_channel_signaling", false)
	w.boolean("ignore_disconnect_websocket", false)
	w.boolean("audio", o.Audio)
	w.boolean("video", o.Video)
	w.strIf("audio_codec_type", o.AudioCodecType)
	w.strIf("video_codec_type", o.VideoCodecType)
	w.integerIf("audio_bit_rate", o.AudioBitRate)
	w.integerIf("video_bit_rate", o.VideoBitRate)
	w.rawIf("metadata", o.Metadata)
	w.close()
	return w.b
}

// config is the configuration of the client's RTCPeerConnection. Clients insist on both
// members: some throw without iceServers, others cannot decode a null policy. Of a server they
// insist on all three, and on a list of URLs where one text would do for browsers.
func (w *writer) config(server ICEServer, relayOnly bool) {
	w.key("config")
	w.open()
	if relayOnly {
		w.str("iceTransportPolicy", "relay")
	} else {
		w.str("iceTransportPolicy", "all")
	}
	w.key("iceServers")
	w.b = append(w.b, '[')
	if len(server.URLs) > 0 {
		w.open()
		w.strs("urls", server.URLs)
		w.str("username", server.Username)
		w.str("credential", server.Credential)
		w.close()
	}
	w.b = append(w.b, ']')
	w.close()
}

// AppendReOffer appends a re-offer to dst.
func AppendReOffer(dst, sdp []byte) []byte {
	return appendSDP(dst, "re-offer", sdp)
}

func appendSDP(dst []byte, kind string, sdp []byte) []byte {
	w := writer{b: slices.Grow(dst, escaped(sdp)+64)}
	w.open()
	w.str("type", kind)
	w.text("sdp", sdp)
	w.close()
	return w.b
}

// escaped is how long a text of SDP is as a JSON string: each line end takes two bytes more.
func escaped(sdp []byte) int { return len(sdp) + 2*bytes.Count(sdp, []byte{'\n'}) }

// AppendPing appends a ping to dst; stats asks for statistics in the pong.
func AppendPing(dst []byte, stats bool) []byte {
	w := writer{b: slices.Grow(dst, len(`{"type":"ping","stats":true}`))}
	w.open()
	w.str("type", "ping")
	if stats {
		w.boolean("stats", true)
	}
	w.close()
	return w.b
}

// IsPing reports whether a message is what AppendPing wrote.
func IsPing(message []byte) bool { return bytes.HasPrefix(message, []byte(`{"type":"ping"`)) }

// AppendUpdate appends an update to dst: what a re-offer is called for clients from before
// 2022.1, which know nothing else and answer with an update.
func AppendUpdate(dst, sdp []byte) []byte { return appendSDP(dst, "update", sdp) }

// AppendSwitched appends a switched to dst: the DataChannels have taken over.
func AppendSwitched(dst []byte, ignoreDisconnectWebSocket bool) []byte {
	w := writer{b: dst}
	w.open()
	w.str("type", "switched")
	w.boolean("ignore_disconnect_websocket", ignoreDisconnectWebSocket)
	w.close()
	return w.b
}

// AppendRedirect appends a redirect to dst. The WebSocket has to be closed after it.
func AppendRedirect(dst []byte, location string) []byte {
	w := writer{b: dst}
	w.open()
	w.str("type", "redirect")
	w.str("location", location)
	w.close()
	return w.b
}

// AppendPush appends a push to dst; data is JSON.
func AppendPush(dst, data []byte) []byte {
	w := writer{b: dst}
	w.open()
	w.str("type", "push")
	w.rawIf("data", data)
	w.close()
	return w.b
}

// AppendClose appends a close to dst, which is for the DataChannel only: a WebSocket has a
// frame of its own for it.
func AppendClose(dst []byte, code int, reason string) []byte {
	w := writer{b: dst}
	w.open()
	w.str("type", "close")
	w.integer("code", code)
	w.str("reason", reason)
	w.close()
	return w.b
}

// writer appends members to an object. It inserts a comma unless the last byte opened an
// object.
type writer struct{ b []byte }

func (w *writer) open()  { w.b = append(w.b, '{') }
func (w *writer) close() { w.b = append(w.b, '}') }

func (w *writer) key(name string) {
	if n := len(w.b); n > 0 && w.b[n-1] != '{' {
		w.b = append(w.b, ',')
	}
	// Our names need no escapes.
	w.b = append(w.b, '"')
	w.b = append(w.b, name...)
	w.b = append(w.b, '"', ':')
}

func (w *writer) str(name, value string) {
	w.key(name)
	w.b = AppendString(w.b, value)
}

func (w *writer) text(name string, value []byte) {
	w.key(name)
	w.b = appendText(w.b, value)
}

func (w *writer) strIf(name, value string) {
	if value != "" {
		w.str(name, value)
	}
}

func (w *writer) strs(name string, values []string) {
	w.key(name)
	w.b = append(w.b, '[')
	for i, v := range values {
		if i > 0 {
			w.b = append(w.b, ',')
		}
		w.b = AppendString(w.b, v)
	}
	w.b = append(w.b, ']')
}

func (w *writer) boolean(name string, value bool) {
	w.key(name)
	w.b = strconv.AppendBool(w.b, value)
}

func (w *writer) integer(name string, value int) {
	w.key(name)
	w.b = strconv.AppendInt(w.b, int64(value), 10)
}

func (w *writer) integerIf(name string, value int) {
	if value != 0 {
		w.integer(name, value)
	}
}

func (w *writer) rawIf(name string, json []byte) {
	if json != nil {
		w.key(name)
		w.b = append(w.b, json...)
	}
}

const hexDigits = "0123456789abcdef"

// AppendString appends s as a JSON string (RFC 8259 section 7). Bytes that are not UTF-8
// become U+FFFD.
func AppendString(dst []byte, s string) []byte { return appendText(dst, s) }

func appendText[T string | []byte](dst []byte, s T) []byte {
	dst = append(dst, '"')
	start := 0
	for i := plain(s, 0); i < len(s); i = plain(s, i) {
		if c := s[i]; c < utf8.RuneSelf {
			dst = append(dst, s[start:i]...)
			dst = appendEscape(dst, c)
			i++
			start = i
			continue
		}
		r, n := decodeRune(s[i:])
		if r == utf8.RuneError && n == 1 {
			dst = append(dst, s[start:i]...)
			dst = append(dst, `\ufffd`...)
			i++
			start = i
			continue
		}
		i += n
	}
	dst = append(dst, s[start:]...)
	return append(dst, '"')
}

func decodeRune[T string | []byte](s T) (rune, int) {
	var b [utf8.UTFMax]byte
	return utf8.DecodeRune(b[:copy(b[:], s)])
}

// plain returns the index of the first byte from i on that is not a printable character of
// ASCII that stands for itself in a JSON string; len(s): there is none. It looks at eight
// bytes at a time, since texts of SDP are long and have an escape at the end of each line only.
func plain[T string | []byte](s T, i int) int {
	const each, high = 0x0101010101010101, 0x8080808080808080
	for ; i+8 <= len(s); i += 8 {
		w := uint64(s[i]) | uint64(s[i+1])<<8 | uint64(s[i+2])<<16 | uint64(s[i+3])<<24 |
			uint64(s[i+4])<<32 | uint64(s[i+5])<<40 | uint64(s[i+6])<<48 | uint64(s[i+7])<<56
		quote, backslash := w^(each*'"'), w^(each*'\\')
		// The high bit of each byte that is below 0x20, the quote, the backslash or above 0x7f. A
		// borrow can set that of the byte behind such a one too, never of one in front of it.
		found := ((w - each*0x20) &^ w) | ((quote - each) &^ quote) | ((backslash - each) &^ backslash) | w
		if found &= high; found != 0 {
			return i + bits.TrailingZeros64(found)/8
		}
	}
	for i < len(s) && s[i] >= 0x20 && s[i] < utf8.RuneSelf && s[i] != '"' && s[i] != '\\' {
		i++
	}
	return i
}

func appendEscape(dst []byte, c byte) []byte {
	switch c {
	case '"', '\\':
		return append(dst, '\\', c)
	case '\n':
		return append(dst, '\\', 'n')
	case '\r':
		return append(dst, '\\', 'r')
	case '\t':
		return append(dst, '\\', 't')
	}
	return append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
}
