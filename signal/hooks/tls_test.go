package hooks

import (
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestAServerIsBelievedByTheConfiguredAuthorityOnly(t *testing.T) {
	ours, theirs := newAuthority(t), newAuthority(t)
	s := ours.serve(false, answers(200, "{}"))
	for about, c := range map[string]struct {
		in   trust
		want string
	}{
		"the system's": {trust{}, failTLS},
		"ours":         {trust{ca: ours.file}, ""},
		"another":      {trust{ca: theirs.file}, failTLS},
		"insecure":     {trust{insecure: true}, ""},
	} {
		caller := newCaller("test", 1, false)
		setRoute(t, caller, target{url: s.URL, timeout: patience}, c.in)
		_, f := ask(caller)
		if got := nameOf(f); got != c.want {
			t.Errorf("%s: %v, want %q", about, f, c.want)
		}
		caller.close()
	}
}

func nameOf(f *failure) string {
	if f == nil {
		return ""
	}
	return f.name
}

func TestAServerThatWantsACertificateGetsOurs(t *testing.T) {
	a, other := newAuthority(t), newAuthority(t)
	var common string
	s := a.serve(true, func(w http.ResponseWriter, r *http.Request) {
		common = r.TLS.PeerCertificates[0].Subject.CommonName
		io.WriteString(w, "{}")
	})
	chain, key := a.issue("tsubame")
	badChain, badKey := other.issue("stranger")
	for _, c := range []struct {
		in   trust
		want string
	}{
		{trust{ca: a.file}, failTLS},
		{trust{ca: a.file, chain: badChain, key: badKey}, failTLS},
		{trust{ca: a.file, chain: chain, key: key}, ""},
	} {
		caller := newCaller("test", 1, false)
		setRoute(t, caller, target{url: s.URL, timeout: patience}, c.in)
		if _, f := ask(caller); nameOf(f) != c.want {
			t.Errorf("with %q: %v, want %q", c.in.chain, f, c.want)
		}
		caller.close()
	}
	if common != "tsubame" {
		t.Errorf("the server saw %q", common)
	}
}

func TestARenewedCertificateIsTakenUp(t *testing.T) {
	a := newAuthority(t)
	s := a.serve(false, answers(200, "{}"))
	dir := t.TempDir()
	file := filepath.Join(dir, "ca.pem")
	copyFile(t, newAuthority(t).file, file)
	c := newCaller("test", 1, false)
	defer c.close()
	setRoute(t, c, target{url: s.URL, timeout: patience}, trust{ca: file})
	if _, f := ask(c); nameOf(f) != failTLS {
		t.Fatalf("%v, want %s", f, failTLS)
	}
	copyFile(t, a.file, file)
	setRoute(t, c, target{url: s.URL, timeout: patience}, trust{ca: file})
	if _, f := ask(c); f != nil {
		t.Fatal(f)
	}
	before := c.route.Load().transport
	setRoute(t, c, target{url: s.URL + "/other", timeout: patience}, trust{ca: file})
	if c.route.Load().transport != before {
		t.Error("connections are thrown away though the same files say the same")
	}
	setRoute(t, c, target{url: s.URL, timeout: time.Second}, trust{ca: file})
	if c.route.Load().transport == before {
		t.Error("another timeout is not taken up")
	}
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	b, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestFilesThatWillNotDoAreNamed(t *testing.T) {
	a := newAuthority(t)
	chain, key := a.issue("one")
	_, otherKey := a.issue("two")
	empty := filepath.Join(t.TempDir(), "empty.pem")
	copyFile(t, os.DevNull, empty)
	for about, c := range map[string]struct {
		in   trust
		want string
	}{
		"missing authority": {trust{ca: "/no/such.pem"}, "/no/such.pem"},
		"empty authority":   {trust{ca: empty}, empty},
		"chain alone":       {trust{chain: chain}, "needs both"},
		"key alone":         {trust{key: key}, "needs both"},
		"another's key":     {trust{chain: chain, key: otherKey}, chain},
		"a device":          {trust{ca: "/dev/zero"}, "/dev/zero"},
		"a folder":          {trust{ca: a.dir}, a.dir},
	} {
		if _, err := c.in.load(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", about, err)
		}
	}
}
