package configs

import (
	"slices"
	"strings"
	"testing"
	"time"
)

func TestDefaultsSaidInWords(t *testing.T) {
	c := Defaults()
	if tu, tcp := c.TURN, c.TCP; !tu.On || tu.RelayOnly || tu.Realm != "tsubame" || tu.FQDN != "" || !tu.TCP || tu.TCPPort != 3478 || tu.TLS || tu.TLSPort != 5349 ||
		tu.TCPOnly || tu.TLSOnly || tcp.ListenPort != 3478 || tcp.ICE || tcp.QueueBytes != 256<<10 || tcp.TLSPort != 0 || tcp.Proxies != nil {
		t.Errorf("TURN %+v, TCP %+v", tu, tcp)
	}
	if c.Signaling.Port != 5000 || c.Media.Port != 3478 || c.Session.PingInterval != 5*time.Second ||
		c.Session.PongTimeout != time.Minute || !c.Session.Notify || c.Session.Allow.BundleID || !c.Media.Steering ||
		c.Session.DefaultVideoBPS != 500_000 || c.Session.OpusRED || c.Addresses.IPv4 != nil || c.Addresses.Public != "" {
		t.Errorf("got %+v", c)
	}
}

func parse(t *testing.T, text string) Config {
	t.Helper()
	c, warnings, err := Parse("f", []byte(text))
	if err != nil || len(warnings) != 0 {
		t.Fatalf("%q: error %v, warnings %v", text, err, warnings)
	}
	return c
}

func TestLinesAreTrimmedAndCommentsSkipped(t *testing.T) {
	c := parse(t, "\n  \n# a = b\n   # = \n  signaling_port=  1234  \r\nlabel = a = b # c\n\tlog_level =\twarn")
	if c.Signaling.Port != 1234 || c.Server.Label != "a = b # c" || c.Log.Level != "warn" {
		t.Errorf("got %+v", c)
	}
	if c := parse(t, "label =\n"); c.Server.Label != "" {
		t.Errorf("label = %q", c.Server.Label)
	}
	if c := parse(t, "\xef\xbb\xbflabel = x"); c.Server.Label != "x" {
		t.Errorf("byte order mark: label = %q", c.Server.Label)
	}
}

func TestValuesOfEachType(t *testing.T) {
	c := parse(t, `
ipv4_address = 192.0.2.1, 192.0.2.2
ipv6_address = 2001:db8::1 2001:db8::2
ipv6 = true
public_address = stun:[2001:db8::1]:3478
websocket_signaling_ping_interval = 1_000 ms
websocket_signaling_pong_timeout = 1  h
signaling_allowed_origins = a.example,b.example
default_audio_bit_rate = 64
opus_red = true
signaling_proxies = 10.1.2.3/8, 127.0.0.1 2001:db8::1/64
connection_updated_notify_interval = 0 s
vp9 = false
default_video_codec_type = H264
frame_window = 0 ms
keyframe_cache = 1048576
keyframe_cache_age = 5 s
shard_cpus = 3 1
debug_listen = off
ice_transport_policy = relay
turn_realm = Our realm
turn_fqdn = turn.example.com
turn_tcp_listen_port = 0
tls_port = 443
tls_acme_domains = a.example.com b.example.com
tls_passthrough = [2001:db8::1]:8443
proxy_protocol_peers = 127.0.0.1
`)
	if tu, tcp := c.TURN, c.TCP; !tu.RelayOnly || tu.Realm != "Our realm" || tu.FQDN != "turn.example.com" || tcp.ListenPort != 0 || tcp.TLSPort != 443 ||
		!slices.Equal(tcp.ACMEDomains, []string{"a.example.com", "b.example.com"}) || tcp.Passthrough != "[2001:db8::1]:8443" || len(tcp.Proxies) != 1 {
		t.Errorf("TURN %+v, TCP %+v", tu, tcp)
	}
	if m := c.Media; m.KeyFrameCache != 1<<20 || m.CacheAge != 5*time.Second {
		t.Errorf("key frame cache: %d bytes, %v", m.KeyFrameCache, m.CacheAge)
	}
	if c.Media.FrameWindow != 0 || !slices.Equal(c.Media.CPUs, []int{3, 1}) || c.Debug.Listen != "" {
		t.Errorf("media %+v, debug %+v", c.Media, c.Debug)
	}
	if p := c.Signaling.Proxies; len(p) != 3 || p[0].String() != "10.0.0.0/8" || p[1].String() != "127.0.0.1/32" || p[2].String() != "2001:db8::/64" {
		t.Errorf("proxies %v", p)
	}
	if c.Session.UpdatedInterval != 0 || c.Session.Allow.VP9 || !c.Session.Allow.AV1 || c.Session.DefaultCodec != "H264" {
		t.Errorf("got %+v", c.Session)
	}
	if len(c.Addresses.IPv4) != 2 || c.Addresses.IPv4[1].String() != "192.0.2.2" || len(c.Addresses.IPv6s) != 2 ||
		c.Addresses.Public != "stun:[2001:db8::1]:3478" || c.Session.PingInterval != time.Second ||
		c.Session.PongTimeout != time.Hour || len(c.Signaling.AllowedOrigins) != 2 || c.Session.DefaultAudioBPS != 64000 || !c.Session.OpusRED {
		t.Errorf("got %+v", c)
	}
}

