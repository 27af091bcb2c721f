package bot

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/coder/websocket"

	"tsubame/media/param"
)

const (
	maxMessage   = 4 << 20 // bytes of a signaling message
	maxNotifies  = 4096    // kept; the oldest go
	writeTimeout = 10 * time.Second
)

// Notify is a notification: all its members, and those that tests ask for most.
type Notify struct {
	EventType          string `json:"event_type"`
	ConnectionID       string `json:"connection_id"`
	ClientID           string `json:"client_id"`
	Role               string `json:"role"`
	ChannelConnections int    `json:"channel_connections"`
	UnstableLevel      int    `json:"unstable_level"` // of network.status
	Raw                []byte `json:"-"`
}

// SignalingClosed is the error of a bot whose WebSocket the server closed.
type SignalingClosed struct {
	Code   int
	Reason string
}

func (e *SignalingClosed) Error() string {
	return fmt.Sprintf("bot: the server closed the signaling: %d %s", e.Code, e.Reason)
}

// signaling is the state of the WebSocket.
type signaling struct {
	connectionID string
	clientID     string
	sessionID    string
	offers       int // re-offers included
	pings        int
	frozen       bool
	notifies     []Notify
	heard        chan struct{} // closed and replaced when a notification comes
	closeCode    int
	closeReason  string
	raw          []byte // the first offer
}

// message is what the bot reads of any message.
type message struct {
	Type         string `json:"type"`
	SDP          string `json:"sdp"`
	ConnectionID string `json:"connection_id"`
	ClientID     string `json:"client_id"`
	SessionID    string `json:"session_id"`
	Stats        bool   `json:"stats"`
}

// dial opens the WebSocket and says connect.
func (b *Bot) dial(ctx context.Context) error {
	b.signal.heard = make(chan struct{})
	ws, _, err := websocket.Dial(ctx, b.cfg.URL, &websocket.DialOptions{HTTPClient: b.cfg.HTTP})
	if err != nil {
		return fmt.Errorf("bot: %w", err)
	}
	ws.SetReadLimit(maxMessage)
	b.ws = ws
	connect := map[string]any{
		"type": "connect", "role": b.cfg.Role, "channel_id": b.cfg.Channel,
		"sora_client": "tsubame bot", "audio": b.cfg.Audio, "video": false,
	}
	if b.cfg.ClientID != "" {
		connect["client_id"] = b.cfg.ClientID
	}
	if b.cfg.Video {
		connect["video"] = map[string]any{"codec_type": b.cfg.Codec.String(), "bit_rate": max(1, b.cfg.Bitrate/1000)}
	}
	maps.Copy(connect, b.cfg.Connect)
	if err := b.say(ctx, connect); err != nil {
		_ = ws.CloseNow()
		return err
	}
	return nil
}

// say writes a message. It must not be called with the lock held.
func (b *Bot) say(ctx context.Context, v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return b.SendSignaling(ctx, string(text))
}

// SendSignaling writes any text to the WebSocket.
func (b *Bot) SendSignaling(ctx context.Context, text string) error {
	b.mu.Lock()
	frozen := b.signal.frozen
	b.mu.Unlock()
	if frozen {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	return b.ws.Write(ctx, websocket.MessageText, []byte(text))
}

// readSignaling is the goroutine that reads the WebSocket until it ends.
func (b *Bot) readSignaling() {
	defer close(b.ended)
	for {
		kind, text, err := b.ws.Read(b.ctx)
		if err != nil {
			b.signalingEnded(err)
			return
		}
		b.mu.Lock()
		frozen := b.signal.frozen
		b.mu.Unlock()
		if frozen {
			continue
		}
		if kind == websocket.MessageText {
			err = b.handle(text)
		} else {
			err = errors.New("bot: a binary message")
		}
		if err != nil {
			b.mu.Lock()
			b.fail(err)
			b.mu.Unlock()
		}
	}
}

// signalingEnded records how the WebSocket ended.
func (b *Bot) signalingEnded(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	var ce websocket.CloseError
	if errors.As(err, &ce) {
		b.signal.closeCode, b.signal.closeReason = int(ce.Code), ce.Reason
		b.fail(&SignalingClosed{int(ce.Code), ce.Reason})
		return
	}
	b.fail(fmt.Errorf("bot: signaling: %w", err))
}

// handle takes one message.
func (b *Bot) handle(text []byte) error {
	var m message
	if err := json.Unmarshal(text, &m); err != nil {
		return fmt.Errorf("bot: signaling: %w", err)
	}
	switch m.Type {
	case "offer":
		b.mu.Lock()
		b.signal.connectionID, b.signal.clientID, b.signal.sessionID = m.ConnectionID, m.ClientID, m.SessionID
		b.signal.raw = slices.Clone(text)
		b.mu.Unlock()
		return b.reply("answer", m.SDP)
	case "re-offer":
		return b.reply("re-answer", m.SDP)
	case "update":
		return b.reply("update", m.SDP)
	case "ping":
		return b.pong(m.Stats)
	case "notify":
		n := Notify{Raw: slices.Clone(text)}
		if err := json.Unmarshal(text, &n); err != nil {
			return fmt.Errorf("bot: notify: %w", err)
		}
		b.notified(n)
	}
	return nil
}

// reply answers an offer.
func (b *Bot) reply(kind, text string) error {
	o, err := parseOffer(text, b.cfg.Without...)
	if err != nil {
		return err
	}
	if b.cfg.RED == 0 {
		o.withoutRED()
	}
	b.mu.Lock()
	answer, err := b.apply(o)
	b.mu.Unlock()
	if err != nil {
		return err
	}
	return b.say(b.ctx, map[string]any{"type": kind, "sdp": answer})
}

func (b *Bot) pong(stats bool) error {
	b.mu.Lock()
	b.signal.pings++
	b.mu.Unlock()
	if b.cfg.NoPong {
		return nil
	}
	pong := map[string]any{"type": "pong"}
	if stats {
		pong["stats"] = []any{map[string]any{"id": "bot", "type": "transport", "timestamp": float64(time.Now().UnixMilli())}}
	}
	return b.say(b.ctx, pong)
}

// notified keeps a notification and tells who waits.
func (b *Bot) notified(n Notify) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.signal.notifies) >= maxNotifies {
		b.signal.notifies = slices.Delete(b.signal.notifies, 0, 1)
	}
	b.signal.notifies = append(b.signal.notifies, n)
	close(b.signal.heard)
	b.signal.heard = make(chan struct{})
}

