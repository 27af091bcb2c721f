//go:build browser

package browser

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"tsubame/bench/harness"
)

// nginxEnds bounds how long nginx may take to end.
const nginxEnds = 20 * time.Second

// startNginx runs nginx with a file of the repository on the server's machine until the test
// ends, as an operator would after having filled in the paths of the certificate, and waits until
// it takes connections.
func (w *walled) startNginx(t *testing.T, text string) {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(file, []byte(w.nginxText(t, dir, text)), 0o644); err != nil {
		t.Fatal(err)
	}
	path, err := exec.LookPath("nginx")
	if err != nil {
		path = "/usr/sbin/nginx" // which is not in everybody's PATH
	}
	var stderr bytes.Buffer // read when nginx has ended
	cmd := exec.Command("ip", "netns", "exec", w.serverSide.Name(), path, "-e", "stderr", "-c", file, "-g", "daemon off;")
	cmd.Stderr = &stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM} // a master that is killed leaves its workers
	started, ended := make(chan error), make(chan error, 1)
	go func() {
		// The kernel sends Pdeathsig when the thread ends: it stays as long as nginx does.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		started <- cmd.Start()
		if cmd.Process != nil {
			ended <- cmd.Wait()
		}
	}()
	if err := <-started; err != nil {
		t.Fatalf("starting nginx, which make deps installs: %v", err)
	}
	t.Cleanup(func() {
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
			t.Error(err)
		}
		select {
		case err = <-ended:
		case <-time.After(nginxEnds):
			_ = cmd.Process.Kill()
			err = fmt.Errorf("not within %v: %w", nginxEnds, <-ended)
		}
		log, _ := os.ReadFile(filepath.Join(dir, "error.log")) // empty, or not there, if all is well
		if err != nil || t.Failed() || strings.Contains(string(log), "[crit]") || strings.Contains(string(log), "[alert]") {
			t.Errorf("nginx: %v\n%s%s", err, &stderr, log)
		}
	})
	eventually(t, nginxEnds, "nginx takes connections", func() (bool, any) {
		var conn net.Conn
		var err error
		w.clientSide.Do(func() { conn, err = net.DialTimeout("tcp", server4+":443", time.Second) })
		if err == nil {
			conn.Close()
		}
		return err == nil, err
	})
}

// nginxText fills in paths, and what nginx may not do that is not run as a service.
func (w *walled) nginxText(t *testing.T, dir, text string) string {
	t.Helper()
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	group, err := user.LookupGroupId(me.Gid)
	if err != nil {
		t.Fatal(err)
	}
	var temporary strings.Builder
	for _, what := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
		fmt.Fprintf(&temporary, "    %s_temp_path %s;\n", what, filepath.Join(dir, what))
	}
	return strings.NewReplacer(
		"/etc/letsencrypt/live/sfu.example.com/fullchain.pem", w.certificate,
		"/etc/letsencrypt/live/sfu.example.com/privkey.pem", w.key,
		"/run/nginx.pid", filepath.Join(dir, "nginx.pid"),
		"/var/log/nginx/", dir+"/",
		"user www-data;", fmt.Sprintf("user %s %s;", me.Username, group.Name),
		"worker_rlimit_nofile 65536;", "",
		"worker_connections 16384;", "worker_connections 256;",
		"http {\n", "http {\n"+temporary.String(),
	).Replace(text)
}

// behindNginx calls with nginx in front of the server at port 443, which is all that clients can
// reach. The server learns from the PROXY protocol who they are.
func (w *walled) behindNginx(t *testing.T, more map[string]string, protocol string) {
	t.Helper()
	root, err := harness.Root()
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(root, "configs", "nginx", "nginx.conf"))
	if err != nil {
		t.Fatal(err)
	}
	// Everything as the file says, the settings of the server in its comments too.
	config := map[string]string{"signaling_port": "5000", "udp_port": "3478", "turn_tcp_listen_port": "3478"}
	for line := range strings.Lines(string(b)) {
		if setting, ok := strings.CutPrefix(line, "#   "); ok {
			if key, value, ok := strings.Cut(strings.TrimSpace(setting), " = "); ok {
				config[key] = value
			}
		}
	}
	maps.Copy(config, more)
	s := w.start(t, config)
	w.startNginx(t, string(b))
	w.raise(t, only443)
	before := s.Counters()
	w.call(t, s, webName, "relay", protocol)
	w.requireDropped(t)
	after := s.Counters()
	if n := after["entry_proxied"] - before["entry_proxied"]; n < 2 {
		t.Errorf("%d connections came with a PROXY header, of two clients", n)
	}
	for name, bad := range map[string]uint64{"entry_proxy_bad": after["entry_proxy_bad"], "turn_udp_in": after["turn_udp_in"]} {
		if bad != 0 {
			t.Errorf("%s is %d", name, bad)
		}
	}
}
