package e2e

import (
	"context"
	"fmt"
	"strings"
	"time"

	"tsubame/bench/bare"
	"tsubame/bench/load"
	"tsubame/bench/report"
	"tsubame/media/param"
)

// rows is the standard set.
var rows = []row{
	{"video-fanout", "video, 1 publisher x 64 viewers, 1,100 B, GCM", "<= 1.0 us a packet and <= 1.6 x bare GSO", videoFanout},
	{"audio-fanout", "audio, 1 publisher x 200 viewers, 100 B", "<= 1.5 x bare sendmmsg", audioFanout},
	{"conference-4x8", "4 rooms x 8, 320x240, 20 fps, 1,000 kbps + Opus", "<= 1.5 us a packet", conference4},
	{"conference-170k", "12 rooms x 8, 170 kbps + Opus", "<= 2.0 us a packet and <= 1.5 x bare sendmmsg", conference170},
	{"conference-12x8", "12 rooms x 8, 320x240, 20 fps, 1,000 kbps + Opus", "<= 25 % of one core, 0 lost", conference12},
	{"allocations", "allocations and garbage collections at that load", "0 a packet (<= 0.001), < 1 GC a second", allocations},
	{"latency", "forwarding latency at half load, audio and last of a frame", "p50 <= 150 us, p99 <= 1 ms", latency},
	{"viewers-5000", "5,000 viewers of 300 kbps, 15 fps + Opus, 5 minutes", "all connected, 0 lost", viewers5000},
	{"viewers-limit", "most such viewers without loss, 20 s each", "reported", viewersLimit},
	{"memory-viewer", "viewer of one publisher at 2,000, DTLS parked", "<= 64 KiB", memoryParked},
	{"memory-unparked", "the same, dtls_parking = false", "<= 100 KiB", memoryUnparked},
	{"memory-publisher", "publisher at 1.5 Mbps", "<= 280 KiB", memoryPublisher},
	{"storm", "5,000 joins in 10 s, 625 rooms x 8", "all, <= 2 x bare handshake + 0.5 ms", storm},
	{"storm-one-room", "5,000 joins into one channel, notify on", "all, memory bounded", stormOneRoom},
	{"growth-viewers", "cost a packet at 2,000 viewers against 200", "<= 1.15 x", growthViewers},
	{"growth-shards", "cost a packet with 2 shards against 1", "<= 1.15 x", growthShards},
}

// measured is how long the measured part of a cost takes.
func measured(l *lab) time.Duration { return parts * pick(l, 6*time.Second, 2*time.Second) }

// base is a scenario with the times of the standard set.
func base(l *lab, name string) load.Scenario {
	return load.Scenario{
		Name: name, Rooms: 1, Role: load.Broadcast, Audio: true, Video: true, Codec: param.VP8, Bitrate: 1_000_000,
		FrameRate: 20, Warmup: pick(l, 3*time.Second, time.Second), Duration: measured(l), JoinRate: 300,
	}
}

func conference(l *lab, name string, rooms, bitrate int) load.Scenario {
	sc := base(l, name)
	sc.Rooms, sc.Clients, sc.Role, sc.Bitrate = rooms, 8, load.SendRecv, bitrate
	return sc
}

// quiet keeps notifications and their timers out of rows that are not about them.
var quiet = map[string]string{"signaling_notify": "false"}

