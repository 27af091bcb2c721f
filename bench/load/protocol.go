package load

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"time"

	"github.com/coder/websocket"

	"tsubame/media/param"
)

// Protocol is how clients come to terms with a server. Sora is the one that is built in.
type Protocol interface {
	// Dial opens the signaling of one client. Nothing has been asked for yet.
	Dial(ctx context.Context, r Request) (Signaling, error)
}

// Request is what a client asks for.
type Request struct {
	URL          string
	Channel      string
	Sends        bool
	Receives     bool
	Audio, Video bool
	Codec        param.Codec // of video
	Bitrate      int         // of video, bit/s; 0: not said
	Notify       bool
	From         netip.Addr // where the client connects from, if the server is on loopback
}

// Busy is the error of Dial that says that the server takes nobody now. Clients come back
// after a while, as browsers are told to.
type Busy struct {
	After time.Duration
	Err   error
}

func (b *Busy) Error() string { return b.Err.Error() }
func (b *Busy) Unwrap() error { return b.Err }

// Signaling is one client's. One goroutine uses it; Close may be called by any other.
type Signaling interface {
	// Connect asks to join.
	Connect(ctx context.Context) error
	// Next returns the next offer, and answers by itself what needs no offer. An error is
	// the end.
	Next(ctx context.Context) (sdp string, err error)
	// Stream is how the server calls what this client sends, in the a=msid of those who
	// receive it, once the first offer has come; "" if that is not known.
	Stream() string
	// Answer answers the last offer.
	Answer(ctx context.Context, sdp string) error
	// Leave says good-bye.
	Leave(ctx context.Context) error
	// Close frees everything at once.
	Close()
}

const (
	maxMessage   = 8 << 20 // bytes of a signaling message
	dialTimeout  = 20 * time.Second
	writeTimeout = 10 * time.Second
	readBuffer   = 16 << 10 // in a large room hundreds of notifications come at once
)

// Sora is the signaling protocol of Sora over WebSocket. Whether there are notifications is
// for the server's configuration to say; clients drop them unread.
type Sora struct{}

// Dial opens the WebSocket.
func (Sora) Dial(ctx context.Context, r Request) (Signaling, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	transport := &http.Transport{DisableKeepAlives: true, ReadBufferSize: readBuffer, DialContext: dialer(r).DialContext}
	ws, response, err := websocket.Dial(ctx, r.URL, &websocket.DialOptions{HTTPClient: &http.Client{Transport: transport}})
	if err != nil {
		return nil, refusal(response, fmt.Errorf("load: signaling: %w", err))
	}
	ws.SetReadLimit(maxMessage)
	return &sora{ws: ws, request: r}, nil
}

// refusal makes a Busy of an error if the server's response says so (RFC 9110 section 15.6.4).
func refusal(response *http.Response, err error) error {
	if response == nil {
		return err
	}
	if response.Body != nil {
		_ = response.Body.Close()
	}
	if response.StatusCode != http.StatusServiceUnavailable {
		return err
	}
	seconds, parsed := strconv.ParseUint(response.Header.Get("Retry-After"), 10, 8)
	if parsed != nil {
		seconds = 1
	}
	return &Busy{After: time.Duration(seconds) * time.Second, Err: err}
}

// dialer connects from an address of the client's own where that can reach the server.
func dialer(r Request) *net.Dialer {
	d := &net.Dialer{}
	if host := hostOf(r.URL); r.From.IsValid() && host.IsValid() && host.Is4() && host.IsLoopback() {
		d.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(r.From, 0))
	}
	return d
}

type sora struct {
	ws      *websocket.Conn
	request Request
	reply   string      // type of the answer to the last offer
	servers []ICEServer // of the first offer
	id      string      // of the connection, which is the name of its stream
	buffer  bytes.Buffer
}

// soraMessage is what a client reads of any message.
type soraMessage struct {
	Type         string `json:"type"`
	SDP          string `json:"sdp"`
	ConnectionID string `json:"connection_id"`
	Stats        bool   `json:"stats"`
	Reason       string `json:"reason"`
	Config       struct {
		ICEServers []ICEServer `json:"iceServers"`
	} `json:"config"`
}

type soraVideo struct {
	Codec   string `json:"codec_type"`
	Bitrate int    `json:"bit_rate,omitempty"` // kbit/s
}

type soraConnect struct {
	Type    string `json:"type"`
	Role    string `json:"role"`
	Channel string `json:"channel_id"`
	Client  string `json:"sora_client"`
	Audio   bool   `json:"audio"`
	Video   any    `json:"video"`
}

func (s *sora) Connect(ctx context.Context) error {
	r := &s.request
	c := soraConnect{
		Type: "connect", Role: "sendrecv", Channel: r.Channel, Client: "tsubame load", Audio: r.Audio, Video: false,
	}
	switch {
	case !r.Receives:
		c.Role = "sendonly"
	case !r.Sends:
		c.Role = "recvonly"
	}
	if r.Video {
		c.Video = soraVideo{Codec: r.Codec.String(), Bitrate: r.Bitrate / 1000}
	}
	return s.say(ctx, c)
}

func (s *sora) Next(ctx context.Context) (string, error) {
	// Reading under a context that can end costs the library more than the message, several
	// times for each of thousands of notifications.
	stop := context.AfterFunc(ctx, s.Close)
	defer stop()
	for {
		_, reader, err := s.ws.Reader(context.Background())
		if err == nil {
			s.buffer.Reset()
			_, err = s.buffer.ReadFrom(reader)
		}
		if err != nil {
			return "", fmt.Errorf("load: signaling: %w", cmp.Or(ctx.Err(), err))
		}
		text := s.buffer.Bytes()
		if bytes.Contains(text[:min(len(text), 64)], []byte(`"type":"notify"`)) {
			continue
		}
		if sdp, ok := peekReoffer(text); ok {
			s.reply = "re-answer"
			return sdp, nil
		}
		var m soraMessage
		if err := json.Unmarshal(text, &m); err != nil {
			return "", fmt.Errorf("load: signaling: %w", err)
		}
		switch m.Type {
		case "offer":
			s.reply, s.id, s.servers = "answer", m.ConnectionID, m.Config.ICEServers
			return m.SDP, nil
		case "re-offer":
			s.reply = "re-answer"
			return m.SDP, nil
		case "update":
			s.reply = "update"
			return m.SDP, nil
		case "ping":
			if err := s.say(ctx, map[string]string{"type": "pong"}); err != nil {
				return "", err
			}
		}
	}
}

func (s *sora) Stream() string { return s.id }

func (s *sora) ICEServers() []ICEServer { return s.servers }

func (s *sora) Answer(ctx context.Context, sdp string) error {
	if s.buffer.Cap() > 64<<10 {
		s.buffer = bytes.Buffer{} // an offer of many may not stay for the rest of the run
	}
	return s.write(ctx, appendAnswer(make([]byte, 0, len(sdp)+len(sdp)/8+64), s.reply, sdp))
}

func (s *sora) Leave(ctx context.Context) error {
	return s.say(ctx, map[string]string{"type": "disconnect", "reason": "NO-ERROR"})
}

func (s *sora) Close() { _ = s.ws.CloseNow() }

func (s *sora) say(ctx context.Context, v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return s.write(ctx, text)
}

func (s *sora) write(ctx context.Context, text []byte) error {
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	if err := s.ws.Write(ctx, websocket.MessageText, text); err != nil {
		return fmt.Errorf("load: signaling: %w", err)
	}
	return nil
}
