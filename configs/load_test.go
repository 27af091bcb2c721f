package configs

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// write makes a file in a folder of the test.
func write(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// anyKey finds nothing wrong with a key of tokens.
func anyKey(TokenKey) error { return nil }

func read(t *testing.T, path string, environ ...string) *Loaded {
	t.Helper()
	l, err := Read(path, environ, anyKey)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// faults returns what is wrong with a configuration.
func faults(t *testing.T, path string, environ ...string) string {
	t.Helper()
	_, err := Read(path, environ, anyKey)
	if err == nil {
		t.Fatalf("%s, %q is taken", path, environ)
	}
	return err.Error()
}

func TestTheEnvironmentGoesBeforeTheFileAndTheFileBeforeTheDefaults(t *testing.T) {
	path := write(t, "f", "label = file\nlog_level = warn\n")
	l := read(t, path, "HOME=/", "TSUBAME_LOG_LEVEL=debug", "TSUBAME_WHIP=false")
	if c := l.Config; c.Server.Label != "file" || c.Log.Level != "debug" || c.Signaling.Port != 5000 {
		t.Errorf("%+v", c)
	}
	for key, want := range map[string]string{
		"label": path + ":1", "log_level": "environment TSUBAME_LOG_LEVEL", "whip": "environment TSUBAME_WHIP", "signaling_port": "default",
	} {
		if got := l.Origin(key).String(); got != want {
			t.Errorf("%s comes from %s, want %s", key, got, want)
		}
	}
	if len(l.Warnings) != 0 {
		t.Error(l.Warnings)
	}
}

func TestEveryKeyCanComeFromTheEnvironment(t *testing.T) {
	for i := range keys {
		k := &keys[i]
		for _, value := range samplesOf(t, k) {
			r := newReader()
			r.file("f", []byte(beside(k.name)))
			r.environment([]string{prefix + strings.ToUpper(k.name) + "=" + value})
			l, err := r.end()
			if err != nil {
				t.Errorf("%s: %v", k.name, err)
				continue
			}
			want := loaded(t, with(k.name, value)).Config
			if text, _ := k.get(&l.Config); l.Origin(k.name).Variable == "" || text != first(k.get(&want)) {
				t.Errorf("%s = %q: got %q from %v", k.name, value, text, l.Origin(k.name))
			}
		}
	}
}

func first(text string, _ bool) string { return text }

func TestValuesOfTheEnvironmentFollowTheSameRules(t *testing.T) {
	l := read(t, "", "TSUBAME_LABEL=  a = b # c ")
	if l.Config.Server.Label != "a = b # c" {
		t.Errorf("%q", l.Config.Server.Label)
	}
	if l := read(t, write(t, "f", "label = x"), "TSUBAME_LABEL="); l.Config.Server.Label != "" {
		t.Errorf("%q", l.Config.Server.Label)
	}
}

// Row OPS-08.
func TestFaultsNameTheVariable(t *testing.T) {
	for _, c := range []struct {
		file    string
		environ []string
		want    string
	}{
		{"", []string{"TSUBAME_SHARDS=many"}, `environment TSUBAME_SHARDS: shards: "many" is not a decimal number`},
		{"", []string{"TSUBAME_DEV="}, `environment TSUBAME_DEV: dev: "" is neither true nor false`},
		{"", []string{"TSUBAME_LABEL=a\nshards = 1"}, "environment TSUBAME_LABEL: label: has a line break"},
		{"", []string{"TSUBAME_LABEL=\xff"}, "environment TSUBAME_LABEL: label: has a line break, or is not UTF-8"},
		{"", []string{"TSUBAME_WEBHOOK_TLS_VERIFY_CACERT_FILE=a", "TSUBAME_WEBHOOK_TLS_VERIFY_CACERT_PATH=b"},
			"environment TSUBAME_WEBHOOK_TLS_VERIFY_CACERT_PATH: webhook_tls_verify_cacert_path: duplicated key, first given in TSUBAME_WEBHOOK_TLS_VERIFY_CACERT_FILE"},
		// Where two go against each other, the one that came last is named.
		{"\nwebsocket_signaling_pong_timeout = 30 s", []string{"TSUBAME_WEBSOCKET_SIGNALING_PING_INTERVAL=40 s"},
			"environment TSUBAME_WEBSOCKET_SIGNALING_PING_INTERVAL: websocket_signaling_pong_timeout: is not longer"},
		{"\nwebsocket_signaling_ping_interval = 40 s", []string{"TSUBAME_WEBSOCKET_SIGNALING_PONG_TIMEOUT=30 s"},
			"environment TSUBAME_WEBSOCKET_SIGNALING_PONG_TIMEOUT: websocket_signaling_pong_timeout: is not longer"},
	} {
		if got := faults(t, write(t, "f", c.file), c.environ...); !strings.Contains(got, c.want) {
			t.Errorf("%q: got %s, want %s", c.environ, got, c.want)
		}
	}
}

func TestUnknownVariablesWarn(t *testing.T) {
	l := read(t, "", "TSUBAME_LABLE=secret", "TSUBAMELABEL=x", "tsubame_label=x", "TSUBAME_UNDOC_X=1", "TSUBAME_CLUSTER=true")
	var got []string
	for _, w := range l.Warnings {
		got = append(got, w.String())
	}
	want := []string{
		"environment TSUBAME_CLUSTER: cluster: accepted, has no effect yet (clusters)",
		`environment TSUBAME_LABLE: lable: unknown key, did you mean "label"?`,
		"environment TSUBAME_UNDOC_X: undoc_x: undocumented switch, has no effect here",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got %q", got)
	}
}

func TestVariablesThatKubernetesSetsForServicesArePassedOver(t *testing.T) {
	l := read(t, "", "TSUBAME_SIGNALING_PORT=tcp://10.0.0.1:5000", "TSUBAME_UDP_PORT=udp://10.0.0.1:3478")
	if want := Defaults(); l.Config.Signaling.Port != want.Signaling.Port || l.Config.Media.Port != want.Media.Port {
		t.Errorf("ports %d and %d", l.Config.Signaling.Port, l.Config.Media.Port)
	}
	if len(l.Warnings) != 2 || !strings.Contains(l.Warnings[0].String(), "TSUBAME_SIGNALING_PORT") {
		t.Errorf("warnings %v", l.Warnings)
	}
}

// Row OPS-08.
func TestFilesThatAreNoConfigurationAreRefused(t *testing.T) {
	dir := t.TempDir()
	for path, want := range map[string]string{
		filepath.Join(dir, "none"): "no such file",
		dir:                        "directory",
		write(t, "huge", strings.Repeat("\n", MaxFile+1)): "is larger than",
		"/dev/zero": "is larger than",
	} {
		if got := faults(t, path); !strings.Contains(got, want) || !strings.Contains(got, path) {
			t.Errorf("%s: %s, want %q", path, got, want)
		}
		if _, _, err := Load(path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", path, err)
		}
	}
	read(t, write(t, "largest", strings.Repeat("\n", MaxFile)))
}

// Whatever a variable says: it is refused by its name, or has a meaning that a file could have too.
func FuzzEnvironment(f *testing.F) {
	f.Add("LABEL", " x = # ")
	f.Add("webhook_tls_verify_cacert_path", "a")
	f.Add("UNDOC_", "")
	f.Add("SHARD_CPUS", "1\n2")
	f.Fuzz(func(t *testing.T, name, value string) {
		r := newReader()
		r.environment([]string{prefix + name + "=" + value})
		l, err := r.end()
		if err != nil {
			if !strings.HasPrefix(err.Error(), "environment "+prefix) {
				t.Fatalf("error without a variable: %v", err)
			}
			return
		}
		if !strings.Contains(value, "@") {
			requireSame(t, l)
		}
	})
}
