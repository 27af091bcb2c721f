package deploy

import (
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tsubame/configs"
)

func nginxConf(t *testing.T) string {
	t.Helper()
	return repository(t, "configs/nginx/nginx.conf")
}

func passthroughConf(t *testing.T) string {
	t.Helper()
	return mainFile + repository(t, "configs/nginx/passthrough.conf")
}

func TestNginxFindsNoFaultWithTheFiles(t *testing.T) {
	s := newSpace(t)
	for name, text := range map[string]string{"nginx.conf": nginxConf(t), "passthrough.conf": passthroughConf(t)} {
		out, err := s.nginxCommand(s.nginxFile(text), "-t").CombinedOutput()
		if err != nil || strings.Contains(string(out), "[warn]") {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
	}
	// What it says of a file with a fault.
	out, err := s.nginxCommand(s.nginxFile(strings.Replace(nginxConf(t), "ssl_preread on", "ssl_preread maybe", 1)), "-t").CombinedOutput()
	if err == nil {
		t.Errorf("a fault was not seen: %s", out)
	}
}

// The files name ports of Tsubame's that are its defaults.
func TestNginxFilesNameTheDefaultPorts(t *testing.T) {
	want := fmt.Sprintf("proxy_pass http://127.0.0.1:%d;", configs.Defaults().Signaling.Port)
	if n := strings.Count(nginxConf(t), want); n != 4 {
		t.Errorf("%d times %q", n, want)
	}
}

func TestPlainTURNPassesPort443WithTheClientsAddress(t *testing.T) {
	s := newSpace(t)
	headers := s.mirror(server4+":3478", nil)
	s.startNginx(nginxConf(t))
	for _, server := range []string{server4, server6} {
		conn := s.dial(net.JoinHostPort(server, "443"))
		s.requireEcho(conn)
		if p := s.requireHeader(headers, conn); p.destination.String() != conn.RemoteAddr().String() {
			t.Errorf("the client has connected to %v, the header says %v", conn.RemoteAddr(), p.destination)
		}
	}
}

func TestTURNInTLSIsEndedByNginxWithTheClientsAddress(t *testing.T) {
	s := newSpace(t)
	headers := s.mirror(server4+":3478", nil)
	s.startNginx(nginxConf(t))
	for _, server := range []string{server4, server6} {
		for _, name := range []string{turnName, strings.ToUpper(turnName)} {
			conn := s.secure(net.JoinHostPort(server, "443"), name)
			s.requireEcho(conn)
			s.requireHeader(headers, conn)
		}
	}
}

// TLS without a name, or with one that nobody has here, is not nginx's: it gets as far as
// Tsubame, which sees that it is not TURN.
func TestTLSWithAnotherNameIsLeftToTsubame(t *testing.T) {
	s := newSpace(t)
	headers := s.mirror(server4+":3478", &tls.Config{Certificates: []tls.Certificate{s.certificate}})
	s.startNginx(nginxConf(t))
	for _, name := range []string{"", siteName} {
		conn := tls.Client(s.dial(server4+":443"), &tls.Config{ServerName: name, InsecureSkipVerify: true})
		s.requireEcho(conn)
		s.requireHeader(headers, conn)
	}
}

// seen is a request as it came to a server behind nginx.
type seen struct {
	Port, Method, Path string
	Header             http.Header
}

// backend answers every request with what it has seen.
func (s *space) backend(address string) {
	s.t.Helper()
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		s.t.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header := r.Header.Clone()
		header.Set("Host", r.Host)
		_ = json.NewEncoder(w).Encode(seen{port, r.Method, r.URL.Path, header})
	})}
	l := s.listen(address)
	go func() { _ = server.Serve(l) }() // until the test ends
	s.t.Cleanup(func() { server.Close() })
}

// ask sends a request and returns what the server behind nginx has seen of it.
func ask(t *testing.T, c *http.Client, method, path string, header map[string]string) (status int, got seen) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, "https://"+webName+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range header {
		r.Header.Set(name, value)
	}
	resp, err := c.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode == http.StatusOK {
		if err := json.Unmarshal(b, &got); err != nil {
			t.Fatalf("%s: %q: %v", path, b, err)
		}
	}
	return resp.StatusCode, got
}

