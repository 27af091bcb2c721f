package configs

import (
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// meanings are the files of testdata, which have the examples of the manual of Sora in our words,
// with what differs from the defaults.
var meanings = map[string]struct {
	change func(c *Config)
	warned []string // keys that are warned of
}{
	"grammar": {
		change: func(c *Config) {
			c.Server.Label = "Büro = 3 # all of this is the label"
			c.Session.PingInterval = time.Second
			c.Webhooks.SessionUpdated = time.Hour
			c.Addresses = Addresses{
				IPv4: []netip.Addr{netip.MustParseAddr("192.0.2.5"), netip.MustParseAddr("192.0.2.6")},
				IPv6: true, IPv6s: []netip.Addr{netip.MustParseAddr("2001:db8::5")},
			}
		},
		warned: []string{"tomorrow", "undoc_tomorrow"},
	},
	"application": {
		change: func(c *Config) {
			c.Webhooks = Webhooks{
				AuthURL: "https://app.example.com/webhooks/auth", SessionURL: "https://app.example.com/webhooks/session",
				EventURL: "http://192.0.2.20:8000/event?server=1", StatsURL: "http://192.0.2.20:8000/stats",
				Timeout: 30 * time.Second, BasicAuth: true, User: "sora", Password: "correct horse=battery#staple",
				CAFile: "etc/app-ca.pem", CertFile: "etc/client.pem", KeyFile: "etc/client-key.pem",
				Workers: 10, QueueEvents: 100_000, SessionGrace: c.Webhooks.SessionGrace, ConnectionUpdated: 10 * time.Minute, SessionUpdated: time.Minute,
				IgnoreConnectionUpdated: true, IgnoreConnectionFailed: true, IgnoreSessionUpdated: true, IgnoreSessionVanished: true,
				IgnoreRecordingStarted: true, IgnoreArchiveStarted: true, LegacySignalingError: true, AuthLog: true, StatsLog: true,
			}
			c.Idle = map[string]string{"legacy_auth_webhook_log": "true"}
		},
		warned: []string{"legacy_auth_webhook_log"},
	},
	"clients": {
		change: func(c *Config) {
			c.Session.Allow = Allow{
				ClientID: true, BundleID: true, OpusParams: true, VP9Params: true, AV1Params: true, H264Params: true, H265Params: true,
				H264BFrame: true, H265BFrame: true, VP8: false, VP9: true, AV1: true, H264: true, H265: true,
			}
			c.Session.ForwardingFilterAllowed, c.Session.NotifyMetadataExt, c.Session.Notify = true, true, false
			c.Session.DefaultCodec, c.Session.DefaultVideoBPS = "H264", 15_000_000
		},
		warned: []string{"signaling_forwarding_filter"},
	},
	"turn": {
		change: func(c *Config) {
			c.Addresses.IPv4 = []netip.Addr{netip.MustParseAddr("192.0.2.10")}
			c.TURN = TURN{
				On: true, Realm: "sora-turn.example.com", FQDN: "turn.example.com", TCP: true, TCPPort: 443,
				TLS: true, TLSFQDN: "turn-tls.example.com", TLSPort: 443,
			}
			c.Signaling.LoopbackOnly = true
			c.Idle = map[string]string{"api_loopback_address_only": "true"}
		},
		warned: []string{"api_loopback_address_only"},
	},
	"later": {
		change: func(c *Config) {
			c.Server.NodeName = "node-01@192.0.2.5"
			c.Idle = map[string]string{
				"license_file": "etc/license.json", "api_port": "3000", "api_cors_origin": "https://app.example.com",
				"data_channel_messaging": "true", "data_channel_rpc": "true", "data_channel_signaling_close_message": "true",
				"archive_dir": "/var/lib/sora/archive", "recording_max_expire_time": "86400", "recording_dual_output": "true",
				"audio_streaming_url": "http://192.0.2.10:5890/speech", "audio_streaming_header": "true", "cluster": "true",
				"external_signaling_url": "wss://node-01.example.com/signaling", "external_api_url": "https://node-01.example.com/api",
				"cluster_listen_min_port": "49010", "cluster_listen_max_port": "49020", "whip": "true", "whep": "true",
				"allow_client_id_assignment": "true",
			}
		},
		warned: []string{
			"license_file", "api_port", "api_cors_origin", "data_channel_messaging", "data_channel_rpc", "data_channel_signaling_close_message",
			"archive_dir", "recording_max_expire_time", "recording_dual_output", "audio_streaming_url", "audio_streaming_header", "cluster",
			"external_signaling_url", "external_api_url", "cluster_listen_min_port", "cluster_listen_max_port", "whip", "whep",
			"allow_client_id_assignment",
		},
	},
	"statistics": {
		change: func(c *Config) {
			c.Exporter = Exporter{
				URL: "http://192.0.2.10:5890/collector", Number: 5,
				CertFile: "etc/exporter.pem", KeyFile: "etc/exporter-key.pem", CAFile: "etc/collector-ca.pem",
			}
		},
	},
}

func TestExamplesOfTheManualKeepTheirMeaning(t *testing.T) {
	files, err := filepath.Glob("testdata/*.conf")
	if err != nil || len(files) != len(meanings) {
		t.Fatalf("%d files for %d meanings: %v", len(files), len(meanings), err)
	}
	for name, m := range meanings {
		got, warnings, err := Load("testdata/" + name + ".conf")
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		want := Defaults()
		m.change(&want)
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s:\ngot  %+v\nwant %+v", name, got, want)
		}
		var warned []string
		for _, w := range warnings {
			warned = append(warned, w.Key)
		}
		if !slices.Equal(warned, m.warned) {
			t.Errorf("%s: warned of %q", name, warned)
		}
	}
}

// Every key that the manual of Sora names is known, by the name that it has there.
func TestKeysOfSoraAreKnown(t *testing.T) {
	data, err := os.ReadFile("testdata/keys.txt")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for name := range strings.FieldsSeq(string(data)) {
		n++
		if byName[name] == nil {
			t.Errorf("%s is not known", name)
		}
	}
	if n < 100 {
		t.Errorf("%d keys", n)
	}
}
