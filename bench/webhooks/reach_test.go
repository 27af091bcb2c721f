package webhooks

import (
	"crypto/tls"
	"net"
	"strings"
	"testing"

	"tsubame/bench/bot"
)

// keys are an authority, and what it has signed for an application and for a server.
type keys struct {
	*Authority
	application, server *Certificate
}

func newKeys(t *testing.T, name string) *keys {
	t.Helper()
	a, err := NewAuthority(t.TempDir(), name)
	if err != nil {
		t.Fatal(err)
	}
	k := &keys{Authority: a}
	if k.application, err = a.Certificate(name+"-application", "127.0.0.1"); err != nil {
		t.Fatal(err)
	}
	if k.server, err = a.Certificate(name + "-server"); err != nil {
		t.Fatal(err)
	}
	return k
}

// Reaching an application, or not: how the connection is secured and who may ask.
//
// Row HTTP-06.
func TestApplicationIsReachedOnlyAsConfigured(t *testing.T) {
	t.Parallel()
	ours, theirs := newKeys(t, "ours"), newKeys(t, "theirs")
	plainTLS := &tls.Config{Certificates: []tls.Certificate{ours.application.TLS}}
	mutual := plainTLS.Clone()
	mutual.ClientAuth, mutual.ClientCAs = tls.RequireAndVerifyClientCert, ours.Pool()
	elsewhere, err := ours.Certificate("elsewhere", "192.0.2.1")
	if err != nil {
		t.Fatal(err)
	}
	client := func(k *keys, more settings) settings {
		all := settings{"webhook_tls_verify_cacert_file": ours.File,
			"webhook_tls_fullchain_file": k.server.ChainFile, "webhook_tls_privkey_file": k.server.KeyFile}
		for name, v := range more {
			all[name] = v
		}
		return all
	}
	password := settings{"webhook_basic_authn": "true", "webhook_basic_authn_user_id": "tsubame", "webhook_basic_authn_password": "a:secret å"}
	for name, test := range map[string]struct {
		app    Options
		config settings
		fails  string // with this name; empty: it does not
	}{
		"own authority":               {Options{TLS: plainTLS}, settings{"webhook_tls_verify_cacert_file": ours.File}, ""},
		"unknown authority":           {Options{TLS: plainTLS}, nil, "tls"},
		"another authority":           {Options{TLS: plainTLS}, settings{"webhook_tls_verify_cacert_file": theirs.File}, "tls"},
		"another host":                {Options{TLS: &tls.Config{Certificates: []tls.Certificate{elsewhere.TLS}}}, settings{"webhook_tls_verify_cacert_file": ours.File}, "tls"},
		"unknown authority, insecure": {Options{TLS: plainTLS}, settings{"webhook_insecure": "true"}, ""},
		"client certificate":          {Options{TLS: mutual}, client(ours, nil), ""},
		"no client certificate":       {Options{TLS: mutual}, settings{"webhook_tls_verify_cacert_file": ours.File}, "tls"},
		"a strange one":               {Options{TLS: mutual}, client(theirs, nil), "tls"},
		"password":                    {Options{User: "tsubame", Password: "a:secret å"}, password, ""},
		"no password":                 {Options{User: "tsubame", Password: "a:secret å"}, nil, "status"},
		"password and certificate":    {Options{TLS: mutual, User: "tsubame", Password: "a:secret å"}, client(ours, password), ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			app := application(t, test.app)
			for _, path := range []string{auth, session, event, stats} {
				app.On(path, Always(Allow(nil)))
			}
			w := start(t, app, test.config)
			if test.fails != "" {
				w.requireUnreachable(test.fails)
				return
			}
			w.enter("room", bot.RecvOnly)
			for _, path := range []string{auth, session, event} {
				r := w.one(path, nil)
				if test.app.TLS == mutual && r.Client != "ours-server" {
					t.Errorf("%s: the client's certificate is of %q", path, r.Client)
				}
				if r.User != test.app.User || r.Password != test.app.Password {
					t.Errorf("%s: %q with password %q", path, r.User, r.Password)
				}
			}
		})
	}
}

// requireUnreachable holds that nobody gets in, and that the log says why.
func (w *world) requireUnreachable(why string) {
	w.t.Helper()
	w.requireRefused(w.peer("room", bot.RecvOnly, nil), internal)
	line := w.line("auth_webhook_error.jsonl", having("req.channel_id", "room"))
	if reason, _ := line["reason"].(string); !strings.HasPrefix(reason, why) {
		w.t.Errorf("the reason is %q, want %s", reason, why)
	}
}

// Where nobody listens, where somebody listens who never takes a connection, and where TLS is
// expected and not there.
//
// Row HTTP-06.
func TestNobodyThere(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	gone, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	gone.Close()
	plain := willing(t)
	for name, test := range map[string]struct{ url, fails string }{
		"refused":        {"http://" + gone.Addr().String() + auth, "refused"},
		"never accepted": {"http://" + l.Addr().String() + auth, "timeout"},
		"no TLS":         {strings.Replace(plain.URL(auth), "http:", "https:", 1), "tls"},
		"no such host":   {"http://nobody.invalid" + auth, "dns"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := start(t, nil, settings{"auth_webhook_url": test.url, "webhook_response_timeout": "3 s"})
			w.requireUnreachable(test.fails)
		})
	}
}
