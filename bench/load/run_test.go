package load

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"tsubame/bench/harness"
	"tsubame/bench/report"
)

// valid is a scenario that a server could run.
func valid(url string) Scenario {
	return Scenario{URL: url, Rooms: 1, Clients: 2, Role: SendRecv, Audio: true, Duration: time.Second}
}

// mustFail runs a scenario that cannot work, and wants an error that names the reason.
func mustFail(t *testing.T, sc Scenario, reason string) {
	t.Helper()
	r, err := Run(t.Context(), sc, nil)
	if err == nil {
		t.Fatalf("a run that cannot work has the result %+v", r)
	}
	if !strings.Contains(err.Error(), reason) {
		t.Errorf("error %q does not say %q", err, reason)
	}
}

func TestScenariosThatMakeNoSenseAreRefused(t *testing.T) {
	const url = "ws://127.0.0.1:9/signaling"
	for name, one := range map[string]struct {
		change func(*Scenario)
		reason string
	}{
		"no URL":            {func(s *Scenario) { s.URL = "" }, "no WebSocket URL"},
		"http":              {func(s *Scenario) { s.URL = "http://127.0.0.1/" }, "no WebSocket URL"},
		"no rooms":          {func(s *Scenario) { s.Rooms = 0 }, "0 rooms"},
		"too many":          {func(s *Scenario) { s.Rooms, s.Clients = 1000, 1000 }, "1000 rooms of 1000"},
		"no media":          {func(s *Scenario) { s.Audio = false }, "neither audio nor video"},
		"role":              {func(s *Scenario) { s.Role = "king" }, `role "king"`},
		"no duration":       {func(s *Scenario) { s.Duration = 0 }, "no duration"},
		"rate":              {func(s *Scenario) { s.PayloadSize = 100 }, "packet rate"},
		"trace":             {func(s *Scenario) { s.Video, s.Trace = true, "vp8-none" }, "vp8-none"},
		"trace of another":  {func(s *Scenario) { s.Video, s.Trace = true, "vp9-noise-1.75mbps" }, "VP9"},
		"clip":              {func(s *Scenario) { s.Video, s.Clip = true, "vp8-none" }, "vp8-none"},
		"profile":           {func(s *Scenario) { s.Profile = "null" }, `"null"`},
		"too many threads":  {func(s *Scenario) { s.Shards = 1000 }, "1000 shards"},
		"payload too large": {func(s *Scenario) { s.PayloadSize, s.PacketRate = 9000, 10 }, "9000"},
	} {
		t.Run(name, func(t *testing.T) {
			sc := valid(url)
			one.change(&sc)
			mustFail(t, sc, one.reason)
		})
	}
}

func TestServerThatIsNotThereIsAnError(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	mustFail(t, valid("ws://"+address+"/signaling"), "connection refused")
	many := valid("ws://" + address + "/signaling")
	many.Rooms = 1000
	mustFail(t, many, "none of the first")
}

func TestServerThatIsNoneIsAnError(t *testing.T) {
	s := httptest.NewServer(http.NotFoundHandler())
	defer s.Close()
	mustFail(t, valid(strings.Replace(s.URL, "http", "ws", 1)+"/signaling"), "404")
}

func TestBusyServerIsTriedAgain(t *testing.T) {
	var calls atomic.Int32
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if calls.Add(1) == 1 {
			w.Header().Set("Retry-After", "0")
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		w.WriteHeader(http.StatusForbidden)
	}))
	defer s.Close()
	sc := valid(strings.Replace(s.URL, "http", "ws", 1))
	sc.Clients = 1
	mustFail(t, sc, "403")
	if calls.Load() != 2 {
		t.Errorf("%d attempts", calls.Load())
	}
}

func TestServerThatEndsIsAnError(t *testing.T) {
	s := harness.Start(t, harness.Options{})
	sc := valid(s.SignalingURL())
	sc.Duration = time.Minute
	_, err := Run(t.Context(), sc, func(one report.Sample) {
		if one.Phase == report.Measuring {
			s.Kill()
		}
	})
	if err == nil || !strings.Contains(err.Error(), "all 2 peers are gone") {
		t.Errorf("the server was killed, and the error is %v", err)
	}
}

func TestRunEndsWithItsContext(t *testing.T) {
	s := harness.Start(t, harness.Options{})
	ctx, cancel := context.WithCancel(t.Context())
	sc := valid(s.SignalingURL())
	sc.Duration = time.Minute
	_, err := Run(ctx, sc, func(report.Sample) { cancel() })
	if err != context.Canceled {
		t.Errorf("error %v", err)
	}
}