func videoFanout(ctx context.Context, l *lab, r *report.Row) error {
	const rate, fps = 600, 30
	sc := base(l, r.Key)
	sc.Clients, sc.Audio, sc.PayloadSize, sc.PacketRate, sc.FrameRate, sc.Profile = 65, false, 1100, rate, fps, "gcm"
	out, err := l.once(ctx, quiet, sc, false)
	if err != nil {
		return err
	}
	c, text, err := cost(costs(out.Result))
	if err != nil {
		return err
	}
	config := bare.Config{Destinations: 64, Payload: 1100, Runs: []int{rate / fps}}
	loop, err := l.gso(config)
	if err != nil {
		return err
	}
	config.Interval = time.Second / fps
	paced, err := l.gso(config)
	if err != nil {
		return err
	}
	x := ratio(c, loop.PerPacket)
	r.Got = fmt.Sprintf("%s, %.2f x %s", text, x, report.Time(loop.PerPacket))
	r.Busy = busy(out.Result)
	r.Notes = append(r.Notes, fmt.Sprintf("the bare loop at the pace of the frames: %s a packet, which is %.2f x", report.Time(paced.PerPacket), ratio(c, paced.PerPacket)))
	r.Verdict = verdict(healthy(r, out.Result) && c <= time.Microsecond && x <= 1.6)
	return nil
}

func audioFanout(ctx context.Context, l *lab, r *report.Row) error {
	sc := base(l, r.Key)
	sc.Clients, sc.Video, sc.PayloadSize, sc.PacketRate = 201, false, 100, 50
	out, err := l.once(ctx, quiet, sc, false)
	if err != nil {
		return err
	}
	return l.againstSendmmsg(r, out, bare.Config{Destinations: 200, Payload: 100, Runs: []int{1}}, time.Second/50, 0)
}

// againstSendmmsg compares a run with the bare loop back to back, and notes it at its pace.
// most bounds the cost itself; 0: nothing does.
func (l *lab) againstSendmmsg(r *report.Row, out outcome, config bare.Config, pace, most time.Duration) error {
	c, text, err := cost(costs(out.Result))
	if err != nil {
		return err
	}
	loop, err := l.sendmmsg(config)
	if err != nil {
		return err
	}
	config.Interval = pace
	paced, err := l.sendmmsg(config)
	if err != nil {
		return err
	}
	x := ratio(c, loop.PerPacket)
	r.Got = fmt.Sprintf("%s, %.2f x %s", text, x, report.Time(loop.PerPacket))
	r.Busy = busy(out.Result)
	r.Notes = append(r.Notes, fmt.Sprintf("the bare loop at the pace of the packets: %s a packet, which is %.2f x", report.Time(paced.PerPacket), ratio(c, paced.PerPacket)))
	r.Verdict = verdict(healthy(r, out.Result) && x <= 1.5 && (most == 0 || c <= most))
	return nil
}

func conference4(ctx context.Context, l *lab, r *report.Row) error {
	out, err := l.once(ctx, nil, conference(l, r.Key, 4, 1_000_000), false)
	if err != nil {
		return err
	}
	c, text, err := cost(costs(out.Result))
	if err != nil {
		return err
	}
	r.Got, r.Busy = text, busy(out.Result)
	r.Verdict = verdict(healthy(r, out.Result) && c <= 1500*time.Nanosecond)
	return nil
}

func conference170(ctx context.Context, l *lab, r *report.Row) error {
	out, err := l.once(ctx, nil, conference(l, r.Key, 12, 170_000), false)
	if err != nil {
		return err
	}
	const overhead = 36 + 16 // header and tag, as package bare has them
	payload := 100
	if out.Forwarded > 0 {
		payload = int(min(max(out.Bytes/out.Forwarded, overhead+1)-overhead, 1200))
	}
	r.Notes = append(r.Notes, fmt.Sprintf("the bare loop has the mean payload, %d bytes", payload))
	return l.againstSendmmsg(r, out, bare.Config{Destinations: 7, Payload: payload, Runs: []int{1}}, 200*time.Microsecond, 2*time.Microsecond)
}

func conference12(ctx context.Context, l *lab, r *report.Row) error {
	out, err := l.once(ctx, nil, conference(l, r.Key, 12, 1_000_000), false)
	if err != nil {
		return err
	}
	share := float64(out.ServerCPU) / float64(max(out.Duration, 1))
	_, text, err := cost(costs(out.Result))
	if err != nil {
		return err
	}
	r.Got = fmt.Sprintf("%s, %s lost, %s a packet", report.Percent(share), report.Count(out.ServerLost()), text)
	r.Busy = busy(out.Result)
	r.Verdict = verdict(healthy(r, out.Result) && share <= 0.25)
	return nil
}