func TestEveryLocationLeadsToItsPort(t *testing.T) {
	s := newSpace(t)
	s.backend("127.0.0.1:5000")
	s.startNginx(nginxConf(t))
	for server, client := range map[string]string{server4: client4, server6: client6} {
		c := s.browser(s.clientSide, net.JoinHostPort(server, "443"))
		for _, path := range []string{"/signaling", "/whip/room", "/whip-resource/x", "/whep/room", "/whep-resource/x", "/.ok", "/", "/page.js"} {
			status, got := ask(t, c, http.MethodPatch, path, map[string]string{
				"Authorization": "Bearer x", "X-Forwarded-For": "203.0.113.66", "X-Real-IP": "203.0.113.66",
			})
			if status != http.StatusOK || got.Port != "5000" || got.Path != path || got.Method != http.MethodPatch {
				t.Errorf("%s: %d, %+v", path, status, got)
			}
			// Nobody may say of himself that he is somebody else.
			for name, want := range map[string]string{
				"X-Forwarded-For": client, "X-Real-IP": client, "Host": webName, "Authorization": "Bearer x",
			} {
				if values := got.Header.Values(name); !slices.Equal(values, []string{want}) {
					t.Errorf("%s: %s %q, not %s", path, name, values, want)
				}
			}
		}
		if _, got := ask(t, c, http.MethodGet, "/signaling", map[string]string{"Connection": "Upgrade", "Upgrade": "websocket"}); got.Header.Get("Upgrade") != "websocket" || got.Header.Get("Connection") != "upgrade" {
			t.Errorf("no upgrade: %v", got.Header)
		}
		if _, got := ask(t, c, http.MethodGet, "/", nil); slices.Contains(slices.Collect(maps.Keys(got.Header)), "Upgrade") {
			t.Errorf("an upgrade that nobody wants: %v", got.Header)
		}
	}
}

func TestAPIIsForThisMachineOnly(t *testing.T) {
	s := newSpace(t)
	s.backend("127.0.0.1:3000")
	s.startNginx(nginxConf(t))
	for _, server := range []string{server4, server6} {
		if status, _ := ask(t, s.browser(s.clientSide, net.JoinHostPort(server, "443")), http.MethodPost, "/api", nil); status != http.StatusForbidden {
			t.Errorf("a client of %s got %d", server, status)
		}
	}
	for _, loopback := range []string{"127.0.0.1:443", "[::1]:443"} {
		status, got := ask(t, s.browser(s.serverSide, loopback), http.MethodPost, "/api", nil)
		if status != http.StatusOK || got.Port != "3000" || got.Path != "/" {
			t.Errorf("%s: %d, %+v", loopback, status, got)
		}
	}
}

// Who ends TLS without nginx gets it as the client sent it, and other sites stay where they are.
func TestPassthroughHandsTLSOnUnopened(t *testing.T) {
	s := newSpace(t)
	own := &tls.Config{Certificates: []tls.Certificate{s.certificate}}
	tsubame, sites := s.mirror(server4+":5443", own), s.mirror("127.0.0.1:8443", own)
	s.startNginx(passthroughConf(t))
	for _, server := range []string{server4, server6} {
		for name, to := range map[string]<-chan string{turnName: tsubame, webName: tsubame, siteName: sites} {
			conn := s.secure(net.JoinHostPort(server, "443"), name)
			s.requireEcho(conn)
			s.requireHeader(to, conn)
		}
	}
}

func TestPassthroughHandsPlainTURNOn(t *testing.T) {
	s := newSpace(t)
	headers := s.mirror(server4+":5443", nil)
	s.startNginx(passthroughConf(t))
	for _, server := range []string{server4, server6} {
		conn := s.dial(net.JoinHostPort(server, "443"))
		s.requireEcho(conn)
		s.requireHeader(headers, conn)
	}
}

func TestHeadersAreReadStrictly(t *testing.T) {
	if _, err := parseHeader("PROXY TCP6 2001:db8::9 2001:db8::1 5 443\r\n"); err != nil {
		t.Error(err)
	}
	for _, bad := range []string{
		"", "PROXY UNKNOWN\r\n", "PROXY TCP4 192.0.2.9 unix:/run/x 5 0\r\n", "PROXY TCP6 2001:db8::9 127.0.0.1 5 443\r\n",
		"PROXY TCP4 192.0.2.9 192.0.2.1 5 443\n", "PROXY TCP4 192.0.2.9 192.0.2.1 5 70000\r\n", "\x00\x01\x00\x00\n",
	} {
		if _, err := parseHeader(bad); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}

// What the comments tell an operator to write into tsubame.conf is taken without a warning.
func TestNginxFilesNameSettingsThatThereAre(t *testing.T) {
	for name, want := range map[string]int{"configs/nginx/nginx.conf": 7, "configs/nginx/passthrough.conf": 8} {
		var settings []string
		for line := range strings.Lines(repository(t, name)) {
			if setting, ok := strings.CutPrefix(line, "#   "); ok && strings.Contains(setting, " = ") {
				settings = append(settings, setting)
			}
		}
		if len(settings) != want {
			t.Errorf("%s: %d settings: %q", name, len(settings), settings)
		}
		file := filepath.Join(t.TempDir(), "tsubame.conf")
		if err := os.WriteFile(file, []byte(strings.Join(settings, "")), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, warnings, err := configs.Load(file); err != nil || len(warnings) != 0 {
			t.Errorf("%s: %v, %v", name, err, warnings)
		}
	}
}