func TestFaultsNameFileAndLine(t *testing.T) {
	for text, want := range map[string]string{
		"label = a\nlabel = b":          "f:2: label: duplicated key, first given in line 1",
		"unknown = 1\nunknown = 2":      "f:2: unknown: duplicated key",
		"\n\nlabel":                     "f:3: invalid line format",
		"\t":                            "f:1: invalid line format",
		"dev = yes":                     "f:1: dev: ",
		"dev = ":                        "f:1: dev: ",
		"dev = True":                    "f:1: dev: ",
		"signaling_port = 65536":        "f:1: signaling_port: ",
		"signaling_port = -1":           "f:1: signaling_port: ",
		"signaling_port = +1":           "f:1: signaling_port: ",
		"signaling_port =":              "f:1: signaling_port: ",
		"shards = 257":                  "f:1: shards: 257 is not in 0..256",
		"shards = 1.0":                  "f:1: shards: ",
		"shards = 99999999999999999999": "f:1: shards: ",
		"log_level = trace":             `f:1: log_level: "trace" is none of debug, info, warn, error`,
		"log_format = JSON":             "f:1: log_format: ",
		"ipv4_address =":                "f:1: ipv4_address: ",
		"ipv4_address = 2001:db8::1":    "f:1: ipv4_address: ",
		"ipv4_address = 192.0.2":        "f:1: ipv4_address: ",
		"ipv4_address = 0.0.0.0":        "f:1: ipv4_address: ",
		"ipv4_address = 1.0.0.1 1.0.0.2 1.0.0.3 1.0.0.4 1.0.0.5": "f:1: ipv4_address: ",
		"ipv6_address = 192.0.2.1":                               "f:1: ipv6_address: ",
		"ipv6_address = ::ffff:192.0.2.1":                        "f:1: ipv6_address: ",
		"ipv6_address = fe80::1%eth0":                            "f:1: ipv6_address: ",
		"public_address = stun.example.com":                      "f:1: public_address: ",
		"public_address = stun:stun.example.com":                 "f:1: public_address: ",
		"public_address = stun::3478":                            "f:1: public_address: ",
		"public_address = stun:example.com:0":                    "f:1: public_address: ",
		"public_address = turn:example.com:1":                    "f:1: public_address: ",
		"websocket_signaling_ping_interval = 5s":                 "f:1: websocket_signaling_ping_interval: ",
		"websocket_signaling_ping_interval = 5":                  "f:1: websocket_signaling_ping_interval: ",
		"websocket_signaling_ping_interval = 5 sec":              "f:1: websocket_signaling_ping_interval: ",
		"websocket_signaling_ping_interval = _5 s":               "f:1: websocket_signaling_ping_interval: ",
		"websocket_signaling_ping_interval = 1 ms":               "f:1: websocket_signaling_ping_interval: ",
		"websocket_signaling_ping_interval = 11 min":             "f:1: websocket_signaling_ping_interval: ",
		"websocket_signaling_ping_interval = 9999999999999999 h": "f:1: websocket_signaling_ping_interval: ",
		"default_audio_bit_rate = 5":                             "f:1: default_audio_bit_rate: ",
		"default_video_bit_rate = 50001":                         "f:1: default_video_bit_rate: ",
		"label = \xff":                                           "f:1: invalid line format: not UTF-8",
		"signaling_allowed_origins = ,":                          "f:1: signaling_allowed_origins: ",
		"signaling_allowed_origins = a.example [b":               `f:1: signaling_allowed_origins: "[b" is no pattern`,
		"signaling_proxies = 10.0.0.0/33":                        "f:1: signaling_proxies: ",
		"signaling_proxies = ,":                                  "f:1: signaling_proxies: not a list of 1..64",
		"signaling_proxies = " + strings.Repeat("10.0.0.1 ", 65): "f:1: signaling_proxies: not a list of 1..64",
		"default_audio_codec_type = PCMU":                        `f:1: default_audio_codec_type: "PCMU" is not OPUS`,
		"default_video_codec_type = vp8":                         "f:1: default_video_codec_type: ",
		"label = a\nvp9 = false":                                 "f:2: vp9: is false, but default_video_codec_type is VP9",
		"h265 = false\n\ndefault_video_codec_type = H265":        "f:3: h265: is false, but default_video_codec_type is H265",
		"websocket_signaling_pong_timeout = 5 s":                 "f:1: websocket_signaling_pong_timeout: is not longer than",
		"label = a\nwebsocket_signaling_ping_interval = 1 min":   "f:2: websocket_signaling_pong_timeout: is not longer than",
		"shed_joins_at_load = 101":                               "f:1: shed_joins_at_load: ",
		"connection_updated_notify_interval = 500 ms":            "f:1: connection_updated_notify_interval: ",
		"connection_updated_notify_interval = 0":                 "f:1: connection_updated_notify_interval: ",
		"frame_window = 11 ms":                                   "f:1: frame_window: ",
		"keyframe_cache = 16777217":                              "f:1: keyframe_cache: ",
		"keyframe_cache_age = 100 ms":                            "f:1: keyframe_cache_age: ",
		"shard_cpus = ,":                                         "f:1: shard_cpus: not a list of",
		"shard_cpus = 0, 1, 0":                                   "f:1: shard_cpus: CPU 0 stands there twice",
		"shard_cpus = 1024":                                      "f:1: shard_cpus: ",
		"debug_listen = localhost:6060":                          `f:1: debug_listen: "localhost:6060" is neither`,
		"debug_listen =":                                         "f:1: debug_listen: ",
		"ice_transport_policy = host":                            `f:1: ice_transport_policy: "host" is neither relay nor all`,
		"ice_transport_policy = relay\nturn = false":             "f:2: ice_transport_policy: is relay, but turn is false",
		"turn_realm =":                                           "f:1: turn_realm: not 1..127 characters",
		`turn_realm = a"b`:                                       "f:1: turn_realm: ",
		"turn_realm = réalm":                                     "f:1: turn_realm: ",
		"turn_realm = " + strings.Repeat("x", 128):               "f:1: turn_realm: ",
		"turn_fqdn = turn.example.com.":                          `f:1: turn_fqdn: "turn.example.com." ends with a dot: leave it out`,
		"turn_fqdn =":                                            "f:1: turn_fqdn: ",
		"turn_fqdn = 192.0.2.1":                                  `f:1: turn_fqdn: "192.0.2.1" is an address and no name`,
		"turn_fqdn = [2001:db8::1]":                              "f:1: turn_fqdn: ",
		"turn_fqdn = turn:example.com":                           `f:1: turn_fqdn: "turn:example.com" is more than a name`,
		"turn_fqdn = turn..example.com":                          "f:1: turn_fqdn: ",
		"turn_fqdn = -turn.example.com":                          "f:1: turn_fqdn: ",
		"turn_fqdn = türn.example.com":                           "f:1: turn_fqdn: ",
		"turn_fqdn = " + strings.Repeat("a", 64) + ".example":    "f:1: turn_fqdn: ",
		"turn_fqdn = " + strings.Repeat("a.", 127) + "example":   "f:1: turn_fqdn: longer than 253",
		"turn_tls_fqdn = turn.example.com.":                      "f:1: turn_tls_fqdn: ",
		"turn_tcp_port = 0":                                      "f:1: turn_tcp_port: 0 is not in 1..65535",
		"turn_tls_port = 0":                                      "f:1: turn_tls_port: ",
		"turn_tcp_queue = 1000":                                  "f:1: turn_tcp_queue: ",
		"tls_port = 0":                                           "f:1: tls_port: ",
		"tls_port = 443":                                         "f:1: tls_port: needs a certificate",
		"tls_port = 443\ntls_certificate_file = a":               "f:2: tls_certificate_file: needs tls_private_key_file",
		"tls_port = 443\ntls_private_key_file = a":               "f:2: tls_port: needs a certificate",
		"tls_port = 443\ntls_certificate_file = a\ntls_private_key_file = b\ntls_acme_domains = a.example": "f:4: tls_acme_domains: there is a certificate",
		"tls_acme_domains = ,":                                       "f:1: tls_acme_domains: ",
		"tls_acme_domains = a.example b.example.":                    "f:1: tls_acme_domains: ",
		"tls_acme_directory = http://acme.example":                   "f:1: tls_acme_directory: ",
		"tls_certificate_file =":                                     "f:1: tls_certificate_file: ",
		"tls_passthrough = web.example":                              "f:1: tls_passthrough: ",
		"tls_passthrough = web.example.:443":                         "f:1: tls_passthrough: ",
		"tls_passthrough = web.example:0":                            "f:1: tls_passthrough: port of ",
		"tls_passthrough_proxy_protocol = 3":                         "f:1: tls_passthrough_proxy_protocol: ",
		"proxy_protocol_peers = nginx":                               "f:1: proxy_protocol_peers: ",
		"turn_tls = true":                                            "f:1: turn_tls: needs turn_tls_fqdn or turn_fqdn",
		"turn_tls = true\nturn_fqdn = a.example\nturn_tcp = false":   "f:3: turn_tls: needs turn_tcp = true, which a proxy",
		"turn_tcp_only = true\nturn_tls_only = true":                 "f:2: turn_tcp_only: is true, and so is turn_tls_only",
		"turn_tcp_only = true\nturn_tcp = false":                     "f:2: turn_tcp_only: is true, but turn_tcp is false",
		"turn_tls_only = true":                                       "f:1: turn_tls_only: is true, but turn_tls is false",
		"turn_tcp_listen_port = 5000":                                "f:1: turn_tcp_listen_port: is the same port as signaling_port",
		"tls_port = 3478\ntls_acme_domains = a.example":              "f:1: turn_tcp_listen_port: is the same port as tls_port",
		"signaling_port = 443\ntls_port=443\ntls_acme_domains = a.b": "f:2: tls_port: is the same port as signaling_port",
	} {
		_, _, err := Parse("f", []byte(text))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want %q", text, err, want)
		}
	}
}

