package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tsubame/signal/sora"
	"tsubame/signal/token"
)

// tokenRun runs the command and returns its code and what it printed.
func tokenRun(args ...string) (code int, stdout, stderr string) {
	var out, errs bytes.Buffer
	code = tokenCommand(args, &out, &errs)
	return code, out.String(), errs.String()
}

// newKeyFile makes a key with the command and returns its file and the line for the
// configuration.
func newKeyFile(t *testing.T, alg string) (file, line string) {
	t.Helper()
	file = filepath.Join(t.TempDir(), "token.key")
	code, stdout, stderr := tokenRun("--new-key", file, "--alg", alg)
	if code != 0 {
		t.Fatalf("--new-key: %d: %s", code, stderr)
	}
	return file, strings.TrimSpace(stdout)
}

func TestNewKeySignsTokensThatItsConfigurationLineVerifies(t *testing.T) {
	for _, alg := range []string{token.ES256, token.HS256} {
		file, line := newKeyFile(t, alg)
		code, stdout, stderr := tokenRun("--channel", "room", "--channel", "lobby-*", "--role", "recvonly", "--role", "sendonly",
			"--valid-for", "2h", "--key", file, "--kid", "main", "--client-id", "ann", "--claim", `video_bit_rate=1500`)
		if code != 0 || stderr != "" {
			t.Fatalf("%s: %d: %s", alg, code, stderr)
		}
		text, ok := strings.CutSuffix(stdout, "\n")
		if !ok || strings.ContainsAny(text, " \n") {
			t.Errorf("%s: not one line: %q", alg, stdout)
		}
		value, ok := strings.CutPrefix(line, "token_keys = ")
		if !ok {
			t.Fatalf("%s: %q is no line of a configuration", alg, line)
		}
		parts := strings.SplitN(value, ":", 3)
		key, err := token.LoadKey(parts[0], parts[1], parts[2])
		if err != nil {
			t.Fatalf("%s: %v", alg, err)
		}
		v, err := token.New([]token.Key{key})
		if err != nil {
			t.Fatal(err)
		}
		answer, err := v.Verify(text, time.Now(), "lobby-7", sora.SendOnly)
		if err != nil {
			t.Fatalf("%s: %v", alg, err)
		}
		if answer.ClientID != "ann" || answer.VideoBitrate != 1_500_000 {
			t.Errorf("%s: %q, %d bit/s", alg, answer.ClientID, answer.VideoBitrate)
		}
		if _, err := v.Verify(text, time.Now().Add(2*time.Hour+2*token.Leeway), "lobby-7", sora.SendOnly); err == nil {
			t.Errorf("%s: it does not end", alg)
		}
	}
}

func TestNewKeyIsForItsOwnerOnlyAndOverwritesNothing(t *testing.T) {
	file, _ := newKeyFile(t, token.ES256)
	info, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	if mode := info.Mode().Perm(); mode != 0o600 {
		t.Errorf("mode %v, want 0600", mode)
	}
	before, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	code, _, stderr := tokenRun("--new-key", file)
	after, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if code != 1 || !strings.Contains(stderr, file) || !bytes.Equal(before, after) {
		t.Errorf("code %d, %q; changed: %v", code, stderr, !bytes.Equal(before, after))
	}
}

