package hooks

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"

	"tsubame/configs"
	"tsubame/signal/channel"
	"tsubame/signal/journal"
	"tsubame/signal/webhook"
)

// Everybody does everything at once, and the end comes in the middle of it: every question
// is answered once, and every event arrives or is accounted for.
func TestEveryQuestionIsAnsweredOnceAndEveryEventAccountedFor(t *testing.T) {
	var arrived atomic.Uint64
	url := application(t, func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		if r.Header.Get("sora-event-webhook-type") != "" {
			arrived.Add(1)
		}
		io.WriteString(w, `{"allowed":true}`)
	}).URL
	w := configs.Webhooks{AuthURL: url, SessionURL: url, EventURL: url, StatsURL: url, Timeout: patience, Workers: 4, QueueEvents: 50}
	h, _ := begin(t, Config{Webhooks: w, Exporter: configs.Exporter{URL: collector(t, http.HandlerFunc(answers(200, ""))).URL}, MaxAsking: 20})
	const people, each = 8, 40
	var verdicts, sessions [people * each]atomic.Int32
	var answered, all sync.WaitGroup
	half := make(chan struct{}, people*each)
	for p := range people {
		all.Go(func() {
			for i := range each {
				n := p*each + i
				ctx, cancel := context.WithCancel(t.Context())
				t.Cleanup(cancel)
				answered.Add(2)
				h.Authenticate(ctx, client(), "", func(channel.Verdict) { verdicts[n].Add(1); answered.Done() })
				h.SessionCreated(sessionEvent(webhook.SessionCreated, fmt.Sprint(p)), func(*webhook.SessionAnswer, error) { sessions[n].Add(1); answered.Done() })
				if i%3 == 0 {
					cancel()
				}
				h.Connection(connection(webhook.ConnectionUpdated, fmt.Sprint(p), i))
				h.Stats(statistics("ONE"), true)
				if i%10 == 0 {
					if err := h.Reconfigure(w); err != nil {
						t.Error(err)
					}
					h.Counters()
				}
				half <- struct{}{}
			}
		})
	}
	for range people * each / 2 {
		<-half
	}
	ended, cancel := context.WithCancel(t.Context())
	all.Go(func() {
		for range people * each / 4 {
			<-half
		}
		cancel()
	})
	_ = h.Close(ended) // something may be lost; the counters say what
	all.Wait()
	answered.Wait()
	for n := range verdicts {
		if v, s := verdicts[n].Load(), sessions[n].Load(); v != 1 || s != 1 {
			t.Errorf("%d: %d verdicts, %d answers", n, v, s)
		}
	}
	c := h.Counters()
	if sum := c["total_successful_event_webhook"] + c["total_failed_event_webhook"]; sum != people*each || arrived.Load() < c["total_successful_event_webhook"] {
		t.Errorf("%d events are accounted for, %d arrived, of %d", sum, arrived.Load(), people*each)
	}
	if asked := c["auth_webhook_in_flight"] + c["session_created_in_flight"]; asked != 0 {
		t.Errorf("%d are under way", asked)
	}
}

func TestWhatWaitsForAURLThatIsSwitchedOffIsNotSent(t *testing.T) {
	release := make(chan struct{})
	app := newRecords("")
	url := application(t, func(w http.ResponseWriter, r *http.Request) { <-release; app.ServeHTTP(w, r) }).URL
	h, _ := begin(t, Config{Webhooks: configs.Webhooks{EventURL: url, Workers: 1}})
	h.Connection(connection(webhook.ConnectionCreated, "room", 0))
	until(t, "it is under way", func() bool { return h.Counters()["event_webhook_workers_busy"] == 1 })
	h.Connection(connection(webhook.ConnectionDestroyed, "room", 0))
	if err := h.Reconfigure(configs.Webhooks{QueueEvents: 10}); err != nil {
		t.Fatal(err)
	}
	close(release)
	if err := h.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if c := h.Counters(); len(app.seen()) != 1 || c["total_successful_event_webhook"] != 1 || c["total_ignored_event_webhook"] != 1 {
		t.Errorf("%d arrived: %v", len(app.seen()), c)
	}
}

func TestFailedStatisticsHaveTheirFile(t *testing.T) {
	h, p := begin(t, Config{Webhooks: configs.Webhooks{StatsURL: application(t, answers(503, "")).URL}})
	h.Stats(statistics("ONE"), false)
	if err := h.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if l := p.one(t, journal.StatsError); l["reason"] != "status: 503" {
		t.Errorf("%v", l)
	}
}

func TestSessionCreatedThatWaitsForTheQueueEndsWithTheServer(t *testing.T) {
	url := application(t, func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		<-r.Context().Done()
	}).URL
	h, _ := begin(t, Config{Webhooks: configs.Webhooks{SessionURL: url, Workers: 1}})
	h.overtaking = patience
	h.Session(sessionEvent(webhook.SessionDestroyed, "room"))
	answered := make(chan error, 1)
	h.SessionCreated(sessionEvent(webhook.SessionCreated, "room"), func(_ *webhook.SessionAnswer, err error) { answered <- err })
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_ = h.Close(ctx) // what it lost is tested elsewhere
	if err := <-answered; err == nil || err.(*failure).name != failShutdown {
		t.Error(err)
	}
}
