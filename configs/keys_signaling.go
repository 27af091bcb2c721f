package configs

import (
	"net/netip"
	"time"
)

// processKeys are for the process as a whole.
var processKeys = []key{
	setting("label", "Tsubame", text(255), func(c *Config) *string { return &c.Server.Label }),
	setting("node_name", "tsubame@127.0.0.1", nodeName, func(c *Config) *string { return &c.Server.NodeName }),
	setting("dev", "false", boolean, func(c *Config) *bool { return &c.Server.Dev }),
	setting("max_connections", "10000", integer(1, 1_000_000), func(c *Config) *int { return &c.Server.MaxConnections }),
	setting("shutdown_timeout", "10 s", interval("100 ms", "10 min"), func(c *Config) *time.Duration { return &c.Server.ShutdownTimeout }).live(),
	setting("log_format", "text", oneOf("text", "json"), func(c *Config) *string { return &c.Log.Format }),
	setting("log_level", "info", oneOf("debug", "info", "warn", "error"), func(c *Config) *string { return &c.Log.Level }).live(),
	setting("log_dir", "", file, func(c *Config) *string { return &c.LogFiles.Dir }),
	setting("signaling_log", "true", boolean, func(c *Config) *bool { return &c.LogFiles.Signaling }).live(),
	setting("log_rotate_size", "0", number[int64](64<<10, 1<<40, 1, true), func(c *Config) *int64 { return &c.LogFiles.MaxBytes }),
	setting("log_rotate_keep", "10", integer(0, 10_000), func(c *Config) *int { return &c.LogFiles.Keep }),
}

