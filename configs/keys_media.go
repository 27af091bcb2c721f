package configs

import (
	"net/netip"
	"time"
)

const mib = 1 << 20

// mediaKeys are for the data plane.
var mediaKeys = []key{
	setting("udp_port", "3478", port, func(c *Config) *uint16 { return &c.Media.Port }),
	setting("ipv4_address", "", addresses(4), func(c *Config) *[]netip.Addr { return &c.Addresses.IPv4 }).live(),
	setting("ipv6", "false", boolean, func(c *Config) *bool { return &c.Addresses.IPv6 }),
	setting("ipv6_address", "", addresses(6), func(c *Config) *[]netip.Addr { return &c.Addresses.IPv6s }).live(),
	setting("public_address", "", stunURI, func(c *Config) *string { return &c.Addresses.Public }).live(),
	setting("shards", "0", integer(0, 256), func(c *Config) *int { return &c.Media.Shards }),
	setting("recv_buffer", "8388608", integer(64<<10, 1<<30), func(c *Config) *int { return &c.Media.RecvBuffer }),
	setting("send_buffer", "8388608", integer(64<<10, 1<<30), func(c *Config) *int { return &c.Media.SendBuffer }),
	setting("plain_io", "false", boolean, func(c *Config) *bool { return &c.Media.PlainIO }),
	setting("steering", "true", boolean, func(c *Config) *bool { return &c.Media.Steering }),
	setting("udp_gso", "true", boolean, func(c *Config) *bool { return &c.Media.GSO }),
	setting("frame_window", "1 ms", intervalOrZero("1 ms", "10 ms"), func(c *Config) *time.Duration { return &c.Media.FrameWindow }),
	setting("equalise_padding", "true", boolean, func(c *Config) *bool { return &c.Media.Equalise }),
	setting("keyframe_cache", "0", integer(0, 16*mib), func(c *Config) *int { return &c.Media.KeyFrameCache }),
	setting("keyframe_cache_age", "10 s", interval("500 ms", "1 min"), func(c *Config) *time.Duration { return &c.Media.CacheAge }),
	setting("share_threads", "true", boolean, func(c *Config) *bool { return &c.Media.Share }),
	setting("shard_cpus", "", cpus, func(c *Config) *[]int { return &c.Media.CPUs }),
	setting("ice_restart_after", "7 s", intervalOrZero("1 s", "1 min"), func(c *Config) *time.Duration { return &c.Media.RestartAfter }),
	setting("consent_grace", "10 s", intervalOrZero("1 s", "5 min"), func(c *Config) *time.Duration { return &c.Media.ConsentGrace }),
	setting("dtls_parking", "true", boolean, func(c *Config) *bool { return &c.Media.DTLSParking }),
}

// turnKeys are for TURN and ICE over TCP.
var turnKeys = []key{
	setting("turn", "true", boolean, func(c *Config) *bool { return &c.TURN.On }),
	setting("ice_transport_policy", "all", either("all", "relay"), func(c *Config) *bool { return &c.TURN.RelayOnly }),
	setting("turn_realm", "tsubame", quotable(127), func(c *Config) *string { return &c.TURN.Realm }),
	setting("turn_fqdn", "", fqdn, func(c *Config) *string { return &c.TURN.FQDN }).live(),
	setting("turn_tcp", "true", boolean, func(c *Config) *bool { return &c.TURN.TCP }),
	setting("turn_tcp_listen_port", "3478", port, func(c *Config) *uint16 { return &c.TCP.ListenPort }),
	setting("turn_tcp_port", "3478", portInUse, func(c *Config) *uint16 { return &c.TURN.TCPPort }),
	setting("turn_tcp_queue", "262144", integer(64<<10, 16*mib), func(c *Config) *int { return &c.TCP.QueueBytes }),
	setting("ice_tcp", "false", boolean, func(c *Config) *bool { return &c.TCP.ICE }),
	setting("turn_tls", "false", boolean, func(c *Config) *bool { return &c.TURN.TLS }),
	setting("turn_tls_fqdn", "", fqdn, func(c *Config) *string { return &c.TURN.TLSFQDN }).live(),
	setting("turn_tls_port", "5349", portInUse, func(c *Config) *uint16 { return &c.TURN.TLSPort }),
	setting("turn_tcp_only", "false", boolean, func(c *Config) *bool { return &c.TURN.TCPOnly }),
	setting("turn_tls_only", "false", boolean, func(c *Config) *bool { return &c.TURN.TLSOnly }),
}

// portKeys are for the one TCP port that has everything.
var portKeys = []key{
	setting("proxy_protocol_peers", "", prefixes, func(c *Config) *[]netip.Prefix { return &c.TCP.Proxies }),
	setting("tcp_max_connections_per_address", "4096", integer(0, 1_000_000), func(c *Config) *int { return &c.TCP.MaxPerAddress }),
	setting("tls_port", "", portInUse, func(c *Config) *uint16 { return &c.TCP.TLSPort }),
	setting("tls_certificate_file", "", file, func(c *Config) *string { return &c.TCP.CertificateFile }).holds(certificateChain),
	setting("tls_private_key_file", "", file, func(c *Config) *string { return &c.TCP.PrivateKeyFile }).holds(privateKey),
	setting("tls_acme_domains", "", fqdns, func(c *Config) *[]string { return &c.TCP.ACMEDomains }),
	setting("tls_acme_email", "", text(254), func(c *Config) *string { return &c.TCP.ACMEEmail }),
	setting("tls_acme_directory", "https://acme-v02.api.letsencrypt.org/directory", httpsURL, func(c *Config) *string { return &c.TCP.ACMEDirectory }),
	setting("tls_acme_storage", "acme", file, func(c *Config) *string { return &c.TCP.ACMEStorage }),
	setting("tls_passthrough", "", hostPort, func(c *Config) *string { return &c.TCP.Passthrough }),
	setting("tls_passthrough_proxy_protocol", "0", integer(0, 2), func(c *Config) *int { return &c.TCP.PassthroughProxy }),
}

// debugKeys are for those who look into the process.
var debugKeys = []key{
	setting("debug_listen", "127.0.0.1:6060", listenOrOff, func(c *Config) *string { return &c.Debug.Listen }),
}
