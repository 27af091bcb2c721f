package web

import (
	"compress/gzip"
	"io"
	"mime"
	"net/http"
	"net/http/httptest"
	"path"
	"regexp"
	"strings"
	"testing"
)

// page is one handler for all tests: making it compresses every file.
var page = Handler()

func get(t *testing.T, method, target string, header http.Header) *http.Response {
	t.Helper()
	r := httptest.NewRequest(method, target, nil)
	for k, v := range header {
		r.Header[k] = v
	}
	w := httptest.NewRecorder()
	page.ServeHTTP(w, r)
	return w.Result()
}

func body(t *testing.T, r *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestRootIsThePage(t *testing.T) {
	r := get(t, http.MethodGet, "/", nil)
	if r.StatusCode != http.StatusOK || r.Header.Get("Content-Type") != "text/html; charset=utf-8" {
		t.Fatalf("status %d, type %q", r.StatusCode, r.Header.Get("Content-Type"))
	}
	if text := body(t, r); !strings.HasPrefix(text, "<!doctype html>") {
		t.Fatalf("not a page: %.40q", text)
	}
}

// references are the places where the page's files name other files.
var references = []*regexp.Regexp{
	regexp.MustCompile(`(?:src|href)="([^"]+)"`),
	regexp.MustCompile(`from "([^"]+)"`),
	regexp.MustCompile(`new URL\("([^"]+)", import\.meta\.url\)`),
	regexp.MustCompile(`url\("([^"]+)"\)`),
}

func TestEveryReferencedFileIsServedAndNothingComesFromElsewhere(t *testing.T) {
	files, err := load()
	if err != nil {
		t.Fatal(err)
	}
	named := map[string]bool{"/": true, "/index.html": true}
	for _, f := range files {
		for _, re := range references {
			for _, m := range re.FindAllStringSubmatch(string(f.body), -1) {
				ref := m[1]
				if id, ok := strings.CutPrefix(ref, "#"); ok {
					if !strings.Contains(string(f.body), `id="`+id+`"`) {
						t.Errorf("%s refers to #%s, which it does not have", f.name, id)
					}
					continue
				}
				if strings.Contains(ref, "//") {
					t.Errorf("%s refers to another host: %s", f.name, ref)
					continue
				}
				target := "/" + path.Base(ref)
				named[target] = true
				r := get(t, http.MethodGet, target, nil)
				if r.StatusCode != http.StatusOK {
					t.Errorf("%s refers to %s: status %d", f.name, ref, r.StatusCode)
				}
			}
		}
	}
	for name := range files {
		if !named[name] {
			t.Errorf("%s is embedded but nothing refers to it", name)
		}
	}
}

func TestPolicyForbidsInlineCodeAndThePageHasNone(t *testing.T) {
	r := get(t, http.MethodGet, "/", nil)
	policy := r.Header.Get("Content-Security-Policy")
	for _, want := range []string{"default-src 'none'", "script-src 'self'", "style-src 'self'", "frame-ancestors 'none'"} {
		if !strings.Contains(policy, want) {
			t.Errorf("policy lacks %s: %s", want, policy)
		}
	}
	for _, bad := range []string{"unsafe-inline", "unsafe-eval", "*", "data:", "blob:"} {
		if strings.Contains(policy, bad) {
			t.Errorf("policy has %s: %s", bad, policy)
		}
	}
	text := body(t, r)
	for _, re := range []string{`<script(?:\s[^>]*)?>[^<]`, `<style`, `\sstyle=`, `\son[a-z]+=`, `javascript:`} {
		if m := regexp.MustCompile(re).FindString(text); m != "" {
			t.Errorf("the page has inline code, which the policy refuses: %q", m)
		}
	}
}

func TestErrorsCarryThePolicyToo(t *testing.T) {
	for _, target := range []string{"/nothing", "/static/app.js", "/../web.go", "/signaling"} {
		r := get(t, http.MethodGet, target, nil)
		if r.StatusCode != http.StatusNotFound {
			t.Errorf("%s: status %d", target, r.StatusCode)
		}
		if r.Header.Get("Content-Security-Policy") != contentSecurityPolicy || r.Header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: headers %v", target, r.Header)
		}
	}
}