// signalingKeys are for signaling and for sessions.
var signalingKeys = []key{
	setting("signaling_port", "5000", port, func(c *Config) *uint16 { return &c.Signaling.Port }),
	setting("signaling_loopback_address_only", "false", boolean, func(c *Config) *bool { return &c.Signaling.LoopbackOnly }),
	setting("devtools", "true", boolean, func(c *Config) *bool { return &c.Signaling.DevTools }),
	setting("signaling_allowed_origins", "", patterns, func(c *Config) *[]string { return &c.Signaling.AllowedOrigins }),
	setting("signaling_connect_timeout", "10 s", interval("100 ms", "10 min"), func(c *Config) *time.Duration { return &c.Signaling.ConnectTimeout }),
	setting("signaling_answer_timeout", "60 s", interval("100 ms", "10 min"), func(c *Config) *time.Duration { return &c.Session.AnswerTimeout }).live(),
	setting("connection_created_timeout", "60 s", interval("100 ms", "10 min"), func(c *Config) *time.Duration { return &c.Session.CreatedTimeout }).live(),
	setting("websocket_signaling_ping_interval", "5 s", interval("100 ms", "10 min"), func(c *Config) *time.Duration { return &c.Session.PingInterval }).live(),
	setting("websocket_signaling_pong_timeout", "60 s", interval("100 ms", "1 h"), func(c *Config) *time.Duration { return &c.Session.PongTimeout }).live(),
	setting("signaling_max_half_open", "8192", integer(1, 1_000_000), func(c *Config) *int { return &c.Signaling.MaxHalfOpen }),
	setting("signaling_max_half_open_per_address", "4096", integer(1, 1_000_000), func(c *Config) *int { return &c.Signaling.MaxHalfOpenPer }),
	setting("signaling_send_queue", "1048576", integer(64<<10, 256*mib), func(c *Config) *int { return &c.Signaling.SendQueueBytes }),
	setting("signaling_max_connections_per_address", "0", integer(0, 1_000_000), func(c *Config) *int { return &c.Signaling.MaxPerAddress }),
	setting("signaling_connect_rate_per_address", "1000", integer(0, 1_000_000), func(c *Config) *int { return &c.Signaling.RatePerAddress }),
	setting("signaling_proxies", "", prefixes, func(c *Config) *[]netip.Prefix { return &c.Signaling.Proxies }),
	setting("max_joining", "1000", integer(1, 1_000_000), func(c *Config) *int { return &c.Signaling.MaxJoining }),
	setting("shed_joins_at_load", "90", integer(0, 100), func(c *Config) *int { return &c.Signaling.ShedAtLoad }),
	setting("websocket_signaling_stats_interval", "60 s", intervalOrZero("1 s", "1 h"), func(c *Config) *time.Duration { return &c.Session.StatsInterval }).live(),
	setting("signaling_client_id", "true", boolean, func(c *Config) *bool { return &c.Session.Allow.ClientID }).live(),
	setting("signaling_bundle_id", "false", boolean, func(c *Config) *bool { return &c.Session.Allow.BundleID }).live(),
	setting("signaling_opus_params", "true", boolean, func(c *Config) *bool { return &c.Session.Allow.OpusParams }).live(),
	setting("signaling_vp9_params", "false", boolean, func(c *Config) *bool { return &c.Session.Allow.VP9Params }).live(),
	setting("signaling_av1_params", "false", boolean, func(c *Config) *bool { return &c.Session.Allow.AV1Params }).live(),
	setting("signaling_h264_params", "false", boolean, func(c *Config) *bool { return &c.Session.Allow.H264Params }).live(),
	setting("signaling_h265_params", "false", boolean, func(c *Config) *bool { return &c.Session.Allow.H265Params }).live(),
	setting("h264_b_frame", "false", boolean, func(c *Config) *bool { return &c.Session.Allow.H264BFrame }).live(),
	setting("h265_b_frame", "false", boolean, func(c *Config) *bool { return &c.Session.Allow.H265BFrame }).live(),
	setting("signaling_notify", "true", boolean, func(c *Config) *bool { return &c.Session.Notify }).live(),
	setting("signaling_notify_ice_connection_state", "false", boolean, func(c *Config) *bool { return &c.Session.NotifyICEState }).live(),
	setting("signaling_notify_metadata_ext", "false", boolean, func(c *Config) *bool { return &c.Session.NotifyMetadataExt }).live(),
	setting("signaling_forwarding_filter", "false", boolean, func(c *Config) *bool { return &c.Session.ForwardingFilterAllowed }).without("forwarding filters").live(),
	setting("connection_lifetime", "0 s", intervalOrZero("1 s", "8760 h", noMilliseconds...), func(c *Config) *time.Duration { return &c.Session.ConnectionLifetime }).live(),
	setting("connection_updated_notify_interval", "1 min", intervalOrZero("1 s", "1 h"), func(c *Config) *time.Duration { return &c.Session.UpdatedInterval }).live(),
	setting("vp8", "true", boolean, func(c *Config) *bool { return &c.Session.Allow.VP8 }).live(),
	setting("vp9", "true", boolean, func(c *Config) *bool { return &c.Session.Allow.VP9 }).live(),
	setting("av1", "true", boolean, func(c *Config) *bool { return &c.Session.Allow.AV1 }).live(),
	setting("h264", "true", boolean, func(c *Config) *bool { return &c.Session.Allow.H264 }).live(),
	setting("h265", "true", boolean, func(c *Config) *bool { return &c.Session.Allow.H265 }).live(),
	fixed("default_audio_codec_type", "OPUS").live(),
	setting("default_video_codec_type", "VP9", oneOf("VP8", "VP9", "AV1", "H264", "H265"), func(c *Config) *string { return &c.Session.DefaultCodec }).live(),
	setting("default_audio_bit_rate", "0", kbps(6, 510), func(c *Config) *uint64 { return &c.Session.DefaultAudioBPS }).live(),
	setting("default_video_bit_rate", "500", kbps(1, 50_000), func(c *Config) *uint64 { return &c.Session.DefaultVideoBPS }).live(),
	setting("opus_red", "false", boolean, func(c *Config) *bool { return &c.Session.OpusRED }).live(),
}