func allocations(ctx context.Context, l *lab, r *report.Row) error {
	out, err := l.once(ctx, nil, conference(l, r.Key, 12, 1_000_000), true)
	if err != nil {
		return err
	}
	const allocs, cycles = "heap_allocs", "gc_cycles"
	if _, ok := out.before[allocs]; !ok || out.after == nil || out.Forwarded == 0 {
		return fmt.Errorf("the server did not tell its counters %s and %s", allocs, cycles)
	}
	if out.between <= 0 || out.Duration <= 0 {
		return fmt.Errorf("the counters were read within %v of each other", out.between)
	}
	seconds := out.between.Seconds()
	made := float64(out.after[allocs]-out.before[allocs]) / seconds
	packets := float64(out.Forwarded) / out.Duration.Seconds()
	each, collected := made/packets, float64(out.after[cycles]-out.before[cycles])/seconds
	r.Got = fmt.Sprintf("%.5f a packet, %.3f GC a second", each, collected)
	r.Busy = busy(out.Result)
	r.Notes = append(r.Notes, fmt.Sprintf("%.0f allocations a second of the whole process, with signaling, reports and the counters' own two lines", made))
	r.Verdict = verdict(healthy(r, out.Result) && each <= 0.001 && collected < 1)
	return nil
}

func latency(ctx context.Context, l *lab, r *report.Row) error {
	sc := conference(l, r.Key, 8, 1_000_000)
	sc.Latency = true
	out, err := l.once(ctx, nil, sc, false)
	if err != nil {
		return err
	}
	audio, last, first := &out.Audio, &out.FrameLast, &out.FrameFirst
	if audio.Count == 0 || last.Count == 0 {
		return fmt.Errorf("latencies of %d audio packets and %d frames were measured", audio.Count, last.Count)
	}
	r.Got = fmt.Sprintf("audio p50 %s, p99 %s; last p50 %s, p99 %s", report.Time(audio.P50), report.Time(audio.P99), report.Time(last.P50), report.Time(last.P99))
	r.Busy = busy(out.Result)
	r.Notes = append(r.Notes, fmt.Sprintf("8 rooms x 8; first of a frame p50 %s, p99 %s; p99.9 of audio %s, of the last %s",
		report.Time(first.P50), report.Time(first.P99), report.Time(audio.P999), report.Time(last.P999)))
	const p50, p99 = 150 * time.Microsecond, time.Millisecond
	r.Verdict = verdict(healthy(r, out.Result) && audio.P50 <= p50 && last.P50 <= p50 && audio.P99 <= p99 && last.P99 <= p99)
	return nil
}

// audience is one publisher of 300 kbps and its viewers.
func audience(l *lab, name string, viewers int, d time.Duration) load.Scenario {
	sc := base(l, name)
	sc.Clients, sc.Bitrate, sc.FrameRate, sc.Duration = viewers+1, 300_000, 15, d
	return sc
}

func viewers5000(ctx context.Context, l *lab, r *report.Row) error {
	viewers := pick(l, 5000, 500)
	out, err := l.once(ctx, quiet, audience(l, r.Key, viewers, pick(l, 5*time.Minute, 10*time.Second)), false)
	if err != nil {
		return err
	}
	_, text, err := cost(costs(out.Result))
	if err != nil {
		return err
	}
	r.Got = fmt.Sprintf("%s of %s, %s lost", report.Count(uint64(out.Connected)), report.Count(uint64(out.Peers)), report.Count(out.ServerLost()))
	r.Busy = busy(out.Result)
	r.Notes = append(r.Notes, fmt.Sprintf("%s a packet, server %s of one core, %s a connection", text,
		report.Percent(float64(out.ServerCPU)/float64(max(out.Duration, 1))), report.Size(out.PerPeer())))
	r.Verdict = verdict(healthy(r, out.Result))
	return nil
}

