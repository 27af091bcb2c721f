package main

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"tsubame/media/edge"
)

func noNetworks(func(edge.Network)) {}

func TestProfilerAnswersOnItsOwnListener(t *testing.T) {
	d := serveDebug("127.0.0.1:0", noNetworks, slog.New(slog.DiscardHandler))
	if d == nil {
		t.Fatal("it does not listen")
	}
	for path, want := range map[string]int{
		"/debug/pprof/":               http.StatusOK,
		"/debug/pprof/heap?debug=1":   http.StatusOK,
		"/debug/pprof/symbol":         http.StatusOK,
		"/debug/pprof/cmdline":        http.StatusOK,
		"/debug/pprof/no-such-thing":  http.StatusNotFound,
		"/signaling":                  http.StatusNotFound,
		"/debug/pprof/trace?seconds=": http.StatusOK,
	} {
		answer, err := http.Get("http://" + d.addr + path)
		if err != nil {
			t.Fatal(err)
		}
		_, err = io.Copy(io.Discard, answer.Body)
		answer.Body.Close()
		if err != nil || answer.StatusCode != want {
			t.Errorf("%s: %s, %v; want %d", path, answer.Status, err, want)
		}
	}
	if err := d.stop(context.Background()); err != nil {
		t.Fatal(err)
	}
	if _, err := http.Get("http://" + d.addr + "/debug/pprof/"); err == nil {
		t.Error("it answers after its end")
	}
}

func TestProfilerThatCannotListenIsAWarning(t *testing.T) {
	first := serveDebug("127.0.0.1:0", noNetworks, slog.New(slog.DiscardHandler))
	defer first.stop(context.Background())
	var out bytes.Buffer
	second := serveDebug(first.addr, noNetworks, slog.New(slog.NewTextHandler(&out, nil)))
	if second != nil || !strings.Contains(out.String(), "level=WARN") || !strings.Contains(out.String(), "debug_listen") {
		t.Errorf("got %v, log %q", second, out.String())
	}
	if err := second.stop(context.Background()); err != nil {
		t.Errorf("ending one that never began: %v", err)
	}
}

func TestProfilerOffListensNowhere(t *testing.T) {
	var out bytes.Buffer
	if d := serveDebug("", noNetworks, slog.New(slog.NewTextHandler(&out, nil))); d != nil || out.Len() > 0 {
		t.Errorf("got %v, log %q", d, out.String())
	}
}
