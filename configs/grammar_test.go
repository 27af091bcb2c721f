package configs

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

// A line is skipped if it matches ^ *(#.*)?$, has to match ^([^=]*)=(.*)$ otherwise, and both
// sides are trimmed.
func TestLinesOfTheGrammar(t *testing.T) {
	for _, c := range []struct{ line, key, value, problem string }{
		{line: ""},
		{line: "   "},
		{line: "#"},
		{line: "# a = b"},
		{line: "    # a = b"},
		{line: "#\xff not even UTF-8"},
		{line: "a=b", key: "a", value: "b"},
		{line: "  a  =  b  ", key: "a", value: "b"},
		{line: "\ta\t=\tb\t", key: "a", value: "b"},
		{line: "a =", key: "a"},
		{line: "a = b # c", key: "a", value: "b # c"},
		{line: "a = #b", key: "a", value: "#b"},
		{line: "a = b = c", key: "a", value: "b = c"},
		{line: "a == b", key: "a", value: "= b"},
		{line: `a = "b"`, key: "a", value: `"b"`},
		{line: "a # b = c", key: "a # b", value: "c"},
		{line: "a b = c", key: "a b", value: "c"},
		{line: "= b", key: "", value: "b"},
		{line: "a", problem: "want key = value"},
		{line: "a: b", problem: "want key = value"},
		{line: "[section]", problem: "want key = value"},
		{line: "\t", problem: "want key = value"},
		{line: "\t# a", problem: "want key = value"},
		{line: "a = \xff", problem: "not UTF-8"},
	} {
		k, v, ok, err := parseLine(c.line)
		if c.problem != "" {
			if err == nil || !strings.Contains(err.Error(), c.problem) {
				t.Errorf("%q: error %v, want %q", c.line, err, c.problem)
			}
			continue
		}
		content := strings.Contains(c.line, "=") && !strings.HasPrefix(strings.TrimLeft(c.line, " "), "#")
		if err != nil || ok != content || k != c.key || v != c.value {
			t.Errorf("%q: %q, %q, %v, %v", c.line, k, v, ok, err)
		}
	}
}

func TestAnEmptyKeyIsAnUnknownOne(t *testing.T) {
	_, warnings, err := Parse("f", []byte("= x"))
	if err != nil || len(warnings) != 1 || warnings[0].String() != "f:1: unknown key" {
		t.Errorf("%v, %v", err, warnings)
	}
}

func TestIntervalsOfTheGrammar(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"0 s": 0, "1 ms": time.Millisecond, "1_000 ms": time.Second, "1_0_0 s": 100 * time.Second, "007 s": 7 * time.Second,
		"2 min": 2 * time.Minute, "3 h": 3 * time.Hour, "1  h": time.Hour, "2562047 h": 2562047 * time.Hour,
	} {
		if got, err := parseInterval(text, units); err != nil || got != want {
			t.Errorf("%q: %v, %v, want %v", text, got, err, want)
		}
	}
	for _, text := range []string{
		"", "1", "s", " s", "1s", "1 ", "1 S", "1 sec", "1 d", "1 us", "1\ts", "_1 s", "1_ s", "1 _s", "+1 s", "-1 s", "1.5 s", "1,000 ms",
		"0x1 s", "1 s s", "1 s ", "2562048 h", "99999999999999999999 s",
	} {
		if got, err := parseInterval(text, units); err == nil {
			t.Errorf("%q is taken for %v", text, got)
		}
	}
}

func TestSomeIntervalsHaveSomeUnitsOnly(t *testing.T) {
	_, _, err := Parse("f", []byte("connection_lifetime = 60_000 ms"))
	if err == nil || err.Error() != `f:1: connection_lifetime: "60_000 ms" is not a number, a space and one of s, min, h` {
		t.Error(err)
	}
	if c := parse(t, "connection_lifetime = 60 s"); c.Session.ConnectionLifetime != time.Minute {
		t.Error(c.Session.ConnectionLifetime)
	}
}