func TestHalfAKeyIsNotLeftBehind(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token.key")
	if err := os.WriteFile(file+".pub", []byte("another one"), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, _, stderr := tokenRun("--new-key", file); code != 1 || !strings.Contains(stderr, ".pub") {
		t.Errorf("code %d, %q", code, stderr)
	}
	if _, err := os.Stat(file); !os.IsNotExist(err) {
		t.Errorf("a private key without its public one: %v", err)
	}
}

func TestTokenForLaterBeginsThen(t *testing.T) {
	file, line := newKeyFile(t, token.HS256)
	begins := time.Now().Add(24 * time.Hour).UTC().Truncate(time.Second)
	code, stdout, stderr := tokenRun("--channel", "room", "--role", "sendrecv", "--key", file,
		"--not-before", begins.Format(time.RFC3339), "--valid-for", "1h")
	if code != 0 {
		t.Fatal(stderr)
	}
	key, err := token.LoadKey("main", token.HS256, line[strings.LastIndex(line, ":")+1:])
	if err != nil {
		t.Fatal(err)
	}
	v, err := token.New([]token.Key{key})
	if err != nil {
		t.Fatal(err)
	}
	text := strings.TrimSpace(stdout)
	if _, err := v.Verify(text, time.Now(), "room", sora.SendRecv); err == nil || !strings.Contains(err.Error(), token.ReasonNotYetValid) {
		t.Errorf("now: %v", err)
	}
	if _, err := v.Verify(text, begins.Add(time.Hour-time.Second), "room", sora.SendRecv); err != nil {
		t.Errorf("then: %v", err)
	}
}

func TestClaimWithoutEffectIsWarnedOf(t *testing.T) {
	file, _ := newKeyFile(t, token.HS256)
	code, stdout, stderr := tokenRun("--channel", "room", "--role", "sendrecv", "--key", file, "--claim", "vidoe=true")
	if code != 0 || stdout == "" || !strings.Contains(stderr, "vidoe") {
		t.Errorf("code %d, %q, %q", code, stdout, stderr)
	}
}

func TestTokenThatNoServerWouldTakeIsNotPrinted(t *testing.T) {
	file, _ := newKeyFile(t, token.HS256)
	for _, claim := range []string{`audio=3`, `exp=1`, `video_codec_type="MPEG"`, `metadata="` + strings.Repeat("x", token.MaxSize) + `"`} {
		code, stdout, stderr := tokenRun("--channel", "room", "--role", "sendrecv", "--key", file, "--claim", claim)
		if code != 1 || stdout != "" || stderr == "" {
			t.Errorf("%.40s: code %d, %q, %q", claim, code, stdout, stderr)
		}
	}
}

func TestWrongTokenCommandLinesSayWhatIsWrong(t *testing.T) {
	for args, want := range map[string]string{
		"":                                  "--key",
		"--key k":                           "--channel",
		"--key k --channel c":               "--role",
		"--key k --channel c --role viewer": "sendrecv",
		"--key k --channel c --role sendrecv more":           "more",
		"--key k --channel c --role sendrecv --alg HS256":    "--alg",
		"--key k --channel c --role sendrecv --valid-for 0s": "--valid-for",
		"--key k --channel c --role sendrecv --valid-for 1":  "valid-for",
		"--key k --channel c --role sendrecv --claim audio":  "name=JSON",
		"--key k --channel c --role sendrecv --claim a=b":    "JSON",
		"--new-key f --channel c":                            "--new-key",
		"--channel= --role sendrecv --key k":                 "empty",
	} {
		if code, stdout, stderr := tokenRun(strings.Fields(args)...); code != 2 || stdout != "" || !strings.Contains(stderr, want) {
			t.Errorf("%q: code %d, want 2 and %q:\n%s", args, code, want, stderr)
		}
	}
}

func TestTokenFailuresNameTheFile(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "missing.key")
	code, _, stderr := tokenRun("--channel", "c", "--role", "sendrecv", "--key", missing)
	if code != 1 || !strings.Contains(stderr, missing) {
		t.Errorf("code %d: %s", code, stderr)
	}
	if code, _, stderr := tokenRun("--new-key", missing, "--alg", "RS256"); code != 1 || !strings.Contains(stderr, "ES256") {
		t.Errorf("code %d: %s", code, stderr)
	}
}

func TestTokenHelpShowsBothUses(t *testing.T) {
	code, _, stderr := tokenRun("--help")
	if code != 0 || !strings.Contains(stderr, "--channel ID") || !strings.Contains(stderr, "--new-key FILE") {
		t.Errorf("code %d:\n%s", code, stderr)
	}
}
