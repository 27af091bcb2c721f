package main

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tsubame/configs"
)

// writeFile makes a file in a folder of the test.
func writeFile(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	rewrite(t, path, content)
	return path
}

func rewrite(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// environment is what a process is started with.
func environment(variables ...string) func() []string {
	return func() []string { return variables }
}

const badSettings = "shards = many\nlabel = a\nnonsense\nlable = b\ntoken_keys = a:HS256:/no/such/file\n"

// Row OPS-08.
func TestCheckConfigSaysWhatKeepsTheServerFromStarting(t *testing.T) {
	file := writeFile(t, "bad.conf", badSettings)
	want := file + `:1: shards: "many" is not a decimal number
` + file + `:3: invalid line format: want key = value
` + file + `:5: token_keys: open /no/such/file: no such file or directory
`
	var out, errs bytes.Buffer
	if code := run([]string{"check-config", file}, &out, &errs); code != 1 || errs.String() != want {
		t.Errorf("exit code %d, got\n%swant\n%s", code, errs.String(), want)
	}
	if got, want := out.String(), file+":4: lable: unknown key, did you mean \"label\"? (warning)\n"; got != want {
		t.Errorf("got %swant %s", got, want)
	}
	// The start itself says the same.
	errs.Reset()
	if code := run([]string{"-c", file}, io.Discard, &errs); code != 1 {
		t.Errorf("exit code %d", code)
	}
	if got := strings.ReplaceAll(errs.String(), "tsubame: ", ""); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

func TestCheckConfigTakesWhatOnlyWarns(t *testing.T) {
	file := writeFile(t, "good.conf", "cluster = true\nlabel = a\n")
	var out, errs bytes.Buffer
	if code := run([]string{"check-config", file}, &out, &errs); code != 0 || errs.Len() != 0 {
		t.Errorf("exit code %d, %s", code, errs.String())
	}
	if got, want := out.String(), file+":1: cluster: accepted, has no effect yet (clusters) (warning)\n"+file+": ok\n"; got != want {
		t.Errorf("got %swant %s", got, want)
	}
}

func TestCheckConfigLooksAtTheEnvironment(t *testing.T) {
	source := settingsSource{file: writeFile(t, "f", "label = a"), environ: environment("TSUBAME_LOG_LEVEL=loud")}
	var out, errs bytes.Buffer
	if code := check(source, &out, &errs); code != 1 || !strings.HasPrefix(errs.String(), "environment TSUBAME_LOG_LEVEL: log_level: ") {
		t.Errorf("exit code %d, %s", code, errs.String())
	}
}

// Row OPS-08.
func TestCheckConfigLooksIntoTheKeysOfTokens(t *testing.T) {
	key := writeFile(t, "key", strings.Repeat("k", 40))
	source := settingsSource{file: writeFile(t, "f", "\ntoken_keys = a:HS256:"+key), environ: environment()}
	if code := check(source, io.Discard, io.Discard); code != 0 {
		t.Errorf("exit code %d", code)
	}
	rewrite(t, key, "tooshort")
	var errs bytes.Buffer
	if code := check(source, io.Discard, &errs); code != 1 || !strings.HasPrefix(errs.String(), source.file+":2: token_keys: "+key+": ") {
		t.Errorf("exit code %d, %s", code, errs.String())
	}
	if strings.Contains(errs.String(), "tooshort") {
		t.Errorf("the secret is repeated: %s", errs.String())
	}
}

func TestCommandsWithTooMuchOrTooLittle(t *testing.T) {
	for _, args := range [][]string{
		{"check-config"}, {"check-config", "a", "b"}, {"check-config", "-x", "a"}, {"print-config", "a"}, {"print-config", "-c"}, {"print-config", "-x"},
	} {
		var out, errs bytes.Buffer
		if code := run(args, &out, &errs); code != 2 || out.Len() != 0 || errs.Len() == 0 {
			t.Errorf("%q: exit code %d, %s%s", args, code, out.String(), errs.String())
		}
	}
	var errs bytes.Buffer
	if code := run([]string{"check-config", "/no/such/file"}, io.Discard, &errs); code != 1 || !strings.Contains(errs.String(), "/no/such/file") {
		t.Errorf("exit code %d, %s", code, errs.String())
	}
}

func TestHelpNamesTheCommands(t *testing.T) {
	var errs bytes.Buffer
	if code := run([]string{"-h"}, io.Discard, &errs); code != 0 {
		t.Errorf("exit code %d", code)
	}
	for name := range subcommands {
		if !strings.Contains(errs.String(), name) {
			t.Errorf("%s is not in\n%s", name, errs.String())
		}
	}
}

func TestPrintConfigPrintsAConfigurationOfTheSameMeaning(t *testing.T) {
	source := settingsSource{
		file:    writeFile(t, "f", "label = a # b\nwebhook_basic_authn_password = s3cret\nipv4_address = 192.0.2.1 192.0.2.2"),
		environ: environment("TSUBAME_LOG_LEVEL=debug", "PATH=/"),
	}
	var out, errs bytes.Buffer
	if code := printSettings(source, &out, &errs); code != 0 || errs.Len() != 0 {
		t.Fatalf("exit code %d, %s", code, errs.String())
	}
	loaded, err := source.read()
	if err != nil {
		t.Fatal(err)
	}
	printed, warnings, err := configs.Parse("printed", out.Bytes())
	if err != nil || len(warnings) > 0 {
		t.Fatalf("%v, %v", err, warnings)
	}
	changes := configs.Diff(loaded.Config, printed)
	if len(changes) != 1 || changes[0].Key != "webhook_basic_authn_password" {
		t.Errorf("changes %+v", changes)
	}
	if strings.Contains(out.String(), "s3cret") || !strings.Contains(out.String(), "\n# environment TSUBAME_LOG_LEVEL\nlog_level = debug\n") {
		t.Errorf("printed\n%s", out.String())
	}
}

func TestPrintConfigSaysWhatIsWrong(t *testing.T) {
	var out, errs bytes.Buffer
	if code := run([]string{"print-config", "-c", writeFile(t, "f", badSettings)}, &out, &errs); code != 1 || out.Len() != 0 || !strings.Contains(errs.String(), ":1: shards: ") {
		t.Errorf("exit code %d, %s%s", code, out.String(), errs.String())
	}
}

func TestVersionGoesToStandardOutput(t *testing.T) {
	var out, errs bytes.Buffer
	if code := run([]string{"-version"}, &out, &errs); code != 0 || errs.Len() != 0 || !strings.HasPrefix(out.String(), "tsubame ") {
		t.Errorf("exit code %d, %s%s", code, out.String(), errs.String())
	}
}

// In development the server makes a key, so that a token may be asked for; the flag counts as the
// key does, and goes before the environment.
func TestInDevelopmentTokensMayBeRequiredWithoutKeys(t *testing.T) {
	environ := func() []string { return []string{"TSUBAME_TOKEN_REQUIRED=true", "TSUBAME_DEV=false"} }
	if _, err := (settingsSource{environ: environ}).read(); err == nil {
		t.Error("taken without a key and without the flag")
	}
	loaded, err := settingsSource{environ: environ, dev: true}.read()
	if err != nil || !loaded.Config.Server.Dev {
		t.Errorf("%v with the flag", err)
	}
}
