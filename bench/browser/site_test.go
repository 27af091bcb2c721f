//go:build browser

package browser

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"tsubame/bench/harness"
)

// sdkFile is the one file of the SDK that its users load.
const sdkFile = "node_modules/sora-js-sdk/dist/sora.js"

// startSite serves the application of the SDK, as somebody's own web server would:
// from another origin than the SFU. The pattern is the one of the server's page.
func startSite(t *testing.T) *httptest.Server {
	t.Helper()
	root, err := harness.Root()
	if err != nil {
		t.Fatal(err)
	}
	here := filepath.Join(root, "bench", "browser")
	sdk := filepath.Join(here, filepath.FromSlash(sdkFile))
	if _, err := os.Stat(sdk); err != nil {
		t.Fatalf("the client SDK is not installed: run bench/browser/install.sh (make deps)\n%v", err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/sdk/sora.js", func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, sdk) })
	mux.Handle("/page/", http.StripPrefix("/page/", http.FileServer(http.Dir(filepath.Join(root, "signal", "web", "static")))))
	mux.Handle("/", http.FileServer(http.Dir(filepath.Join(here, "static"))))
	site := httptest.NewServer(mux)
	t.Cleanup(site.Close)
	return site
}