func TestWhatTURNNeedsIsNotAskedForWithoutIt(t *testing.T) {
	parse(t, "turn = false\nturn_tls = true\nturn_tls_only = true\nturn_tcp_only = true")
	parse(t, "turn_tls = true\nturn_tls_fqdn = a.example\nturn_tcp = false\ntls_port = 443\ntls_acme_domains = a.example")
	parse(t, "signaling_port = 0\nturn_tcp_listen_port = 0")
}

func TestThePlainTCPPortIsForTURNOrICE(t *testing.T) {
	for text, want := range map[string]bool{
		"turn = true": true, "ice_tcp = true": true, "turn_tcp = false\nice_tcp = true": true, "turn = false\nice_tcp = true": true,
		"turn_tcp = false": false, "turn = false": false,
		// Nobody listens, so that another may have the number.
		"turn_tcp = false\nsignaling_port = 3478": false,
	} {
		if c := parse(t, text); c.PlainPort() != want {
			t.Errorf("%q: %v", text, !want)
		}
	}
}

func TestUnknownKeysWarnWithTheNearestKey(t *testing.T) {
	_, warnings, err := Parse("f", []byte("signalling_port = 1\n\nlicence = etc/license.json\n"+strings.Repeat("x", 1000)+" = 1"))
	if err != nil || len(warnings) != 3 {
		t.Fatalf("error %v, warnings %v", err, warnings)
	}
	if got, want := warnings[0].String(), `f:1: signalling_port: unknown key, did you mean "signaling_port"?`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got, want := warnings[1].String(), "f:3: licence: unknown key"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestDistance(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"", "abc", 3}, {"kitten", "sitting", 3}, {"ab", "ba", 2}, {"same", "same", 0}} {
		if got := distance(c.a, c.b); got != c.want {
			t.Errorf("distance(%q, %q) = %d, want %d", c.a, c.b, got, c.want)
		}
	}
}

