// Package webhook is the wire form of webhooks: the bodies that an application's server is
// sent, appended to a caller's buffer, its answers, parsed into plain values, and the lines of
// connection.jsonl and session.jsonl, which are made of the same parts. It does no I/O, has no
// clock and no state, and decides nothing: what is sent, when and to whom, and what an answer
// does to a session, is the business of others. Every goroutine may call every function. What
// Parse functions return is a copy, valid after the body's buffer is reused; Append functions
// keep nothing of what they are given.
package webhook

import (
	"time"

	"tsubame/signal/sora"
)

// The types of session webhooks.
const (
	SessionCreated   = "session.created"
	SessionUpdated   = "session.updated"
	SessionDestroyed = "session.destroyed"
	SessionVanished  = "session.vanished"
)

// The types of event webhooks.
const (
	ConnectionCreated   = "connection.created"
	ConnectionUpdated   = "connection.updated"
	ConnectionDestroyed = "connection.destroyed"
	ConnectionFailed    = "connection.failed"
)

// ConnectionRTCStats is the type of the statistics webhook.
const ConnectionRTCStats = "connection.rtc_stats"

// Common is what all bodies have. Whoever sends a body fills it in.
type Common struct {
	Type      string // one of the constants; an AuthRequest has none
	ID        string // 26 characters, see sora.NewID; of this body and no other
	Timestamp time.Time
	Version   string // of the server
	Label     string
	NodeName  string
	// LogWritten says that the line in the log file has been written. Only ConnectionEvent and
	// StatsEvent tell it.
	LogWritten bool
}

// Media is what a connection does with audio and video: what it sends, or for a viewer whether
// it receives any.
type Media struct {
	Audio          bool
	AudioCodecType string // OPUS; empty: left out
	AudioBitRate   int    // kbit/s; 0: left out
	Video          bool
	VideoCodecType string // VP8, VP9, AV1, H264 or H265; empty: left out
	VideoBitRate   int    // kbit/s; 0: left out
	// Parameters of codecs; nil: left out.
	VP9  *sora.VP9Params
	AV1  *sora.AV1Params
	H264 *sora.H264Params
	H265 *sora.H265Params
}

// Counts are the connections of a channel.
type Counts struct {
	Total, SendRecv, SendOnly, RecvOnly int
}

func (w *writer) media(m *Media) {
	w.boolean("audio", m.Audio)
	w.strIf("audio_codec_type", m.AudioCodecType)
	w.integerIf("audio_bit_rate", m.AudioBitRate)
	w.boolean("video", m.Video)
	w.strIf("video_codec_type", m.VideoCodecType)
	w.integerIf("video_bit_rate", m.VideoBitRate)
	if p := m.VP9; p != nil {
		w.open("video_vp9_params")
		w.given("profile_id", p.ProfileID)
		w.close()
	}
	if p := m.AV1; p != nil {
		w.open("video_av1_params")
		w.given("profile", p.Profile)
		w.given("level_idx", p.LevelIdx)
		w.given("tier", p.Tier)
		w.close()
	}
	if p := m.H264; p != nil {
		w.open("video_h264_params")
		w.strIf("profile_level_id", p.ProfileLevelID)
		w.flag("b_frame", p.BFrame)
		w.close()
	}
	if p := m.H265; p != nil {
		w.open("video_h265_params")
		w.given("level_id", p.LevelID)
		w.given("profile_id", p.ProfileID)
		w.given("tier_flag", p.TierFlag)
		w.strIf("tx_mode", p.TxMode)
		w.flag("b_frame", p.BFrame)
		w.close()
	}
}

func (w *writer) counts(c *Counts) {
	w.integer("channel_connections", c.Total)
	w.integer("channel_sendrecv_connections", c.SendRecv)
	w.integer("channel_sendonly_connections", c.SendOnly)
	w.integer("channel_recvonly_connections", c.RecvOnly)
}
