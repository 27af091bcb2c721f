//go:build browser

package netem

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// janus is the Janus of the distribution with its video room, which forwards like we do. Its
// settings are those of its examples but for the bound of the bit rate, which is ours, and what
// it may listen to.
type janus struct{}

const (
	janusPort = 8188
	janusRoom = 1
	maxLog    = 8 << 10 // bytes of its log that a failure shows
)

var janusFiles = map[string]string{
	"janus.jcfg": `general: {
	configs_folder = "%[1]s"
	plugins_folder = "%[2]s/plugins"
	transports_folder = "%[2]s/transports"
	events_folder = "%[2]s/none"
	loggers_folder = "%[2]s/none"
	debug_level = 4
	hide_dependencies = true
}
nat: {
	ice_enforce_list = "10.1.0.1,10.2.0.1"
	ice_tcp = false
}
media: {
	ipv6 = false
}
plugins: { disable = "libjanus_audiobridge.so,libjanus_duktape.so,libjanus_echotest.so,libjanus_lua.so,libjanus_nosip.so,libjanus_recordplay.so,libjanus_sip.so,libjanus_streaming.so,libjanus_textroom.so,libjanus_videocall.so,libjanus_voicemail.so" }
transports: { disable = "libjanus_http.so,libjanus_mqtt.so,libjanus_nanomsg.so,libjanus_pfunix.so,libjanus_rabbitmq.so" }
`,
	"janus.transport.websockets.jcfg": `general: {
	ws = true
	ws_port = 8188
}
`,
	"janus.plugin.videoroom.jcfg": `room-1: {
	description = "netem"
	publishers = 2
	bitrate = 5000000
	fir_freq = 0
	videocodec = "vp8"
	audiocodec = "opus"
}
`,
}

// startJanus starts Janus in the foreground on the server's machine until the test ends.
func startJanus(t *testing.T, w *world) *janus {
	t.Helper()
	path, err := exec.LookPath("janus")
	if err != nil {
		t.Fatalf("no Janus here (Debian, Ubuntu: apt-get install janus, without its service): %v", err)
	}
	libraries, err := filepath.Glob("/usr/lib/*/janus")
	if err != nil || len(libraries) == 0 {
		t.Fatalf("the plugins of Janus are not under /usr/lib (%v)", err)
	}
	dir := t.TempDir()
	for name, text := range janusFiles {
		if name == "janus.jcfg" {
			text = fmt.Sprintf(text, dir, libraries[0])
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	cmd := exec.Command("ip", "netns", "exec", w.server.Name(), path, "-F", dir, "-C", filepath.Join(dir, "janus.jcfg"))
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		_ = cmd.Wait() // it is told to end below
		close(ended)
	}()
	t.Cleanup(func() {
		if t.Failed() {
			text, err := os.ReadFile(log.Name())
			t.Logf("the log of Janus (%v):\n%s", err, text[max(0, len(text)-maxLog):])
		}
		_ = cmd.Process.Kill() // it may have ended by itself
		<-ended
	})
	for end := time.Now().Add(20 * time.Second); ; pause(100 * time.Millisecond) {
		if listens(w, janusPort) {
			return &janus{}
		}
		if text, err := os.ReadFile(log.Name()); err != nil || time.Now().After(end) {
			t.Fatalf("Janus does not start:\n%s", text)
		}
	}
}

// listens says whether something on the server's machine accepts connections at a port.
func listens(w *world, port int) (yes bool) {
	w.server.Do(func() {
		c, err := net.Dial("tcp4", fmt.Sprint("127.0.0.1:", port))
		if yes = err == nil; yes {
			c.Close()
		}
	})
	return yes
}

func (*janus) name() string { return byJanus }

func (j *janus) publish(tb *tab) error { return j.join(tb, publisher, "publishJanus") }
func (j *janus) view(tb *tab) error    { return j.join(tb, viewer, "viewJanus") }

func (*janus) join(tb *tab, end int, function string) error {
	return tb.do(fmt.Sprintf(`import("./janus.js").then((janus) => janus.%s(%s, %d))`,
		function, js(fmt.Sprintf("ws://%s:%d/", sideAddress(end), janusPort)), janusRoom))
}

func (*janus) estimate() float64 { return 0 }
