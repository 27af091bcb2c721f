package main

import (
	"fmt"
	"strings"

	"tsubame/bench/scenario"
)

const examples = `tsubame-bench loads a server with real WebRTC clients and says what that costs the server.

A conference: 12 rooms of 8 who all send and receive; with --pid the server's CPU and memory:
  tsubame-bench --url ws://127.0.0.1:5000/signaling --pid $(pidof tsubame) --rooms 12 --clients 8 --bitrate 1M --fps 20

A broadcast to 500 viewers, with the distribution of the forwarding latency, and a page of plots:
  tsubame-bench --role broadcast --clients 501 --bitrate 300k --fps 15 --latency --html out.html

Audio only, for a minute, as JSON:
  tsubame-bench --role broadcast --clients 201 --video=false --duration 1m --json out.json

Media as a browser sent it:
  tsubame-bench --clients 8 --trace vp8-noise-1.75mbps

5,000 joins, 500 a second, no media:
  tsubame-bench --rooms 625 --clients 8 --storm --join-rate 500

Bad networks, and clients that come and go:
  tsubame-bench --clients 4 --loss 2 --delay 40ms --jitter 10ms --rate 2M
  tsubame-bench --rooms 20 --clients 4 --churn 30s --duration 5m

Through the TURN that the server tells its clients of (UDP: with ice_transport_policy = relay):
  tsubame-bench --role broadcast --clients 65 --turn udp
  tsubame-bench --clients 8 --turn tls --insecure

Several runs from a file; flags go over what it says:
  tsubame-bench --scenario runs.conf --duration 30s
with runs.conf in the grammar of tsubame.conf, where settings are named as the flags are:
  url = ws://127.0.0.1:5000/signaling
  [small]
  rooms = 2
  clients = 4
  [large]
  role = broadcast
  clients = 1001

The standard set, with a server of its own, built from this work tree (see standard --help):
  tsubame-bench standard --only video-fanout,audio-fanout

The exit code is 0 if all joined and the server lost nothing, 1 if not, 2 for a wrong command
line, and 130 after SIGINT (Ctrl-C) or SIGTERM: the clients leave, and what was measured till then
is printed and written. A second signal ends the program at once. With --loss or --rate what is missing is the link's doing and does not count.

Flags:
`

// helpText is what --help says.
func helpText() string {
	var b strings.Builder
	b.WriteString(examples)
	line := func(name, value, help string) {
		fmt.Fprintf(&b, "  %-22s %s\n", strings.TrimSpace("--"+name+" "+value), help)
	}
	for _, s := range scenario.Settings() {
		line(s.Name, s.Value, s.Help)
	}
	line("scenario", "FILE", "read scenarios from a file")
	line("json", "FILE", "write all results as JSON, times in nanoseconds")
	line("html", "FILE", "write one page with plots")
	line("results", "FILE", "append a section to a results file in Markdown")
	line("allow-loss", "", "exit with 0 though the server lost packets")
	line("quiet", "", "no progress, one line a second, on standard error")
	return b.String()
}
