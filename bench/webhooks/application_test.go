package webhooks

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// application starts one that ends with the test.
func application(t *testing.T, o Options) *Application {
	t.Helper()
	a, err := Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		a.Close()
		if err := a.Err(); err != nil {
			t.Error(err)
		}
	})
	return a
}

// visitor is a client that the test itself is.
func visitor(t *testing.T, config *tls.Config) *http.Client {
	transport := &http.Transport{TLSClientConfig: config}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

func post(t *testing.T, c *http.Client, url string, patience time.Duration) (int, string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(`{"a":1}`))
	if err != nil {
		t.Fatal(err)
	}
	res, err := c.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	return res.StatusCode, string(body), err
}

// Whatever an answer pretends to be, a client of the standard library sees it as that.
func TestAnswersAreWhatTheySay(t *testing.T) {
	a, c := application(t, Options{}), visitor(t, nil)
	late := errors.New("too late")
	for name, test := range map[string]struct {
		answer Answer
		status int
		body   string
		err    error // late: the client's patience ends; other: any error
	}{
		"ok":           {answer: OK([]int{1}), status: 200, body: "[1]"},
		"allow":        {answer: Allow(map[string]any{"b": 2}), status: 200, body: `{"allowed":true,"b":2}`},
		"refuse":       {answer: Refuse("NO"), status: 200, body: `{"allowed":false,"reason":"NO"}`},
		"status":       {answer: Status(500, "x"), status: 500, body: "x"},
		"empty":        {answer: Empty(), status: 204},
		"redirect":     {answer: Redirect(307, "/elsewhere"), status: 307},
		"slow":         {answer: Slow(time.Millisecond, OK(3)), status: 200, body: "3"},
		"dead":         {answer: Dead(), err: late},
		"trickle":      {answer: Trickle(time.Millisecond), err: late},
		"huge":         {answer: Huge(10), status: 200, body: `{"allowed":true,"metadata":"aaaaaaaaaa"}`},
		"hangup":       {answer: Hangup(), err: io.EOF},
		"no http":      {answer: Wire("SSH-2.0-x\r\n\r\n"), err: io.EOF},
		"long length":  {answer: LongLength("{}"), status: 200, body: "{}", err: io.ErrUnexpectedEOF},
		"short length": {answer: ShortLength(`{"a":1}`, 1), status: 200, body: `{"a":1`},
	} {
		a.On("/"+name, Always(test.answer))
		enough := patience
		if test.err == late {
			enough = 200 * time.Millisecond
		}
		status, body, err := post(t, c, a.URL("/"+strings.ReplaceAll(name, " ", "%20")), enough)
		if status != test.status && err == nil || (err != nil) != (test.err != nil) ||
			errors.Is(err, context.DeadlineExceeded) != (test.err == late) || test.err == nil && body != test.body {
			t.Errorf("%s: %d %q %v", name, status, body, err)
		}
	}
	if status, _, err := post(t, c, a.URL("/nobody"), patience); status != 404 || err != nil {
		t.Errorf("without a script: %d %v", status, err)
	}
}

func TestRequestsAreKeptAsTheyCame(t *testing.T) {
	a, c := application(t, Options{}), visitor(t, nil)
	a.On("/x", Always(Empty()))
	for range 2 {
		if _, _, err := post(t, c, a.URL("/x"), patience); err != nil {
			t.Fatal(err)
		}
	}
	found, err := a.Wait(t.Context(), 2, func(r *Request) bool { return r.Path == "/x" })
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range found {
		if r.Method != "POST" || !bytes.Equal(r.Raw, []byte(`{"a":1}`)) || r.Conn != 1 || r.Nth != i+1 || r.Arrived.IsZero() {
			t.Errorf("%+v", r)
		}
	}
	if all, _ := a.Conns(); all != 1 {
		t.Errorf("%d connections", all)
	}
}

// Only who has a certificate of the authority, and the password, is heard.
func TestApplicationAsksForCertificateAndPassword(t *testing.T) {
	authority, err := NewAuthority(t.TempDir(), "authority")
	if err != nil {
		t.Fatal(err)
	}
	server, err := authority.Certificate("application", "127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	client, err := authority.Certificate("client")
	if err != nil {
		t.Fatal(err)
	}
	a := application(t, Options{User: "u", Password: "p", TLS: &tls.Config{
		Certificates: []tls.Certificate{server.TLS}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: authority.Pool(),
	}})
	a.On("/x", Always(Empty()))
	good := visitor(t, &tls.Config{RootCAs: authority.Pool(), Certificates: []tls.Certificate{client.TLS}})
	if status, _, err := post(t, good, a.URL("/x"), patience); status != 401 || err != nil {
		t.Errorf("without a password: %d %v", status, err)
	}
	if status, _, err := post(t, good, strings.Replace(a.URL("/x"), "//", "//u:p@", 1), patience); status != 204 || err != nil {
		t.Errorf("with both: %d %v", status, err)
	}
	for name, config := range map[string]*tls.Config{
		"a stranger":              {RootCAs: authority.Pool()},
		"who does not trust them": {Certificates: []tls.Certificate{client.TLS}},
	} {
		if status, _, err := post(t, visitor(t, config), strings.Replace(a.URL("/x"), "//", "//u:p@", 1), patience); err == nil {
			t.Errorf("%s is answered: %d", name, status)
		}
	}
	if r := a.Requests("/x"); len(r) != 1 || r[0].Client != "client" || r[0].User != "u" {
		t.Errorf("%+v", r)
	}
}