func TestIntervalsAreWrittenInTheLongestUnit(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0 s", time.Millisecond: "1 ms", 1500 * time.Millisecond: "1500 ms", time.Second: "1 s", 90 * time.Second: "90 s",
		time.Minute: "1 min", 60 * time.Minute: "1 h", 61 * time.Minute: "61 min",
	} {
		if got := formatInterval(d); got != want {
			t.Errorf("%v: %s, want %s", d, got, want)
		}
	}
}

func TestListsAreSeparatedByCommasSpacesOrBoth(t *testing.T) {
	for _, text := range []string{"192.0.2.1,192.0.2.2", "192.0.2.1 192.0.2.2", "192.0.2.1 ,  192.0.2.2", ",192.0.2.1\t192.0.2.2,"} {
		if c := parse(t, "ipv4_address = "+text); len(c.Addresses.IPv4) != 2 {
			t.Errorf("%q: %v", text, c.Addresses.IPv4)
		}
	}
}

func TestURLsOfTheGrammar(t *testing.T) {
	for _, good := range []string{
		"http://a", "https://a.example:8443/b/c?d=e&f=g", "http://192.0.2.1:80", "http://[2001:db8::1]:8080/x", "http://u:p@a.example/",
	} {
		if c := parse(t, "auth_webhook_url = "+good); c.Webhooks.AuthURL != good {
			t.Errorf("%q: %q", good, c.Webhooks.AuthURL)
		}
	}
	for _, bad := range []string{
		"", "a.example/b", "//a.example", "ftp://a.example", "http://", "http:///b", "http://:80/", "http://a:b/", "http://a.example/ b\x7f",
		"http://a.example/#b", "http://a.example/" + strings.Repeat("b", maxURL), "HTTP:a",
	} {
		if _, _, err := Parse("f", []byte("auth_webhook_url = "+bad)); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}

func TestFaultsOfApplicationKeys(t *testing.T) {
	for text, want := range map[string]string{
		"node_name =":                         "f:1: node_name: not 1..255 characters",
		"node_name = a b":                     "f:1: node_name: ",
		"log_dir =":                           "f:1: log_dir: ",
		"log_rotate_size = 65535":             "f:1: log_rotate_size: 65535 is not in 65536..1099511627776, nor 0",
		"log_rotate_size = x":                 `f:1: log_rotate_size: "x" is not a decimal number`,
		"connection_lifetime = 8761 h":        "f:1: connection_lifetime: ",
		"webhook_response_timeout = 5":        "f:1: webhook_response_timeout: ",
		"webhook_basic_authn = true":          "f:1: webhook_basic_authn: needs webhook_basic_authn_user_id",
		"webhook_basic_authn_user_id = a:b":   "f:1: webhook_basic_authn_user_id: has a colon",
		"webhook_tls_fullchain_file = a":      "f:1: webhook_tls_fullchain_file: needs webhook_tls_privkey_file",
		"webhook_tls_privkey_file = a":        "f:1: webhook_tls_privkey_file: needs webhook_tls_fullchain_file",
		"stats_exporter_tls_privkey_file = a": "f:1: stats_exporter_tls_privkey_file: needs ",
		"event_webhook_worker_number = 0":     "f:1: event_webhook_worker_number: 0 is not in 1..1000",
		"token_required = true":               "f:1: token_required: is true, but there are no token_keys",
		"token_required = true\ndev = true\nauth_webhook_url = http://192.0.2.1/": "f:1: token_required: is true, but there are no token_keys",
		"token_keys = a":                       `f:1: token_keys: "a" is not KID:ALG:FILE`,
		"token_keys = a:HS256:":                "f:1: token_keys: ",
		"token_keys = :HS256:f":                "f:1: token_keys: ",
		"token_keys = a:none:f":                `f:1: token_keys: algorithm "none" of key "a" is none of HS256, RS256, ES256`,
		"token_keys = a:HS256:f, a:RS256:g":    `f:1: token_keys: key "a" stands there twice`,
		"api_port = 65536":                     "f:1: api_port: ",
		"api_cors_origin = http://a.example/":  "f:1: api_cors_origin: ",
		"cluster = on":                         "f:1: cluster: ",
		"spotlight_number = 9":                 "f:1: spotlight_number: 9 is not in 1..8",
		"recording_max_expire_time = 86401":    "f:1: recording_max_expire_time: ",
		"default_recording_format = mkv":       "f:1: default_recording_format: ",
		"external_signaling_url = https://a.b": "f:1: external_signaling_url: not an absolute URL that begins with ws:// or wss://",
		"webhook_tls_verify_cacert_path =":     "f:1: webhook_tls_verify_cacert_path: ",
		"webhook_tls_verify_cacert_path = a\nwebhook_tls_verify_cacert_file = a": "f:2: webhook_tls_verify_cacert_file: duplicated key, first given in line 1",
	} {
		_, _, err := Parse("f", []byte(text))
		if err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%q: error %v, want %q", text, err, want)
		}
	}
}