// What is read is printed as it was meant, whatever it is.
func FuzzParse(f *testing.F) {
	f.Add([]byte("signaling_port = 1\n# c\nlabel = x=y\r\nunknwon = 1"))
	f.Add([]byte("websocket_signaling_ping_interval = 1_0 s\nipv4_address = 192.0.2.1, 192.0.2.2\npublic_address = stun:[::1]:1"))
	f.Add([]byte("auth_webhook_url = http://u:p@[::1]:8080/a?b\ntoken_keys = a:HS256:b, c:ES256:d:e\ncluster = true\nlog_rotate_size = 0"))
	f.Add([]byte("signaling_proxies = ::ffff:10.0.0.1/100\nrecording_max_expire_time = 1 h\nconnection_lifetime = 0 ms\n= x"))
	f.Add([]byte("\xef\xbb\xbfwebhook_basic_authn_password =\u00a0x\u3000\nshard_cpus = 007\nundoc_x = \x00"))
	f.Fuzz(func(t *testing.T, data []byte) {
		r := newReader()
		r.file("f", data)
		l, err := r.end()
		if err != nil {
			if !strings.HasPrefix(err.Error(), "f:") {
				t.Fatalf("error without a line: %v", err)
			}
			return
		}
		c := l.Config
		if n := strings.Count(string(data), "\n") + 1; len(l.Warnings) > min(n, maxFindings) || len(l.Warnings)+l.MoreWarnings > n {
			t.Fatalf("%d warnings and %d more of %d lines", len(l.Warnings), l.MoreWarnings, n)
		}
		if c.Session.PingInterval < 100*time.Millisecond || c.Server.MaxConnections < 1 || len(c.Addresses.IPv4) > maxAddresses {
			t.Fatalf("out of range: %+v", c)
		}
		// What goes before the host in a URL is not printed.
		if strings.Contains(string(data), "@") {
			return
		}
		requireSame(t, l)
	})
}
