package deploy

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"
)

// mainFile is what stands around passthrough.conf.
const mainFile = `
user www-data;
pid /run/nginx.pid;
error_log /var/log/nginx/error.log;
include /etc/nginx/modules-enabled/*.conf;
events {
}
`

// nginxFile writes a file of the repository as an operator would after having read it: with the
// paths of the certificate filled in. What nginx writes goes to the test's folder.
func (s *space) nginxFile(text string) string {
	s.t.Helper()
	dir := s.t.TempDir()
	me, err := user.Current()
	if err != nil {
		s.t.Fatal(err)
	}
	group, err := user.LookupGroupId(me.Gid)
	if err != nil {
		s.t.Fatal(err)
	}
	var temporary strings.Builder
	for _, what := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
		fmt.Fprintf(&temporary, "    %s_temp_path %s;\n", what, filepath.Join(dir, what))
	}
	text = strings.NewReplacer(
		"/etc/letsencrypt/live/sfu.example.com/fullchain.pem", s.chainFile,
		"/etc/letsencrypt/live/sfu.example.com/privkey.pem", s.keyFile,
		"/run/nginx.pid", filepath.Join(dir, "nginx.pid"),
		"/var/log/nginx/", dir+"/",
		"user www-data;", fmt.Sprintf("user %s %s;", me.Username, group.Name), // whom the folder belongs to
		"worker_rlimit_nofile 65536;", "", // not everybody who may run tests may raise limits
		"worker_connections 16384;", "worker_connections 256;",
		"http {\n", "http {\n"+temporary.String(),
	).Replace(text)
	for _, own := range []string{"/etc/letsencrypt", "/run/nginx", "/var/log"} {
		if strings.Contains(text, own) {
			s.t.Fatalf("%s is still in the file", own)
		}
	}
	file := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		s.t.Fatal(err)
	}
	return file
}

// nginxCommand is nginx with that file, in the server's namespace.
func (s *space) nginxCommand(file string, more ...string) *exec.Cmd {
	s.t.Helper()
	path, err := exec.LookPath("nginx")
	if err != nil {
		path = "/usr/sbin/nginx" // which is not in everybody's PATH
		if _, err := os.Stat(path); err != nil {
			s.t.Fatalf("this test runs nginx, which is not installed: run bench/browser/install.sh (make deps)\n%v", err)
		}
	}
	args := []string{"netns", "exec", s.serverSide.Name(), path, "-e", "stderr", "-c", file}
	return exec.Command("ip", append(args, more...)...)
}

// nginx is one that runs in the foreground.
type nginx struct {
	cmd    *exec.Cmd
	dir    string
	ended  chan struct{}
	result error // valid after ended

	mu     sync.Mutex
	stderr bytes.Buffer
}

// Write takes what nginx says.
func (n *nginx) Write(p []byte) (int, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.stderr.Write(p)
}

// said is what nginx has said on its standard error and in its log of errors.
func (n *nginx) said() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	log, _ := os.ReadFile(filepath.Join(n.dir, "error.log"))
	return n.stderr.String() + string(log)
}

// startNginx runs nginx until the test ends, and waits until it takes connections.
func (s *space) startNginx(text string) *nginx {
	s.t.Helper()
	file := s.nginxFile(text)
	n := &nginx{cmd: s.nginxCommand(file, "-g", "daemon off;"), dir: filepath.Dir(file), ended: make(chan struct{})}
	n.cmd.Stderr = n
	n.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM} // a master that is killed leaves its workers
	started := make(chan error)
	go func() {
		// The kernel sends Pdeathsig when the thread ends: it stays as long as nginx does.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		started <- n.cmd.Start()
		if n.cmd.Process != nil {
			n.result = n.cmd.Wait()
		}
		close(n.ended)
	}()
	if err := <-started; err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { s.stopNginx(n) })
	s.eventually("nginx takes connections", func() bool {
		select {
		case <-n.ended:
			s.t.Fatalf("nginx has ended: %v\n%s", n.result, n.said())
		default:
		}
		var conn net.Conn
		var err error
		s.clientSide.Do(func() { conn, err = net.DialTimeout("tcp", server4+":443", time.Second) })
		if err == nil {
			conn.Close()
		}
		return err == nil
	})
	return n
}

// stopNginx ends nginx in order. It must have had nothing serious to say.
func (s *space) stopNginx(n *nginx) {
	s.t.Helper()
	if err := n.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		s.t.Error(err)
	}
	select {
	case <-n.ended:
	case <-time.After(patience):
		s.t.Errorf("nginx does not end within %v", patience)
		_ = n.cmd.Process.Kill()
		<-n.ended
	}
	if n.result != nil {
		s.t.Errorf("nginx: %v", n.result)
	}
	said := n.said()
	for _, level := range []string{"[emerg]", "[alert]", "[crit]", "[warn]"} {
		if strings.Contains(said, level) {
			s.t.Errorf("nginx has a complaint:\n%s", said)
			return
		}
	}
	if s.t.Failed() {
		s.t.Logf("what nginx said:\n%s", said)
	}
}

// eventually waits until a condition holds.
func (s *space) eventually(what string, holds func() bool) {
	s.t.Helper()
	tick, end := time.NewTicker(20*time.Millisecond), time.After(patience)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-end:
			s.t.Fatalf("not within %v: %s", patience, what)
		}
	}
}
