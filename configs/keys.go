package configs

import "net/netip"

// key is one key of the file. Its text forms are the source of the defaults, so that the
// reference file and the code cannot say different things in different syntax.
type key struct {
	name string
	def  string // default as in the file; empty: none, the key is absent
	set  func(c *Config, value string) error
}

const mib = 1 << 20

// keys lists every key in the order of the reference file.
var keys = []key{
	{name: "label", def: "Tsubame", set: text(func(c *Config) *string { return &c.Server.Label }, 255)},
	{name: "dev", def: "false", set: boolean(func(c *Config) *bool { return &c.Server.Dev })},
	{name: "max_connections", def: "10000", set: integer(func(c *Config) *int { return &c.Server.MaxConnections }, 1, 1_000_000)},
	{name: "shutdown_timeout", def: "10 s", set: interval(func(c *Config) *dur { return &c.Server.ShutdownTimeout }, "100 ms", "10 min")},
	{name: "log_format", def: "text", set: word(func(c *Config) *string { return &c.Log.Format }, "text", "json")},
	{name: "log_level", def: "info", set: word(func(c *Config) *string { return &c.Log.Level }, "debug", "info", "warn", "error")},

	{name: "signaling_port", def: "5000", set: port(func(c *Config) *uint16 { return &c.Signaling.Port })},
	{name: "signaling_loopback_address_only", def: "false", set: boolean(func(c *Config) *bool { return &c.Signaling.LoopbackOnly })},
	{name: "signaling_allowed_origins", set: patterns(func(c *Config) *[]string { return &c.Signaling.AllowedOrigins })},
	{name: "signaling_connect_timeout", def: "10 s", set: interval(func(c *Config) *dur { return &c.Signaling.ConnectTimeout }, "100 ms", "10 min")},
	{name: "signaling_answer_timeout", def: "60 s", set: interval(func(c *Config) *dur { return &c.Session.AnswerTimeout }, "100 ms", "10 min")},
	{name: "connection_created_timeout", def: "60 s", set: interval(func(c *Config) *dur { return &c.Session.CreatedTimeout }, "100 ms", "10 min")},
	{name: "websocket_signaling_ping_interval", def: "5 s", set: interval(func(c *Config) *dur { return &c.Session.PingInterval }, "100 ms", "10 min")},
	{name: "websocket_signaling_pong_timeout", def: "60 s", set: interval(func(c *Config) *dur { return &c.Session.PongTimeout }, "100 ms", "1 h")},
	{name: "signaling_max_half_open", def: "8192", set: integer(func(c *Config) *int { return &c.Signaling.MaxHalfOpen }, 1, 1_000_000)},
	{name: "signaling_max_half_open_per_address", def: "4096", set: integer(func(c *Config) *int { return &c.Signaling.MaxHalfOpenPer }, 1, 1_000_000)},
	{name: "signaling_send_queue", def: "1048576", set: integer(func(c *Config) *int { return &c.Signaling.SendQueueBytes }, 64<<10, 256*mib)},
	{name: "signaling_max_connections_per_address", def: "0", set: integer(func(c *Config) *int { return &c.Signaling.MaxPerAddress }, 0, 1_000_000)},
	{name: "signaling_connect_rate_per_address", def: "1000", set: integer(func(c *Config) *int { return &c.Signaling.RatePerAddress }, 0, 1_000_000)},
	{name: "signaling_proxies", set: prefixes(func(c *Config) *[]netip.Prefix { return &c.Signaling.Proxies })},
	{name: "max_joining", def: "1000", set: integer(func(c *Config) *int { return &c.Signaling.MaxJoining }, 1, 1_000_000)},
	{name: "shed_joins_at_load", def: "90", set: integer(func(c *Config) *int { return &c.Signaling.ShedAtLoad }, 0, 100)},
	{name: "websocket_signaling_stats_interval", def: "60 s", set: intervalOrZero(func(c *Config) *dur { return &c.Session.StatsInterval }, "1 s", "1 h")},
	{name: "signaling_client_id", def: "true", set: boolean(func(c *Config) *bool { return &c.Session.Allow.ClientID })},
	{name: "signaling_bundle_id", def: "false", set: boolean(func(c *Config) *bool { return &c.Session.Allow.BundleID })},
	{name: "signaling_opus_params", def: "true", set: boolean(func(c *Config) *bool { return &c.Session.Allow.OpusParams })},
	{name: "signaling_vp9_params", def: "false", set: boolean(func(c *Config) *bool { return &c.Session.Allow.VP9Params })},
	{name: "signaling_av1_params", def: "false", set: boolean(func(c *Config) *bool { return &c.Session.Allow.AV1Params })},
	{name: "signaling_h264_params", def: "false", set: boolean(func(c *Config) *bool { return &c.Session.Allow.H264Params })},
	{name: "signaling_h265_params", def: "false", set: boolean(func(c *Config) *bool { return &c.Session.Allow.H265Params })},
	{name: "h264_b_frame", def: "false", set: boolean(func(c *Config) *bool { return &c.Session.Allow.H264BFrame })},
	{name: "h265_b_frame", def: "false", set: boolean(func(c *Config) *bool { return &c.Session.Allow.H265BFrame })},
	{name: "signaling_notify", def: "true", set: boolean(func(c *Config) *bool { return &c.Session.Notify })},
	{name: "connection_updated_notify_interval", def: "1 min", set: intervalOrZero(func(c *Config) *dur { return &c.Session.UpdatedInterval }, "1 s", "1 h")},
	{name: "vp8", def: "true", set: boolean(func(c *Config) *bool { return &c.Session.Allow.VP8 })},
	{name: "vp9", def: "true", set: boolean(func(c *Config) *bool { return &c.Session.Allow.VP9 })},
	{name: "av1", def: "true", set: boolean(func(c *Config) *bool { return &c.Session.Allow.AV1 })},
	{name: "h264", def: "true", set: boolean(func(c *Config) *bool { return &c.Session.Allow.H264 })},
	{name: "h265", def: "true", set: boolean(func(c *Config) *bool { return &c.Session.Allow.H265 })},
	{name: "default_audio_codec_type", def: "OPUS", set: constant("OPUS")},
	{name: "default_video_codec_type", def: "VP9", set: word(func(c *Config) *string { return &c.Session.DefaultCodec }, "VP8", "VP9", "AV1", "H264", "H265")},
	{name: "default_audio_bit_rate", def: "0", set: kbps(func(c *Config) *uint64 { return &c.Session.DefaultAudioBPS }, 6, 510)},
	{name: "default_video_bit_rate", def: "500", set: kbps(func(c *Config) *uint64 { return &c.Session.DefaultVideoBPS }, 1, 50_000)},
	{name: "opus_red", def: "false", set: boolean(func(c *Config) *bool { return &c.Session.OpusRED })},

	{name: "udp_port", def: "3478", set: port(func(c *Config) *uint16 { return &c.Media.Port })},
	{name: "ipv4_address", set: addresses(func(c *Config) *addrs { return &c.Addresses.IPv4 }, true)},
	{name: "ipv6", def: "false", set: boolean(func(c *Config) *bool { return &c.Addresses.IPv6 })},
	{name: "ipv6_address", set: addresses(func(c *Config) *addrs { return &c.Addresses.IPv6s }, false)},
	{name: "public_address", set: stunURI(func(c *Config) *string { return &c.Addresses.Public })},
	{name: "shards", def: "0", set: integer(func(c *Config) *int { return &c.Media.Shards }, 0, 256)},
	{name: "recv_buffer", def: "8388608", set: integer(func(c *Config) *int { return &c.Media.RecvBuffer }, 64<<10, 1<<30)},
	{name: "send_buffer", def: "8388608", set: integer(func(c *Config) *int { return &c.Media.SendBuffer }, 64<<10, 1<<30)},
	{name: "plain_io", def: "false", set: boolean(func(c *Config) *bool { return &c.Media.PlainIO })},
	{name: "steering", def: "true", set: boolean(func(c *Config) *bool { return &c.Media.Steering })},
	{name: "udp_gso", def: "true", set: boolean(func(c *Config) *bool { return &c.Media.GSO })},
	{name: "frame_window", def: "1 ms", set: intervalOrZero(func(c *Config) *dur { return &c.Media.FrameWindow }, "1 ms", "10 ms")},
	{name: "equalise_padding", def: "true", set: boolean(func(c *Config) *bool { return &c.Media.Equalise })},
	{name: "keyframe_cache", def: "0", set: integer(func(c *Config) *int { return &c.Media.KeyFrameCache }, 0, 16*mib)},
	{name: "keyframe_cache_age", def: "10 s", set: interval(func(c *Config) *dur { return &c.Media.CacheAge }, "500 ms", "1 min")},
	{name: "share_threads", def: "true", set: boolean(func(c *Config) *bool { return &c.Media.Share })},
	{name: "shard_cpus", set: cpus(func(c *Config) *[]int { return &c.Media.CPUs })},
	{name: "ice_restart_after", def: "7 s", set: intervalOrZero(func(c *Config) *dur { return &c.Media.RestartAfter }, "1 s", "1 min")},
	{name: "consent_grace", def: "10 s", set: intervalOrZero(func(c *Config) *dur { return &c.Media.ConsentGrace }, "1 s", "5 min")},
	{name: "dtls_parking", def: "true", set: boolean(func(c *Config) *bool { return &c.Media.DTLSParking })},

	{name: "turn", def: "true", set: boolean(func(c *Config) *bool { return &c.TURN.On })},
	{name: "ice_transport_policy", def: "all", set: either(func(c *Config) *bool { return &c.TURN.RelayOnly }, "all", "relay")},
	{name: "turn_realm", def: "tsubame", set: quotable(func(c *Config) *string { return &c.TURN.Realm }, 127)},
	{name: "turn_fqdn", set: fqdn(func(c *Config) *string { return &c.TURN.FQDN })},
	{name: "turn_tcp", def: "true", set: boolean(func(c *Config) *bool { return &c.TURN.TCP })},
	{name: "turn_tcp_listen_port", def: "3478", set: port(func(c *Config) *uint16 { return &c.TCP.ListenPort })},
	{name: "turn_tcp_port", def: "3478", set: portInUse(func(c *Config) *uint16 { return &c.TURN.TCPPort })},
	{name: "turn_tcp_queue", def: "262144", set: integer(func(c *Config) *int { return &c.TCP.QueueBytes }, 64<<10, 16*mib)},
	{name: "ice_tcp", def: "false", set: boolean(func(c *Config) *bool { return &c.TCP.ICE })},
	{name: "turn_tls", def: "false", set: boolean(func(c *Config) *bool { return &c.TURN.TLS })},
	{name: "turn_tls_fqdn", set: fqdn(func(c *Config) *string { return &c.TURN.TLSFQDN })},
	{name: "turn_tls_port", def: "5349", set: portInUse(func(c *Config) *uint16 { return &c.TURN.TLSPort })},
	{name: "turn_tcp_only", def: "false", set: boolean(func(c *Config) *bool { return &c.TURN.TCPOnly })},
	{name: "turn_tls_only", def: "false", set: boolean(func(c *Config) *bool { return &c.TURN.TLSOnly })},

	{name: "proxy_protocol_peers", set: prefixes(func(c *Config) *[]netip.Prefix { return &c.TCP.Proxies })},
	{name: "tcp_max_connections_per_address", def: "4096", set: integer(func(c *Config) *int { return &c.TCP.MaxPerAddress }, 0, 1_000_000)},
	{name: "tls_port", set: portInUse(func(c *Config) *uint16 { return &c.TCP.TLSPort })},
	{name: "tls_certificate_file", set: file(func(c *Config) *string { return &c.TCP.CertificateFile })},
	{name: "tls_private_key_file", set: file(func(c *Config) *string { return &c.TCP.PrivateKeyFile })},
	{name: "tls_acme_domains", set: fqdns(func(c *Config) *[]string { return &c.TCP.ACMEDomains })},
	{name: "tls_acme_email", set: text(func(c *Config) *string { return &c.TCP.ACMEEmail }, 254)},
	{name: "tls_acme_directory", def: "https://acme-v02.api.letsencrypt.org/directory", set: httpsURI(func(c *Config) *string { return &c.TCP.ACMEDirectory })},
	{name: "tls_acme_storage", def: "acme", set: file(func(c *Config) *string { return &c.TCP.ACMEStorage })},
	{name: "tls_passthrough", set: hostPort(func(c *Config) *string { return &c.TCP.Passthrough })},
	{name: "tls_passthrough_proxy_protocol", def: "0", set: integer(func(c *Config) *int { return &c.TCP.PassthroughProxy }, 0, 2)},

	{name: "debug_listen", def: "127.0.0.1:6060", set: listenOrOff(func(c *Config) *string { return &c.Debug.Listen })},
}
