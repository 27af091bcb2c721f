package webhooks

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// Answer is how a request is answered, well or not. The constructors below make them.
type Answer struct {
	give func(w http.ResponseWriter, gone context.Context, closed <-chan struct{})
}

// OK answers 200 with a value as JSON.
func OK(v any) Answer {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err) // the test's own value
	}
	return Raw(http.StatusOK, "application/json", string(text))
}

// Allow answers the auth webhook with allowed: true and these members beside it.
func Allow(more map[string]any) Answer {
	all := map[string]any{"allowed": true}
	for name, v := range more {
		all[name] = v
	}
	return OK(all)
}

// Refuse answers the auth webhook with allowed: false and a reason.
func Refuse(reason string) Answer { return OK(map[string]any{"allowed": false, "reason": reason}) }

// Status answers with a status and a text.
func Status(code int, text string) Answer { return Raw(code, "text/plain", text) }

// Empty answers 204.
func Empty() Answer { return Raw(http.StatusNoContent, "", "") }

// Raw answers with a status, a content type (empty: none) and a body.
func Raw(code int, contentType, body string) Answer {
	return Answer{func(w http.ResponseWriter, _ context.Context, _ <-chan struct{}) {
		w.Header()["Content-Type"] = nil
		if contentType != "" {
			w.Header().Set("content-type", contentType)
		}
		w.WriteHeader(code)
		_, _ = io.WriteString(w, body) // who has gone does not read it
	}}
}

// Redirect answers with a status of 3xx that leads elsewhere.
func Redirect(code int, location string) Answer {
	return Answer{func(w http.ResponseWriter, _ context.Context, _ <-chan struct{}) {
		w.Header().Set("location", location)
		w.WriteHeader(code)
	}}
}

// Slow answers as then does, after d.
func Slow(d time.Duration, then Answer) Answer {
	return Answer{func(w http.ResponseWriter, gone context.Context, closed <-chan struct{}) {
		timer := time.NewTimer(d)
		defer timer.Stop()
		select {
		case <-timer.C:
			then.give(w, gone, closed)
		case <-gone.Done():
		case <-closed:
		}
	}}
}

// After answers as then does, once a channel is closed.
func After(when <-chan struct{}, then Answer) Answer {
	return Answer{func(w http.ResponseWriter, gone context.Context, closed <-chan struct{}) {
		select {
		case <-when:
			then.give(w, gone, closed)
		case <-gone.Done():
		case <-closed:
		}
	}}
}

// Dead takes the request and never answers.
func Dead() Answer { return After(nil, Empty()) }

// Trickle sends the headers and then a space every interval, and never ends: a reader without
// a timeout of the whole would wait for good.
func Trickle(interval time.Duration) Answer {
	return Answer{func(w http.ResponseWriter, gone context.Context, closed <-chan struct{}) {
		w.Header().Set("content-type", "application/json")
		w.WriteHeader(http.StatusOK)
		flush := http.NewResponseController(w).Flush
		tick := time.NewTicker(interval)
		defer tick.Stop()
		for {
			if _, err := io.WriteString(w, " "); err != nil || flush() != nil {
				return
			}
			select {
			case <-tick.C:
			case <-gone.Done():
				return
			case <-closed:
				return
			}
		}
	}}
}

// Huge answers allowed: true in a body of n bytes and more.
func Huge(n int) Answer {
	return Raw(http.StatusOK, "application/json", `{"allowed":true,"metadata":"`+strings.Repeat("a", n)+`"}`)
}

// Wire writes bytes as they are in place of an answer, and closes the connection.
func Wire(text string) Answer {
	return Answer{func(w http.ResponseWriter, _ context.Context, _ <-chan struct{}) {
		c, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return // the client has gone
		}
		_, _ = io.WriteString(c, text) // so it may have now
		_ = c.Close()
	}}
}

// Hangup closes the connection without an answer.
func Hangup() Answer { return Wire("") }

// LongLength says that its body is longer than it is, and closes the connection.
func LongLength(body string) Answer { return lengthLie(body, len(body)+100) }

// ShortLength says that its body is n bytes shorter than it is.
func ShortLength(body string, n int) Answer { return lengthLie(body, len(body)-n) }

func lengthLie(body string, length int) Answer {
	return Wire(fmt.Sprintf("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s", length, body))
}
