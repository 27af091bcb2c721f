package hooks

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"

	"tsubame/configs"
	"tsubame/signal/journal"
	"tsubame/signal/webhook"
)

func statistics(connectionID string) *webhook.StatsEvent {
	return &webhook.StatsEvent{Common: webhook.Common{Type: webhook.ConnectionRTCStats}, ChannelID: "room", ConnectionID: connectionID,
		RTCStats: []byte(`[{"type":"codec"}]`)}
}

// collector is a server that speaks HTTP/2 without TLS only.
func collector(t *testing.T, h http.Handler) *httptest.Server {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	s.Config.Protocols = &http.Protocols{}
	s.Config.Protocols.SetUnencryptedHTTP2(true)
	s.Start()
	t.Cleanup(s.Close)
	return s
}

func TestStatisticsGoWhereTheyAreWanted(t *testing.T) {
	hook, coll := newRecords(""), newRecords("")
	hookURL := application(t, hook.ServeHTTP).URL
	h, p := begin(t, Config{Webhooks: configs.Webhooks{StatsURL: hookURL}, Exporter: configs.Exporter{URL: collector(t, coll).URL + "/collector", Number: 2}})
	h.Stats(statistics("ONE"), false)
	h.Stats(statistics("TWO"), true)
	if got := hook.wait(t, 2); got[0].proto != 1 || got[0].header.Get("sora-connection-id") != "ONE" {
		t.Errorf("%v", got)
	}
	got := coll.wait(t, 1)[0]
	if got.proto != 2 || got.path != "/collector" || got.body["connection_id"] != "TWO" || got.body["type"] != webhook.ConnectionRTCStats {
		t.Errorf("%v", got)
	}
	if len(p.of(journal.Stats)) != 2 || len(p.of(journal.RTCStats)) != 2 {
		t.Errorf("%s", p.everything())
	}
	w := configs.Webhooks{StatsURL: hookURL, Timeout: patience} // without stats_webhook_log
	if err := h.Reconfigure(w); err != nil {
		t.Fatal(err)
	}
	h.Stats(statistics("THREE"), false)
	hook.wait(t, 1)
	if len(p.of(journal.Stats)) != 2 || len(p.of(journal.RTCStats)) != 3 {
		t.Errorf("%s", p.everything())
	}
	until(t, "counters", func() bool {
		c := h.Counters()
		return c["total_successful_stats_webhook"] == 3 && c["total_successful_stats_exporter"] == 1
	})
}

func TestTheExporterSpeaksHTTP2OverTLSWithItsCertificate(t *testing.T) {
	a := newAuthority(t)
	app := newRecords("")
	var client atomic.Pointer[x509.Certificate]
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		client.Store(r.TLS.PeerCertificates[0])
		app.ServeHTTP(w, r)
	}))
	chain, key := a.issue("server")
	pair, err := tls.LoadX509KeyPair(chain, key)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	s.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool}
	s.EnableHTTP2 = true
	s.StartTLS()
	defer s.Close()
	ourChain, ourKey := a.issue("exporter")
	h, _ := begin(t, Config{Exporter: configs.Exporter{URL: s.URL, CAFile: a.file, CertFile: ourChain, KeyFile: ourKey}})
	h.Stats(statistics("ONE"), true)
	if got := app.wait(t, 1); got[0].proto != 2 {
		t.Errorf("HTTP/%d", got[0].proto)
	}
	if cn := client.Load().Subject.CommonName; cn != "exporter" {
		t.Errorf("%q", cn)
	}
}

func TestExportersWorkInParallelAndNoMore(t *testing.T) {
	const n = 3
	var now atomic.Int32
	release := make(chan struct{})
	url := collector(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		now.Add(1)
		<-release
	})).URL
	h, p := begin(t, Config{Exporter: configs.Exporter{URL: url, Number: n}})
	channels := 0
	export := func() {
		channels++
		e := statistics("ONE")
		e.ChannelID = fmt.Sprint("channel", channels)
		h.Stats(e, true)
	}
	until(t, "all work", func() bool {
		export()
		return now.Load() == n
	})
	const room = 20
	h.exports.resize(room)
	for range room + 20 {
		export()
	}
	c := h.Counters()
	// The oldest go first, so that those who ask see what is now.
	if c["stats_exporter_queue"] != room || c["total_failed_stats_exporter_dropped"] < 20 || c["stats_exporter_workers_busy"] != n {
		t.Errorf("%d wait, %d dropped, %d busy", c["stats_exporter_queue"], c["total_failed_stats_exporter_dropped"], c["stats_exporter_workers_busy"])
	}
	if len(p.of(journal.StatsError)) != 0 {
		t.Error("failures of the exporter are in the file of the webhook")
	}
	close(release)
}

func TestStatisticsThatNobodyWantsCostNothing(t *testing.T) {
	h, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close(t.Context())
	e := statistics("ONE")
	if n := testing.AllocsPerRun(100, func() { h.Stats(e, true) }); n != 0 || e.ID != "" {
		t.Errorf("%v allocations", n)
	}
}

func TestAnotherCollectorIsTakenUp(t *testing.T) {
	coll := newRecords("")
	h, _ := begin(t, Config{})
	if err := h.ReconfigureExporter(configs.Exporter{URL: "http://a b"}); err == nil {
		t.Error("a URL with a space is taken")
	}
	h.Stats(statistics("ONE"), true)
	if err := h.ReconfigureExporter(configs.Exporter{URL: collector(t, coll).URL}); err != nil {
		t.Fatal(err)
	}
	h.Stats(statistics("TWO"), true)
	if got := coll.wait(t, 1); got[0].body["connection_id"] != "TWO" {
		t.Errorf("%v", got)
	}
}