// Notifies returns the notifications so far, oldest first.
func (b *Bot) Notifies() []Notify {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.signal.notifies)
}

// WaitNotify returns the first notification, come or to come, that match accepts.
func (b *Bot) WaitNotify(ctx context.Context, match func(Notify) bool) (Notify, error) {
	for {
		b.mu.Lock()
		heard := b.signal.heard
		i := slices.IndexFunc(b.signal.notifies, match)
		var n Notify
		if i >= 0 {
			n = b.signal.notifies[i]
		}
		b.mu.Unlock()
		if i >= 0 {
			return n, nil
		}
		select {
		case <-heard:
		case <-b.ended:
			return n, errors.Join(errors.New("bot: the signaling ended before the notification"), b.Err())
		case <-ctx.Done():
			return n, fmt.Errorf("bot: no such notification: %w", ctx.Err())
		}
	}
}

// disconnect says it and waits for the server to close the WebSocket.
func (b *Bot) disconnect(ctx context.Context) error {
	select {
	case <-b.ended:
		return nil // the server was first
	default:
	}
	b.mu.Lock()
	frozen := b.signal.frozen
	b.mu.Unlock()
	if frozen {
		return nil
	}
	if err := b.say(ctx, map[string]any{"type": "disconnect", "reason": "NO-ERROR"}); err != nil {
		return err
	}
	select {
	case <-b.ended:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("bot: the server did not close the signaling: %w", ctx.Err())
	}
}

// apply takes an offer and returns the answer; the caller holds the lock.
func (b *Bot) apply(o *offer) (string, error) {
	now := time.Now()
	first, before := b.offer == nil, b.offer
	b.offer = o
	b.signal.offers++
	switch {
	case first:
		if err := b.startICE(now, o); err != nil {
			return "", err
		}
	case o.ufrag != before.ufrag || o.password != before.password:
		b.agent.restart(now, o.ufrag, o.password)
	}
	b.applySections(o)
	b.answer.version++
	b.answer.ufrag, b.answer.password = b.agent.ufrag, b.agent.password
	text, err := b.answer.text(o)
	b.nudge()
	return text, err
}

// applySections makes senders and receivers of the sections.
func (b *Bot) applySections(o *offer) {
	active := make(map[uint32]bool)
	sending := make(map[param.Kind]bool)
	for i := range o.sections {
		s := &o.sections[i]
		if s.rejected {
			continue
		}
		// The first section of a kind that the server receives on is this bot's own.
		codec := param.Opus
		if s.kind == param.Video {
			codec = b.cfg.Codec
		}
		f := s.format(codec)
		wanted := s.kind == param.Audio && b.cfg.Audio || s.kind == param.Video && b.cfg.Video
		if s.takes && f != nil && wanted && b.cfg.Role != RecvOnly && !sending[s.kind] {
			sending[s.kind] = true
			if b.answer.senders[s.mid] == nil {
				t := newSender(s, f, b.cfg.Bitrate, b.cfg.FrameRate)
				t.red.levels = b.cfg.RED
				t.paused = b.cfg.Paused
				b.answer.senders[s.mid] = t
				b.senders = append(b.senders, t)
			}
		}
		if s.sends && s.ssrc != 0 && b.cfg.Role != SendOnly {
			active[s.ssrc] = true
			b.applyStream(s)
		}
	}
	for _, r := range b.known {
		r.stats.Active = active[r.stats.SSRC]
	}
}

// applyStream takes one stream of the server.
func (b *Bot) applyStream(s *section) {
	r := b.receive[s.ssrc]
	if r == nil {
		r = newReceiver(s)
		b.receive[s.ssrc] = r
		b.known = append(b.known, r)
	} else {
		r.describe(s)
	}
	r.nack, r.pli = r.nack && !b.cfg.NoNACK, r.pli && !b.cfg.NoPLI
	if s.rtxSSRC != 0 {
		b.receive[s.rtxSSRC] = r
	}
}
