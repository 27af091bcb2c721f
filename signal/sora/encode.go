package sora

import (
	"strconv"
	"time"
	"unicode/utf8"
)

// Offer is the server's first message. Raw members are valid JSON.
type Offer struct {
	SDP          string
	ChannelID    string
	ClientID     string
	BundleID     string
	ConnectionID string
	SessionID    string
	Version      string // of the server

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
}

// Append appends the message to dst.
func (o *Offer) Append(dst []byte) []byte {
	w := writer{b: dst}
	w.open()
	w.str("type", "offer")
	w.str("sdp", o.SDP)
	w.str("channel_id", o.ChannelID)
	w.str("client_id", o.ClientID)
	w.str("bundle_id", o.BundleID)
	w.str("connection_id", o.ConnectionID)
	w.str("session_id", o.SessionID)
	w.str("version", o.Version)
	// Without a TURN server of ours the candidates are in the SDP. Clients insist on both
	// members: some throw without iceServers, others cannot decode a null policy.
	w.raw("config", `{"iceTransportPolicy":"all","iceServers":[]}`)
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
	w.close()
	return w.b
}

// AppendReOffer appends a re-offer to dst.
func AppendReOffer(dst []byte, sdp string) []byte {
	w := writer{b: dst}
	w.open()
	w.str("type", "re-offer")
	w.str("sdp", sdp)
	w.close()
	return w.b
}

// AppendPing appends a ping to dst; stats asks for statistics in the pong.
func AppendPing(dst []byte, stats bool) []byte {
	w := writer{b: dst}
	w.open()
	w.str("type", "ping")
	if stats {
		w.boolean("stats", true)
	}
	w.close()
	return w.b
}

// ConnectionEvent is a notify connection.created or connection.destroyed.
type ConnectionEvent struct {
	EventType    string // EventCreated or EventDestroyed
	Timestamp    time.Time
	Role         Role
	SessionID    string
	ClientID     string
	BundleID     string
	ConnectionID string
	Audio        bool
	Video        bool
	Minutes      int // since the connection was established

	AuthnMetadata []byte // JSON; nil: none

	// Connections of the channel, this one included in connection.created and left out in
	// connection.destroyed.
	Total    int
	SendRecv int
	SendOnly int
	RecvOnly int

	// Data lists who is there already. It belongs only into the copy for the new
	// connection itself; nil: no such member.
	Data []Present
}

// The values of EventType.
const (
	EventCreated   = "connection.created"
	EventDestroyed = "connection.destroyed"
)

// Present is one entry of ConnectionEvent.Data.
type Present struct {
	ClientID      string
	BundleID      string
	ConnectionID  string
	AuthnMetadata []byte // JSON; nil: none
}

// maxDataMetadata bounds the metadata in one connection.created: entries beyond it come
// without theirs. Without a bound, a channel of 1,000 members could grow the message to
// 64 MiB, and clients take 1 MiB.
const maxDataMetadata = 512 << 10

// Append appends the message to dst.
func (e *ConnectionEvent) Append(dst []byte) []byte {
	w := writer{b: dst}
	w.open()
	w.str("type", "notify")
	w.str("event_type", e.EventType)
	w.str("timestamp", Timestamp(e.Timestamp))
	w.str("role", e.Role.String())
	w.str("session_id", e.SessionID)
	w.str("client_id", e.ClientID)
	w.str("bundle_id", e.BundleID)
	w.str("connection_id", e.ConnectionID)
	w.boolean("audio", e.Audio)
	w.boolean("video", e.Video)
	w.rawIf("authn_metadata", e.AuthnMetadata)
	w.integer("minutes", e.Minutes)
	w.integer("channel_connections", e.Total)
	w.integer("channel_sendrecv_connections", e.SendRecv)
	w.integer("channel_sendonly_connections", e.SendOnly)
	w.integer("channel_recvonly_connections", e.RecvOnly)
	w.str("turn_transport_type", "udp")
	if e.Data != nil {
		w.data(e.Data)
	}
	w.close()
	return w.b
}

func (w *writer) data(present []Present) {
	w.key("data")
	w.b = append(w.b, '[')
	metadata := 0
	for i := range present {
		p := &present[i]
		if i > 0 {
			w.b = append(w.b, ',')
		}
		w.open()
		w.str("client_id", p.ClientID)
		w.str("bundle_id", p.BundleID)
		w.str("connection_id", p.ConnectionID)
		if metadata += len(p.AuthnMetadata); metadata <= maxDataMetadata {
			w.rawIf("authn_metadata", p.AuthnMetadata)
		}
		w.close()
	}
	w.b = append(w.b, ']')
}

// Timestamp formats t as the protocol does: RFC 3339 in UTC with microseconds.
func Timestamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000000Z") }

// writer appends members to an object. It inserts a comma unless the last byte opened an
// object.
type writer struct{ b []byte }

func (w *writer) open()  { w.b = append(w.b, '{') }
func (w *writer) close() { w.b = append(w.b, '}') }

func (w *writer) key(name string) {
	if n := len(w.b); n > 0 && w.b[n-1] != '{' {
		w.b = append(w.b, ',')
	}
	w.b = AppendString(w.b, name)
	w.b = append(w.b, ':')
}

func (w *writer) str(name, value string) {
	w.key(name)
	w.b = AppendString(w.b, value)
}

func (w *writer) strIf(name, value string) {
	if value != "" {
		w.str(name, value)
	}
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

func (w *writer) raw(name, json string) {
	w.key(name)
	w.b = append(w.b, json...)
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
func AppendString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= 0x20 && c < utf8.RuneSelf && c != '"' && c != '\\' {
			i++
			continue
		}
		if c < utf8.RuneSelf {
			dst = append(dst, s[start:i]...)
			dst = appendEscape(dst, c)
			i++
			start = i
			continue
		}
		r, n := utf8.DecodeRuneInString(s[i:])
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
