package calls

import (
	"fmt"
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
