package calls

import (
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"

	"tsubame/bench/bot"
)

// A storm of joins against a server that lets few join at a time: whoever is too many is
// told to come later, whoever is let in gets a call, and the call of before does not notice.
//
// Row SIG-08.
func TestStormOfJoinsIsShedBeforeItHurtsACall(t *testing.T) {
	t.Parallel()
	const joining, storm = 10, 200
	w := start(t, map[string]string{"max_joining": strconv.Itoa(joining), "signaling_connect_rate_per_address": "0"})
	a, b := w.join(w.peer(bot.SendRecv)), w.join(w.peer(bot.SendRecv))
	requireFrames(t, 5, among(a, b)...)

	var mu sync.Mutex
	var in []*bot.Bot
	refused := map[string]int{}
	var wait sync.WaitGroup
	for i := range storm {
		wait.Go(func() {
			cfg := w.peer(bot.RecvOnly)
			cfg.Channel = fmt.Sprint("room", i)
			c, err := bot.Dial(within(t), cfg)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil:
				in = append(in, c)
			case strings.Contains(err.Error(), "503"):
				refused["503"]++
			default:
				refused[err.Error()]++
			}
		})
	}
	wait.Wait()
	established, busy := 0, 0
	for _, c := range in {
		switch err := c.WaitConnected(within(t)); {
		case err == nil:
			established++
		case strings.Contains(err.Error(), "SERVER-BUSY"):
			busy++
		default:
			t.Errorf("let in, and then: %v", err)
		}
		c.Kill()
	}
	t.Logf("%d established, %d told SERVER-BUSY, refused before: %v", established, busy, refused)
	if established < joining || refused["503"]+busy == 0 || established+busy+refused["503"] != storm {
		t.Errorf("of %d: %d established, %d busy, refused %v", storm, established, busy, refused)
	}
	requireFrames(t, 25, among(a, b)...)
	requireIntact(t, among(a, b)...)
	// The storm is over: there is room again.
	w.join(w.peer(bot.RecvOnly))
}

// A flood of datagrams keeps the only shard busy: newcomers are sent away for as long as
// that is so, whoever is there stays, and the health check, which asks for life and not for
// room, says that all is well.
//
// Row SIG-08.
func TestJoinsAreShedWhileAShardHasNoTime(t *testing.T) {
	t.Parallel()
	w := start(t, map[string]string{"shards": "1", "steering": "false", "shed_joins_at_load": "60"})
	status := func(path string) int {
		answer, err := http.Get(w.URL() + path)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		if answer.StatusCode == http.StatusServiceUnavailable && answer.Header.Get("Retry-After") == "" {
			t.Error("503 without Retry-After")
		}
		return answer.StatusCode
	}
	eventually(t, "a server with time to spare", func() (bool, any) { return status("signaling") != 503, nil })
	there := w.join(w.peer(bot.RecvOnly))

	over := make(chan struct{})
	var wait sync.WaitGroup
	for range 2 {
		c, err := net.Dial("udp", fmt.Sprint("127.0.0.1:", w.UDPPort()))
		if err != nil {
			t.Fatal(err)
		}
		wait.Go(func() {
			defer c.Close()
			garbage := make([]byte, 200)
			for garbage[0] = 0x80; ; {
				select {
				case <-over:
					return
				default:
					c.Write(garbage) // a full socket of the receiver is no error of ours
				}
			}
		})
	}
	stop := sync.OnceFunc(func() { close(over); wait.Wait() })
	defer stop()
	eventually(t, "joins are shed", func() (bool, any) { return status("signaling") == 503, nil })
	if s := status(".ok"); s != http.StatusOK {
		t.Errorf("the health check says %d", s)
	}
	if err := there.Err(); err != nil {
		t.Errorf("who was there: %v", err)
	}
	stop()
	eventually(t, "joins are taken again", func() (bool, any) { return status("signaling") != 503, nil })
	w.join(w.peer(bot.RecvOnly))
}

// What load balancers ask.
func TestHealthCheck(t *testing.T) {
	t.Parallel()
	w := start(t, nil)
	answer, err := http.Get(w.URL() + ".ok")
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	if answer.StatusCode != http.StatusOK || answer.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("%s %v", answer.Status, answer.Header)
	}
}
