package webhooks

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"tsubame/bench/bot"
	"tsubame/bench/harness"
)

// changing is a server whose configuration the test writes.
type changing struct {
	*world
	file   string
	config settings
}

// startChanging runs a server with a configuration that write can change.
func startChanging(t *testing.T, app *Application, more settings) *changing {
	t.Helper()
	dir := t.TempDir()
	c := &changing{file: filepath.Join(dir, "changing.conf"), config: settings{
		"shards": "1", "ipv4_address": "127.0.0.1", "signaling_port": "0", "udp_port": "0", "turn_tcp_listen_port": "0", "shed_joins_at_load": "0",
		"debug_listen": "off", "log_format": "json", "log_dir": filepath.Join(dir, "log"),
	}}
	maps.Copy(c.config, asking(app))
	maps.Copy(c.config, more)
	c.write(t)
	// The last -c holds.
	c.world = &world{t: t, app: app, logs: c.config["log_dir"], Server: harness.Start(t, harness.Options{Args: []string{"-c", c.file}})}
	return c
}

func (c *changing) write(t *testing.T) {
	t.Helper()
	text := ""
	for _, name := range slices.Sorted(maps.Keys(c.config)) {
		text += fmt.Sprintf("%s = %s\n", name, c.config[name])
	}
	if err := os.WriteFile(c.file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// reload writes changes, sends SIGHUP and waits until the server has read them. n counts the
// reloads of a test from 1.
func (c *changing) reload(n int, more settings) {
	c.t.Helper()
	maps.Copy(c.config, more)
	c.write(c.t)
	if err := c.Signal(syscall.SIGHUP); err != nil {
		c.t.Fatal(err)
	}
	eventually(c.t, "the configuration is read again", func() (bool, any) {
		read := 0
		for _, l := range c.Logs() {
			if l.Msg == "configuration read again" {
				read++
			}
		}
		return read >= n, c.tail()
	})
}

// A webhook's URL that is changed while the server runs holds for the next who joins; calls go
// on, and a key that needs a restart is named.
func TestReloadChangesWebhooks(t *testing.T) {
	t.Parallel()
	first, second := willing(t), willing(t)
	c := startChanging(t, first, nil)
	stays := c.enter("stays", bot.SendRecv)

	c.reload(1, settings{"auth_webhook_url": second.URL("/other"), "event_webhook_url": second.URL(event), "shards": "2"})
	c.WaitLog(patience, "the change", func(l harness.Line) bool {
		return l.Attrs["key"] == "auth_webhook_url" && l.Level == "INFO"
	})
	c.WaitLog(patience, "the key that needs a restart", func(l harness.Line) bool {
		return l.Attrs["key"] == "shards" && l.Level == "WARN"
	})
	second.On("/other", Always(Refuse("MOVED")))
	c.requireRefused(c.peer("room", bot.SendRecv, nil), "MOVED")
	if n := len(first.Requests(auth)); n != 1 {
		t.Errorf("the application before was asked %d times", n)
	}
	if _, err := second.Wait(within(t), 1, match(event, map[string]string{"type": "connection.failed", "channel_id": "room"})); err != nil {
		t.Error(err)
	}

	// Without a webhook everybody gets in; what they are told of follows.
	c.reload(2, settings{"auth_webhook_url": first.URL(auth), "signaling_notify": "false"})
	late := c.join(c.peer("stays", bot.RecvOnly, nil))
	if n := len(first.Requests(auth)); n != 2 {
		t.Errorf("the application was asked %d times", n)
	}
	requireMoving(t, stays)
	requireMoving(t, late)
	if n := late.Notifies(); len(n) != 0 {
		t.Errorf("signaling_notify is off, and %s came", n[0].Raw)
	}
}

// A password that changes is sent from then on, and never logged.
func TestReloadChangesThePasswordOfWebhooks(t *testing.T) {
	t.Parallel()
	app := willing(t)
	c := startChanging(t, app, settings{"webhook_basic_authn": "true", "webhook_basic_authn_user_id": "tsubame", "webhook_basic_authn_password": basicPassword})
	c.enter("room", bot.SendRecv)
	c.reload(1, settings{"webhook_basic_authn_password": basicPassword + "-changed"})
	c.enter("room", bot.SendRecv)
	requests := c.want(2, auth, nil)
	if requests[0].Password != basicPassword || requests[1].Password != basicPassword+"-changed" {
		t.Errorf("sent were %q and then %q", requests[0].Password, requests[1].Password)
	}
	c.Stop()
	c.requireAbsent(map[string]string{"password of webhooks": basicPassword})
}

// A password within a URL is as secret as any.
func TestPasswordsInURLsAreNeverLogged(t *testing.T) {
	t.Parallel()
	app := application(t, Options{User: "tsubame", Password: basicPassword})
	secret := func(path string) string {
		return strings.Replace(app.URL(path), "//", "//tsubame:"+basicPassword+"@", 1)
	}
	app.On("/other", Always(Status(500, "")))
	app.On(auth, Always(Allow(nil)))
	c := startChanging(t, willing(t), settings{"auth_webhook_url": secret(auth), "log_level": "debug"})
	c.enter("room", bot.SendRecv)
	c.reload(1, settings{"auth_webhook_url": secret("/other")})
	c.requireRefused(c.peer("other", bot.SendRecv, nil), internal)
	if r := app.Requests(""); len(r) != 2 || r[0].Password != basicPassword {
		t.Errorf("%d requests came with the password", len(r))
	}
	c.line("auth_webhook_error.jsonl", having("req.channel_id", "other"))
	c.Stop()
	c.requireAbsent(map[string]string{"password in the URL": basicPassword})
}

// A configuration with anything wrong in it changes nothing.
func TestReloadOfAWrongConfigurationChangesNothing(t *testing.T) {
	t.Parallel()
	first, second := willing(t), willing(t)
	c := startChanging(t, first, nil)
	c.config["auth_webhook_url"], c.config["webhook_response_timeout"] = second.URL(auth), "5"
	c.write(t)
	if err := c.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	c.WaitLog(patience, "the fault", func(l harness.Line) bool {
		return l.Level == "ERROR" && l.Msg == "reload: the configuration stays as it was"
	})
	c.enter("room", bot.SendRecv)
	if n := len(second.Requests("")); n != 0 {
		t.Errorf("an application of a configuration that does not hold was asked %d times", n)
	}
}