func TestOnlyGetAndHead(t *testing.T) {
	if r := get(t, http.MethodHead, "/", nil); r.StatusCode != http.StatusOK || body(t, r) != "" {
		t.Errorf("HEAD: status %d", r.StatusCode)
	}
	for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodOptions} {
		r := get(t, method, "/", nil)
		if r.StatusCode != http.StatusMethodNotAllowed || r.Header.Get("Allow") != "GET, HEAD" {
			t.Errorf("%s: status %d, Allow %q", method, r.StatusCode, r.Header.Get("Allow"))
		}
	}
}

func TestUnchangedFileIsNotSentAgain(t *testing.T) {
	first := get(t, http.MethodGet, "/app.js", nil)
	kind, _, err := mime.ParseMediaType(first.Header.Get("Content-Type"))
	if err != nil || kind != "text/javascript" {
		t.Fatalf("type %q: a module with another type does not run", first.Header.Get("Content-Type"))
	}
	again := get(t, http.MethodGet, "/app.js", http.Header{"If-None-Match": {first.Header.Get("ETag")}})
	if again.StatusCode != http.StatusNotModified {
		t.Fatalf("status %d", again.StatusCode)
	}
	stale := get(t, http.MethodGet, "/app.js", http.Header{"If-None-Match": {`"of another build"`}})
	if stale.StatusCode != http.StatusOK {
		t.Fatalf("stale tag: status %d", stale.StatusCode)
	}
}

// maxPage is what a first visit may cost in all: a second on a bad mobile network.
const maxPage = 60_000

func TestAFirstVisitIsSmall(t *testing.T) {
	files, err := load()
	if err != nil {
		t.Fatal(err)
	}
	delete(files, "/") // the same as /index.html
	total := 0
	for _, f := range files {
		total += len(f.small)
	}
	if total > maxPage {
		t.Errorf("the page is %d bytes, more than %d", total, maxPage)
	}
}

func TestFilesAreCompressedForWhoTakesIt(t *testing.T) {
	plain := get(t, http.MethodGet, "/app.js", nil)
	if plain.Header.Get("Content-Encoding") != "" || plain.Header.Get("Vary") != "Accept-Encoding" {
		t.Errorf("headers %v", plain.Header)
	}
	want := body(t, plain)
	packed := get(t, http.MethodGet, "/app.js", http.Header{"Accept-Encoding": {"br, gzip, deflate"}})
	if packed.Header.Get("Content-Encoding") != "gzip" || packed.Header.Get("Content-Type") != plain.Header.Get("Content-Type") ||
		packed.Header.Get("ETag") == plain.Header.Get("ETag") {
		t.Fatalf("headers %v", packed.Header)
	}
	z, err := gzip.NewReader(packed.Body)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(z); err != nil || string(got) != want {
		t.Errorf("%d bytes became %d: %v", len(want), len(got), err)
	}
	again := get(t, http.MethodGet, "/app.js", http.Header{"Accept-Encoding": {"gzip"}, "If-None-Match": {packed.Header.Get("ETag")}})
	if again.StatusCode != http.StatusNotModified {
		t.Errorf("asked again: status %d", again.StatusCode)
	}
	for _, refused := range []string{"", "br", "gzip;q=0", "x-gzip", "identity"} {
		r := get(t, http.MethodGet, "/app.js", http.Header{"Accept-Encoding": {refused}})
		if r.Header.Get("Content-Encoding") != "" || body(t, r) != want {
			t.Errorf("to %q: headers %v", refused, r.Header)
		}
	}
}

// Text from the server or from other people goes into the page as text only.
func TestScriptsNeverWriteMarkup(t *testing.T) {
	files, err := load()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if path.Ext(f.name) != ".js" {
			continue
		}
		for _, bad := range []string{"innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "Function("} {
			if strings.Contains(string(f.body), bad) {
				t.Errorf("%s uses %s", f.name, bad)
			}
		}
	}
}