func viewersLimit(ctx context.Context, l *lab, r *report.Row) error {
	step := pick(l, 1000, 200)
	most, first := 0, pick(l, 6000, 200)
	for n := first; n <= first+10*step; n += step {
		out, err := l.once(ctx, quiet, audience(l, fmt.Sprintf("%s-%d", r.Key, n), n, pick(l, 20*time.Second, 5*time.Second)), false)
		if err != nil {
			r.Notes = append(r.Notes, fmt.Sprintf("%d viewers: %v", n, err))
			break
		}
		r.Busy = busy(out.Result)
		if !healthy(r, out.Result) || out.ClientLoss > 0 {
			r.Notes = append(r.Notes, fmt.Sprintf("that was with %d viewers; the machine was busy for %s, %s of it this program", n, r.Busy,
				report.Percent(float64(out.ClientCPU)/float64(max(out.Duration, 1)))))
			break
		}
		most = n
		if l.quick {
			break
		}
	}
	if most == 0 {
		r.Got = fmt.Sprintf("fewer than %s", report.Count(uint64(first)))
	} else {
		r.Got = report.Count(uint64(most))
	}
	r.Verdict = report.Informative
	return ctx.Err()
}

func memoryParked(ctx context.Context, l *lab, r *report.Row) error {
	return memoryOfViewers(ctx, l, r, map[string]string{"signaling_notify": "false"}, 64<<10)
}

func memoryUnparked(ctx context.Context, l *lab, r *report.Row) error {
	return memoryOfViewers(ctx, l, r, map[string]string{"signaling_notify": "false", "dtls_parking": "false"}, 100<<10)
}

func memoryOfViewers(ctx context.Context, l *lab, r *report.Row, config map[string]string, most uint64) error {
	sc := audience(l, r.Key, pick(l, 2000, 300), pick(l, 20*time.Second, 5*time.Second))
	sc.Warmup = pick(l, 15*time.Second, 2*time.Second) // for what is kept for a while after joining
	return l.memory(ctx, r, config, sc, most)
}

func memoryPublisher(ctx context.Context, l *lab, r *report.Row) error {
	n := pick(l, 200, 50)
	sc := base(l, r.Key)
	sc.Rooms, sc.Clients, sc.Role, sc.Bitrate, sc.FrameRate = n, 1, load.SendOnly, 1_500_000, 25
	sc.Duration = pick(l, 20*time.Second, 5*time.Second)
	r.Notes = append(r.Notes, fmt.Sprintf("with %d publishers: 2,000 would be 3 Gbit/s to make on the same machine", n))
	return l.memory(ctx, r, quiet, sc, 280<<10)
}

// memory compares what each connection takes of the server's memory.
func (l *lab) memory(ctx context.Context, r *report.Row, config map[string]string, sc load.Scenario, most uint64) error {
	out, err := l.once(ctx, config, sc, false)
	if err != nil {
		return err
	}
	if out.ServerPSS == 0 || out.IdlePSS == 0 {
		return fmt.Errorf("the server's memory could not be read: %d bytes, %d when idle", out.ServerPSS, out.IdlePSS)
	}
	each := out.PerPeer()
	r.Got, r.Busy = report.Size(each), busy(out.Result)
	r.Notes = append(r.Notes, fmt.Sprintf("%d connections, PSS %s, %s when idle", out.Connected, report.Size(out.ServerPSS), report.Size(out.IdlePSS)))
	r.Verdict = verdict(healthy(r, out.Result) && each > 0 && each <= most)
	return nil
}

