package configs

import (
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// Whatever a key changes to: it is one of the changes, and is taken over if it can be, and else
// nothing of it is.
func TestEveryKeyIsTakenOverOrNeedsARestart(t *testing.T) {
	for i := range keys {
		k := &keys[i]
		for _, value := range samplesOf(t, k) {
			before := beside(k.name)
			if _, _, err := Parse("f", []byte(before)); err != nil { // what is beside cannot be alone
				before = with(k.name, "another value")
			}
			running, wanted := loaded(t, before).Config, loaded(t, with(k.name, value)).Config
			for _, direction := range []struct{ from, to Config }{{running, wanted}, {wanted, running}} {
				changes := Diff(direction.from, direction.to)
				merged, err := Merge(direction.from, direction.to)
				if err != nil {
					t.Errorf("%s = %s: %v", k.name, value, err)
					continue
				}
				if k.idle != "" {
					if len(changes) != 0 || !reflect.DeepEqual(merged, direction.to) {
						t.Errorf("%s = %s: changes %v", k.name, value, changes)
					}
					continue
				}
				if len(changes) != 1 || changes[0].Key != k.name || changes[0].Reload != k.reload {
					t.Errorf("%s = %s: changes %v", k.name, value, changes)
				}
				want := direction.from
				if k.reload {
					want = direction.to
				}
				if !reflect.DeepEqual(merged, want) {
					t.Errorf("%s = %s: merged into %+v", k.name, value, merged)
				}
			}
		}
	}
}

func TestChangesSayTheOldAndTheNewValue(t *testing.T) {
	old := parse(t, "log_level = warn\nauth_webhook_url = http://u:p@a.example/\nshards = 1\nwebhook_basic_authn_password = x")
	wanted := parse(t, "log_level = error\nshards = 2\nturn_fqdn = a.example\nwebhook_basic_authn_password = y\nwebhook_response_timeout = 5_000 ms")
	want := []Change{
		{Key: "log_level", Old: "warn", New: "error", Reload: true},
		{Key: "shards", Old: "1", New: "2"},
		{Key: "turn_fqdn", New: "a.example", Reload: true},
		{Key: "auth_webhook_url", Old: "http://***@a.example/", Reload: true},
		{Key: "webhook_basic_authn_password", Old: "***", New: "***", Reload: true},
	}
	if got := Diff(old, wanted); !slices.Equal(got, want) {
		t.Errorf("got %+v", got)
	}
	if got := Diff(old, old); got != nil {
		t.Errorf("got %+v", got)
	}
}

func TestWhatGoesAgainstWhatHasToStayIsRefused(t *testing.T) {
	running := parse(t, "turn_tls = true\nturn_fqdn = a.example")
	wanted := parse(t, "log_level = debug") // without turn_tls, which needs a restart, it needs no name
	merged, err := Merge(running, wanted)
	var f *Faults
	if !errors.As(err, &f) || !strings.HasPrefix(err.Error(), "reload: turn_tls: needs turn_tls_fqdn or turn_fqdn") {
		t.Error(err)
	}
	if !reflect.DeepEqual(merged, running) {
		t.Errorf("merged into %+v", merged)
	}
}

func TestMergingLeavesBothAsTheyWere(t *testing.T) {
	running, wanted := parse(t, "log_level = warn\ncluster = false"), loaded(t, "log_level = debug\ncluster = true\nwhip = true").Config
	merged, err := Merge(running, wanted)
	if err != nil || len(running.Idle) != 0 || len(wanted.Idle) != 2 || running.Log.Level != "warn" || merged.Log.Level != "debug" {
		t.Errorf("%v\n%+v\n%+v\n%+v", err, running, wanted, merged)
	}
}
