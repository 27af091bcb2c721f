// Package web is the page that the server shows at the root of its signaling
// port: a call in a browser tab, made of plain HTML, CSS and JavaScript modules
// that are embedded in the binary as they are (no build step, no third-party
// code). It never talks to the rest of the server: the page is a client of
// /signaling like any other. Handler may be called from any goroutine and what
// it returns serves any number of requests at once; the files live as long as
// the process.
package web

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"net/http"
	"path"
	"strings"
	"time"
)

//go:embed static
var static embed.FS

// contentTypes are the kinds of file that the page is made of. The types are
// written here, not looked up, because the table of the operating system may
// lack or change them, and a module script with a wrong type is not run.
var contentTypes = map[string]string{
	".html": "text/html; charset=utf-8",
	".css":  "text/css; charset=utf-8",
	".js":   "text/javascript; charset=utf-8",
	".svg":  "image/svg+xml",
}

// contentSecurityPolicy lets the page load its own files and speak to its own
// host, and nothing else. 'self' in connect-src covers ws: and wss: to the same
// host and port (CSP Level 3 section 6.7.2.8). Media comes from srcObject,
// which needs no media-src.
const contentSecurityPolicy = "default-src 'none'; script-src 'self'; worker-src 'self'; " +
	"style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; " +
	"form-action 'none'; frame-ancestors 'none'"

// file is one embedded file with everything that its answer needs.
type file struct {
	name        string
	contentType string
	etag        string
	body        []byte
	small       []byte // body by gzip: a third of it
}

// Handler serves the page at "/" and the files that it is made of beside it.
// Any other path is a 404 and any method but GET and HEAD a 405, so it can be
// mounted as the last handler of the signaling port.
func Handler() http.Handler {
	files, err := load()
	if err != nil {
		panic(err) // the files are part of the binary: only a programmer can break them
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		serve(w, r, files)
	})
}

// load reads the embedded files, keyed by the URL path that serves them.
func load() (map[string]file, error) {
	files := make(map[string]file)
	err := fs.WalkDir(static, "static", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		contentType, ok := contentTypes[path.Ext(name)]
		if !ok {
			return fmt.Errorf("web: no content type for %s", name)
		}
		body, err := static.ReadFile(name)
		if err != nil {
			return err
		}
		small, err := compress(body)
		if err != nil {
			return err
		}
		sum := sha256.Sum256(body)
		f := file{
			name:        path.Base(name),
			contentType: contentType,
			etag:        hex.EncodeToString(sum[:12]),
			body:        body,
			small:       small,
		}
		files["/"+f.name] = f
		if f.name == "index.html" {
			files["/"] = f
		}
		return nil
	})
	return files, err
}

func compress(body []byte) ([]byte, error) {
	var b bytes.Buffer
	z, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	if _, err := z.Write(body); err != nil {
		return nil, err
	}
	if err := z.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// takesGzip reads Accept-Encoding as far as browsers use it: a list of names. Whoever
// writes weights gets the file as it is, which is never wrong.
func takesGzip(r *http.Request) bool {
	for name := range strings.SplitSeq(r.Header.Get("Accept-Encoding"), ",") {
		if strings.TrimSpace(name) == "gzip" {
			return true
		}
	}
	return false
}

func serve(w http.ResponseWriter, r *http.Request, files map[string]file) {
	h := w.Header()
	h.Set("Content-Security-Policy", contentSecurityPolicy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Permissions-Policy", "camera=(self), microphone=(self), display-capture=(self), geolocation=()")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	f, ok := files[r.URL.Path]
	if !ok {
		http.NotFound(w, r)
		return
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		h.Set("Allow", "GET, HEAD")
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
		return
	}
	h.Set("Content-Type", f.contentType)
	h.Set("Vary", "Accept-Encoding")
	// The page belongs to the running binary: ask again each time, and let the
	// tag answer 304, so that an upgraded server never runs an old page.
	h.Set("Cache-Control", "no-cache")
	// What differs in its bytes needs a tag of its own (RFC 9110 section 8.8.3.3).
	tag, body := f.etag, f.body
	if takesGzip(r) {
		h.Set("Content-Encoding", "gzip")
		tag, body = f.etag+"-gzip", f.small
	}
	h.Set("ETag", `"`+tag+`"`)
	http.ServeContent(w, r, f.name, time.Time{}, bytes.NewReader(body))
}