func storm(ctx context.Context, l *lab, r *report.Row) error {
	sc := base(l, r.Key)
	sc.Rooms, sc.Clients, sc.Role, sc.Storm, sc.JoinRate = pick(l, 625, 50), 8, load.SendRecv, true, 550 // the last begins after 9.1 s
	out, err := l.once(ctx, nil, sc, false)
	if err != nil {
		return err
	}
	bareCost, err := l.handshake(bare.HandshakeConfig{})
	if err != nil {
		return err
	}
	each := out.JoinCPU / time.Duration(max(out.Connected, 1))
	bound := 2*bareCost.PerHandshake + 500*time.Microsecond
	in := pick(l, 10*time.Second, 2*time.Second)
	r.Got = fmt.Sprintf("%d of %d in %s, %s each", out.Connected, out.Peers, report.Time(out.JoinTime), report.Time(each))
	r.Busy = busy(out.Result)
	r.Notes = append(r.Notes, fmt.Sprintf("a bare handshake costs %s, so the bound is %s; connected after p50 %s, p99 %s",
		report.Time(bareCost.PerHandshake), report.Time(bound), report.Time(out.Join.P50), report.Time(out.Join.P99)))
	r.Verdict = verdict(healthy(r, out.Result) && each <= bound && out.JoinTime <= in)
	return nil
}

func stormOneRoom(ctx context.Context, l *lab, r *report.Row) error {
	sc := base(l, r.Key)
	sc.Clients, sc.Role, sc.Storm, sc.JoinRate, sc.Notify = pick(l, 5000, 300), load.RecvOnly, true, 500, true
	out, err := l.once(ctx, map[string]string{"signaling_notify": "true"}, sc, false)
	if err != nil {
		return err
	}
	r.Got = fmt.Sprintf("%d of %d in %s, %s of PSS", out.Connected, out.Peers, report.Time(out.JoinTime), report.Size(out.ServerPSS))
	r.Busy = busy(out.Result)
	for name, n := range out.last {
		if strings.Contains(name, "notif") || strings.Contains(name, "coalesc") {
			r.Notes = append(r.Notes, fmt.Sprintf("%s %s", name, report.Count(n)))
		}
	}
	r.Notes = append(r.Notes, fmt.Sprintf("%s a join, %s a connection; bounded is taken as <= 1 MiB a connection",
		report.Time(out.JoinCPU/time.Duration(max(out.Connected, 1))), report.Size(out.PerPeer())))
	r.Verdict = verdict(healthy(r, out.Result) && out.PerPeer() > 0 && out.PerPeer() <= 1<<20)
	return nil
}

func growthViewers(ctx context.Context, l *lab, r *report.Row) error {
	few, many := pick(l, 200, 50), pick(l, 2000, 200)
	return l.growth(ctx, r, func(b bool) (map[string]string, load.Scenario) {
		n := few
		if b {
			n = many
		}
		return quiet, audience(l, fmt.Sprintf("%s-%d", r.Key, n), n, measured(l))
	})
}

func growthShards(ctx context.Context, l *lab, r *report.Row) error {
	return l.growth(ctx, r, func(b bool) (map[string]string, load.Scenario) {
		n := "1"
		if b {
			n = "2"
		}
		return map[string]string{"shards": n}, conference(l, r.Key+"-"+n, 12, 1_000_000)
	})
}

// growth compares the costs of two ways, each measured twice by turns.
func (l *lab) growth(ctx context.Context, r *report.Row, way func(b bool) (map[string]string, load.Scenario)) error {
	var all [2][]time.Duration
	var results []*report.Result
	for i := range 4 {
		config, sc := way(i%2 == 1)
		out, err := l.once(ctx, config, sc, false)
		if err != nil {
			return err
		}
		all[i%2] = append(all[i%2], costs(out.Result)...)
		results = append(results, out.Result)
	}
	a, aText, err := cost(all[0])
	if err != nil {
		return err
	}
	b, bText, err := cost(all[1])
	if err != nil {
		return err
	}
	x := ratio(b, a)
	r.Got = fmt.Sprintf("%.2f x", x)
	r.Busy = busy(results...)
	r.Notes = append(r.Notes, fmt.Sprintf("%s against %s, each of %d parts by turns", bText, aText, len(all[0])))
	r.Verdict = verdict(healthy(r, results...) && x <= 1.15)
	return nil
}
