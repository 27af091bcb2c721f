//go:build browser

package browser

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"

	"github.com/coder/websocket"
)

// bidi is a client of WebDriver BiDi, the W3C's protocol to drive a browser: JSON
// commands over one WebSocket, each answered under its number, and events between
// them. Any goroutine may call it; events arrive on the goroutine that reads, which
// must not call.
type bidi struct {
	conn  *websocket.Conn
	event func(method string, params json.RawMessage)
	done  chan struct{} // closed when the connection has ended; err says why

	mu      sync.Mutex
	err     error
	last    uint64
	pending map[uint64]chan<- bidiMessage // room for the answer, so that reading never blocks
}

// bidiMessage is anything that the browser says: an answer, an error or an event.
type bidiMessage struct {
	Type    string          `json:"type"`
	ID      uint64          `json:"id"`
	Result  json.RawMessage `json:"result"`
	Error   string          `json:"error"`
	Message string          `json:"message"`
	Method  string          `json:"method"`
	Params  json.RawMessage `json:"params"`
}

// maxBidiMessage bounds one message from the browser: a report is a few kilobytes,
// a list of errors with an SDP in each some hundred.
const maxBidiMessage = 16 << 20

// dialBidi connects and starts to read. The context bounds the handshake only.
func dialBidi(ctx context.Context, url string, event func(string, json.RawMessage)) (*bidi, error) {
	conn, _, err := websocket.Dial(ctx, url, nil)
	if err != nil {
		return nil, err
	}
	conn.SetReadLimit(maxBidiMessage)
	b := &bidi{conn: conn, event: event, done: make(chan struct{}), pending: make(map[uint64]chan<- bidiMessage)}
	go b.read()
	return b, nil
}

// read hands out what arrives until the connection ends.
func (b *bidi) read() {
	for {
		_, text, err := b.conn.Read(context.Background())
		var m bidiMessage
		if err == nil {
			err = json.Unmarshal(text, &m)
		}
		if err != nil {
			b.mu.Lock()
			b.err = err
			b.mu.Unlock()
			close(b.done)
			return
		}
		if m.Type == "event" {
			b.event(m.Method, m.Params)
			continue
		}
		b.mu.Lock()
		answer := b.pending[m.ID]
		delete(b.pending, m.ID)
		b.mu.Unlock()
		if answer != nil {
			answer <- m
		}
	}
}

// call sends one command, waits for its answer and decodes that into result, unless
// result is nil.
func (b *bidi) call(ctx context.Context, method string, params, result any) error {
	answer := make(chan bidiMessage, 1)
	b.mu.Lock()
	b.last++
	id := b.last
	b.pending[id] = answer
	b.mu.Unlock()
	defer func() {
		b.mu.Lock()
		delete(b.pending, id)
		b.mu.Unlock()
	}()
	text, err := json.Marshal(map[string]any{"id": id, "method": method, "params": params})
	if err != nil {
		return fmt.Errorf("%s: %w", method, err)
	}
	if err := b.conn.Write(ctx, websocket.MessageText, text); err != nil {
		return fmt.Errorf("%s: %w", method, err)
	}
	select {
	case m := <-answer:
		if m.Type != "success" {
			return fmt.Errorf("%s: %s: %s", method, m.Error, m.Message)
		}
		if result == nil {
			return nil
		}
		if err := json.Unmarshal(m.Result, result); err != nil {
			return fmt.Errorf("%s: %w", method, err)
		}
		return nil
	case <-b.done:
		b.mu.Lock()
		defer b.mu.Unlock()
		return fmt.Errorf("%s: the browser is gone: %w", method, b.err)
	case <-ctx.Done():
		return fmt.Errorf("%s: %w", method, ctx.Err())
	}
}

// errNoValue is what an expression without a value gives to who wants one.
var errNoValue = errors.New("the expression is undefined")

// evaluate runs an expression in a page, waits for its promise if it is one, and
// decodes its JSON into out. What the page does meanwhile counts as a person's doing
// if touched is true.
func (b *bidi) evaluate(ctx context.Context, browsingContext, expression string, touched bool, out any) error {
	var answer struct {
		Type   string `json:"type"`
		Result struct {
			Type  string `json:"type"`
			Value string `json:"value"`
		} `json:"result"`
		Exception struct {
			Text       string `json:"text"`
			StackTrace struct {
				Frames []struct {
					Function string `json:"functionName"`
					URL      string `json:"url"`
					Line     int    `json:"lineNumber"`
				} `json:"callFrames"`
			} `json:"stackTrace"`
		} `json:"exceptionDetails"`
	}
	err := b.call(ctx, "script.evaluate", map[string]any{
		// BiDi has a notation of its own for values; a string of JSON is simpler.
		"expression":     "Promise.resolve((" + expression + "\n)).then((value) => JSON.stringify(value))",
		"target":         map[string]any{"context": browsingContext},
		"awaitPromise":   true,
		"userActivation": touched,
	}, &answer)
	if err != nil {
		return err
	}
	if answer.Type != "success" {
		return fmt.Errorf("%s %+v", answer.Exception.Text, answer.Exception.StackTrace.Frames)
	}
	if out == nil {
		return nil
	}
	if answer.Result.Type != "string" {
		return errNoValue
	}
	return json.Unmarshal([]byte(answer.Result.Value), out)
}
