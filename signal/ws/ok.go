package ws

import "net/http"

// OK returns the handler of /.ok, by which load balancers see whether to send clients here:
// 200 while the server takes joins, 503 while it is ending. That joins are shed for a while
// is no reason to take the server out: those who are refused are told when to come back.
// Nothing counts these requests against their source, and each closes its connection: one
// that lay idle among those without connect could be closed for room just when the next
// check uses it.
func OK(h *Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header := w.Header()
		header.Set("Cache-Control", "no-store")
		header.Set("Connection", "close")
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			header.Set("Allow", "GET, HEAD")
			http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
			return
		}
		if h.ending() {
			http.Error(w, "ending", http.StatusServiceUnavailable)
			return
		}
		header.Set("Content-Type", "text/plain; charset=utf-8")
		header.Set("Content-Length", "2")
		w.Write([]byte("ok"))
	})
}
