package main

import (
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"tsubame/configs"
	"tsubame/signal/session"
	"tsubame/signal/sora"
)

// A key that nobody has connected has no effect, and nothing else would tell.
func TestEverySwitchOfSessionsReachesThem(t *testing.T) {
	c := configs.Defaults()
	fields := reflect.ValueOf(&c.Session).Elem()
	for i := range fields.NumField() {
		f, name := fields.Field(i), fields.Type().Field(i).Name
		if f.Kind() != reflect.Bool || name == "Notify" || name == "ForwardingFilterAllowed" {
			continue // the first is the channel's, the other of what there is not yet
		}
		before := sessionConfig(c, false)
		f.SetBool(!f.Bool())
		if reflect.DeepEqual(before, sessionConfig(c, false)) {
			t.Errorf("Session.%s changes nothing", name)
		}
		f.SetBool(!f.Bool())
	}
}

// Who starts the server a second time by mistake finds its ports taken, and nothing else happens:
// least of all is the application told that the sessions of the first are gone.
func TestASecondStartLeavesTheFirstAlone(t *testing.T) {
	dir := t.TempDir()
	first := runServer(t, "log_dir = "+dir)
	marker := filepath.Join(dir, "tsubame.running")
	if _, err := os.Stat(marker); err != nil {
		t.Fatal(err)
	}
	_, port := first.server.page()
	text := refused(t, new(logBuffer), "log_dir = "+dir, "signaling_port = "+strconv.Itoa(port))
	if !strings.Contains(text, "signaling_port") {
		t.Errorf("refused by %q", text)
	}
	if _, err := os.Stat(marker); err != nil {
		t.Errorf("the second took the first one's marker away: %v", err)
	}
	first.stop()
	if _, err := os.Stat(marker); err == nil {
		t.Error("the marker is there after an orderly end")
	}
}

func TestAClientIsToldOfAddressesOfItsOwn(t *testing.T) {
	r := runServer(t, "turn_fqdn = turn.example.com")
	told := netip.MustParseAddr("192.0.2.7")
	candidates, urls := r.server.reach(session.Reach{IPv4: told, TURNFQDN: "other.example.com"})
	if len(candidates) != 2 || !strings.Contains(candidates[0], " 192.0.2.7 ") || !strings.Contains(candidates[1], " 127.0.0.1 ") {
		t.Errorf("candidates %q: the one that is told first, then ours, which the relay knows", candidates)
	}
	if len(urls) != 1 || !strings.HasPrefix(urls[0], "turn:other.example.com:") {
		t.Errorf("URLs %q", urls)
	}
	_, all := r.server.reach(session.Reach{})
	if want := r.server.advertised.Load().turnURLs; !slices.Equal(all, want) {
		t.Errorf("URLs %q without a wish, want %q", all, want)
	}
	if _, urls := r.server.reach(session.Reach{TURNTLSOnly: sora.True}); len(urls) != 0 {
		t.Errorf("URLs %q where TLS is off and nothing else is to be told", urls)
	}
	if now := r.server.advertised.Load().addresses; len(now) != 1 || now[0] == told {
		t.Errorf("everybody is told %v now", now)
	}
}
