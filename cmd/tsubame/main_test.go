package main

import (
	"bytes"
	"io"
	"strings"
	"testing"
)

func TestWrongCommandLinesAreRefused(t *testing.T) {
	for _, args := range [][]string{{"tsubame.conf"}, {"-no-such-flag"}, {"-c"}} {
		var out bytes.Buffer
		if code := run(args, io.Discard, &out); code != 2 {
			t.Errorf("%v: exit code %d, want 2", args, code)
		}
		if !strings.Contains(out.String(), "-c") {
			t.Errorf("%v: the way to name a configuration is not said:\n%s", args, out.String())
		}
	}
}

func TestMissingConfigurationFileStopsTheStart(t *testing.T) {
	var out bytes.Buffer
	if code := run([]string{"-c", "/no/such/file.conf"}, io.Discard, &out); code != 1 {
		t.Errorf("exit code %d, want 1", code)
	}
	if !strings.Contains(out.String(), "/no/such/file.conf") {
		t.Errorf("the file is not named:\n%s", out.String())
	}
}