// Row OPS-08.
func TestAllFaultsAreReportedAtOnce(t *testing.T) {
	_, _, err := Parse("f", []byte("dev = yes\nlabel = ok\nnonsense\nshards = -1\nlabel = again\nwebsocket_signaling_ping_interval = 2 min\nunknown = 1"))
	want := `f:1: dev: "yes" is neither true nor false
f:3: invalid line format: want key = value
f:4: shards: "-1" is not a decimal number
f:5: label: duplicated key, first given in line 2
f:6: websocket_signaling_pong_timeout: is not longer than websocket_signaling_ping_interval`
	if err == nil || err.Error() != want {
		t.Fatalf("got\n%v\nwant\n%s", err, want)
	}
	var faults *Faults
	if !errors.As(err, &faults) || len(faults.List) != 5 || len(faults.Warnings) != 1 {
		t.Errorf("%+v", faults)
	}
}

func TestContradictionsAreLeftOutWhereAValueIsWrong(t *testing.T) {
	_, _, err := Parse("f", []byte("websocket_signaling_ping_interval = 2 min\nwebsocket_signaling_pong_timeout = 3min"))
	if err == nil || strings.Count(err.Error(), "\n") != 0 || !strings.HasPrefix(err.Error(), "f:2: ") {
		t.Error(err)
	}
}

func TestTheFirstFaultsAreListedAndTheRestCounted(t *testing.T) {
	_, _, err := Parse("f", []byte(strings.Repeat("nonsense\n", maxFindings+7)))
	var faults *Faults
	if !errors.As(err, &faults) || len(faults.List) != maxFindings || faults.More != 7 || !strings.HasSuffix(err.Error(), "\nand 7 more") {
		t.Errorf("%v", err)
	}
	var text strings.Builder
	for i := range maxFindings + 7 {
		fmt.Fprintf(&text, "unknown_%d = x\n", i)
	}
	if l := loaded(t, text.String()); len(l.Warnings) != maxFindings || l.MoreWarnings != 7 {
		t.Errorf("%d warnings and %d more", len(l.Warnings), l.MoreWarnings)
	}
}

func TestKeysWithoutEffectWarnWhereTheyAskForSomething(t *testing.T) {
	_, warnings, err := Parse("f", []byte(`cluster = true
whip = false
archive_dir = /archive
license_file = etc/license.json
legacy_auth_webhook_log = true
undoc_magic = 1
signaling_forwarding_filter = true
allow_client_id_assignment = true
`))
	want := []string{
		"f:1: cluster: accepted, has no effect yet (clusters)",
		"f:3: archive_dir: accepted, has no effect yet (recording)",
		"f:4: license_file: accepted, has no effect (no licence is needed)",
		"f:5: legacy_auth_webhook_log: accepted, has no effect any longer (Sora 2024.2 has removed it)",
		"f:6: undoc_magic: undocumented switch, has no effect here",
		"f:7: signaling_forwarding_filter: accepted, has no effect yet (forwarding filters)",
		"f:8: allow_client_id_assignment: accepted, has no effect any longer (it is called signaling_client_id now)",
	}
	if err != nil || len(warnings) != len(want) {
		t.Fatalf("%v, %v", err, warnings)
	}
	for i, w := range warnings {
		if w.String() != want[i] {
			t.Errorf("got %s, want %s", w, want[i])
		}
	}
}
