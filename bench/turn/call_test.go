package turn

import (
	"encoding/json"
	"testing"

	"tsubame/bench/bot"
)

// carriers are all that media may come by beside plain UDP.
var carriers = append(append([]way(nil), ways...), iceOverTCP, iceOverTCP6)

// A whole call by each way: ICE, DTLS, and sound and picture both ways with somebody who needs
// no relay. It is counted as what it is, and as nothing else, and others are told.
func TestCallThroughEveryCarrier(t *testing.T) {
	t.Parallel()
	w := start(t, nil)
	for _, v := range carriers {
		t.Run(v.String(), func(t *testing.T) { w.in(t).callBy(v) })
	}
}

// The same without batches, steering and a second shard, as where the kernel offers less.
func TestCallThroughRelaysOverPortableSockets(t *testing.T) {
	t.Parallel()
	w := start(t, map[string]string{"plain_io": "true", "steering": "false", "shards": "1"})
	for _, v := range []way{overUDP, overTLS, {"udp", 6}} {
		t.Run(v.String(), func(t *testing.T) { w.in(t).callBy(v) })
	}
}

func (w *world) callBy(v way) {
	t := w.t
	a := w.join(w.peer(bot.SendRecv))
	b := w.through(v, w.peer(bot.SendRecv))
	requireConnected(t, b)
	requireFrames(t, 25, between(a, b)...)
	requireIntact(t, between(a, b)...)
	now := w.Counters()
	for _, other := range carriers {
		for _, way := range []string{"in", "out"} {
			name := other.counters() + way
			n, bytes := now[name]-w.idle[name], now[name+"_bytes"]-w.idle[name+"_bytes"]
			if carried := other.carrier == v.carrier; carried != (n > 25) || carried != (bytes > 25*20) || !carried && n != 0 {
				t.Errorf("%s: %d datagrams of %d bytes", name, n, bytes)
			}
		}
	}
	if n := now["turn_channel_data"] - w.idle["turn_channel_data"]; (n > 25) != (v.carrier != "ice") {
		t.Errorf("%d came by ChannelData", n)
	}
	want := "tcp"
	if v.carrier == "udp" {
		want = "udp"
	}
	requireTransport(t, a, b, want)
	leave(t, b)
	leave(t, a)
}

// requireTransport waits until a bot is told what carries the media of another.
func requireTransport(t *testing.T, b, about *bot.Bot, want string) {
	t.Helper()
	id := about.ID()
	n, err := b.WaitNotify(within(t), func(n bot.Notify) bool {
		return n.EventType == "connection.created" && n.ConnectionID == id
	})
	var told struct {
		Transport string `json:"turn_transport_type"`
	}
	if err == nil {
		err = json.Unmarshal(n.Raw, &told)
	}
	if err != nil || told.Transport != want {
		t.Errorf("turn_transport_type is %q, want %q; %v: %s", told.Transport, want, err, n.Raw)
	}
}

// Nobody in the call has another way than through a relay.
func TestCallBetweenRelays(t *testing.T) {
	t.Parallel()
	w := start(t, map[string]string{"ice_transport_policy": "relay"})
	var bots []*bot.Bot
	for _, v := range []way{overUDP, overTCP, overTLS} {
		bots = append(bots, w.through(v, w.peer(bot.SendRecv)))
	}
	var flows []flow
	for i, a := range bots {
		requireConnected(t, a)
		for _, b := range bots[:i] {
			flows = append(flows, between(a, b)...)
		}
	}
	requireFrames(t, 25, flows...)
	requireIntact(t, flows...)
}

// Where TCP 443 is let out and TLS is not what it seems: the port of TLS takes plain TURN too.
func TestTURNWithoutTLSOnTheTLSPort(t *testing.T) {
	t.Parallel()
	w := start(t, nil)
	a := w.join(w.peer(bot.SendRecv))
	b := w.through(onTLSPort, w.peer(bot.SendRecv))
	requireConnected(t, b)
	requireFrames(t, 10, between(a, b)...)
	requireIntact(t, between(a, b)...)
	if n := w.grown("turn_tcp_in"); n < 10 || w.grown("turn_tls_in") != 0 {
		t.Errorf("%d came over TCP", n)
	}
}
