package e2e

import (
	"context"
	"errors"
	"fmt"
	"time"

	"tsubame/bench/bare"
	"tsubame/bench/load"
	"tsubame/bench/report"
	"tsubame/bench/source"
	"tsubame/media/param"
)

// rows is the standard set.
var rows = []row{
	{"video-fanout", "video, 1 publisher x 64 viewers, 1,100 B, GCM", "<= 1.0 us a packet and <= 1.6 x bare GSO", videoFanout},
	{"audio-fanout", "audio, 1 publisher x 200 viewers, 100 B", "<= 1.5 x bare sendmmsg", audioFanout},
	{"conference-4x8", "4 rooms x 8, 320x240, 20 fps, 1,000 kbps + Opus", "<= 1.5 us a packet", conference4},
	{"conference-170k", "12 rooms x 8, 170 kbps + Opus", "<= 2.0 us a packet and <= 1.5 x bare sendmmsg", conference170},
	{"conference-12x8", "12 rooms x 8, 320x240, 20 fps, 1,000 kbps + Opus", "<= 25 % of one core, 0 lost", conference12},
	{"allocations", "allocations that media adds, garbage collections, at that load", "0 a packet (<= 0.001), < 1 GC a second", allocations},
	{"latency", "forwarding latency at half load, audio and last of a frame", "p50 <= 150 us, p99 <= 1 ms", latency},
	{"viewers-5000", "5,000 viewers of 300 kbps, 15 fps + Opus, 5 minutes", "all connected, 0 lost", viewers5000},
	{"viewers-limit", "most such viewers without loss, 20 s each", "reported", viewersLimit},
	{"memory-viewer", "viewer of one publisher at 2,000, DTLS parked", "<= 64 KiB", memoryParked},
	{"memory-unparked", "the same, dtls_parking = false", "<= 100 KiB", memoryUnparked},
	{"memory-publisher", "publisher at 1.5 Mbps, at 2,000 connections", "<= 280 KiB", memoryPublisher},
	{"storm", "5,000 joins in 10 s, 625 rooms x 8", "all, <= 2 x bare handshake + 0.5 ms", storm},
	{"storm-one-room", "5,000 joins into one channel, notify on", "all, memory bounded", stormOneRoom},
	{"growth-viewers", "cost a packet at 2,000 viewers against 200", "<= 1.15 x", growthViewers},
	{"growth-shards", "cost a packet with 2 shards against 1", "<= 1.15 x", growthShards},
	{"turn", "video, 1 publisher x 64 viewers, 1,100 B, through TURN and directly by turns", "UDP <= 1.1 x direct, 0 allocations a packet (<= 0.001)", turn},
}

// measured is how long the measured part of a cost takes.
func measured(l *lab) time.Duration { return parts * pick(l, 6*time.Second, 1200*time.Millisecond) }

// base is a scenario with the times of the standard set.
func base(l *lab, name string) load.Scenario {
	return load.Scenario{
		Name: name, Rooms: 1, Role: load.Broadcast, Audio: true, Video: true, Codec: param.VP8, Bitrate: 1_000_000,
		FrameRate: 20, Warmup: pick(l, 3*time.Second, time.Second/2), Calm: pick(l, 15*time.Second, 0),
		Duration: measured(l), JoinRate: 100, // which leaves a machine with two CPUs time for the media of those that are there
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
	f := floor{loop: l.gso, config: bare.Config{Destinations: 64, Payload: 1100, Runs: []int{rate / fps}}, pace: time.Second / fps}
	return l.compare(ctx, r, job{config: quiet, scenario: sc}, f, 1.6, time.Microsecond)
}

func audioFanout(ctx context.Context, l *lab, r *report.Row) error {
	sc := base(l, r.Key)
	sc.Clients, sc.Video, sc.PayloadSize, sc.PacketRate = 201, false, 100, 50
	f := floor{loop: l.sendmmsg, config: bare.Config{Destinations: 200, Payload: 100, Runs: []int{1}}, pace: time.Second / 50}
	return l.compare(ctx, r, job{config: quiet, scenario: sc}, f, 1.5, 0)
}

// compare runs a job between two measurements of a bare loop. The cost is to be at most times
// that of the loop back to back, and at most most; 0: nothing bounds the cost itself.
func (l *lab) compare(ctx context.Context, r *report.Row, j job, f floor, times float64, most time.Duration) error {
	var out outcome
	f, err := l.under(f, func() (err error) { out, err = l.once(ctx, j); return err })
	if err != nil {
		return err
	}
	c, text, err := l.cost(costs(out.Result))
	if err != nil {
		return err
	}
	x, words := f.ratio(c)
	r.Got, r.Busy = text+", "+words, busy(out.Result)
	r.Notes = append(r.Notes, f.note(c))
	r.Verdict = verdict(healthy(r, out.Result) && x > 0 && x <= times && (most == 0 || c <= most))
	return nil
}

func conference4(ctx context.Context, l *lab, r *report.Row) error {
	out, err := l.once(ctx, job{scenario: conference(l, r.Key, 4, 1_000_000)})
	if err != nil {
		return err
	}
	c, text, err := l.cost(costs(out.Result))
	if err != nil {
		return err
	}
	r.Got, r.Busy = text, busy(out.Result)
	r.Verdict = verdict(healthy(r, out.Result) && c <= 1500*time.Nanosecond)
	return nil
}

func conference170(ctx context.Context, l *lab, r *report.Row) error {
	sc := conference(l, r.Key, 12, 170_000)
	payload, err := meanPayload(sc)
	if err != nil {
		return err
	}
	r.Notes = append(r.Notes, fmt.Sprintf("the bare loop has the mean payload of what is published, %d bytes", payload))
	f := floor{loop: l.sendmmsg, config: bare.Config{Destinations: 7, Payload: payload, Runs: []int{1}}, pace: 200 * time.Microsecond}
	return l.compare(ctx, r, job{scenario: sc}, f, 1.5, 2*time.Microsecond)
}

// meanPayload returns the mean length of the payloads of half a minute of a publisher's audio
// and video, in bytes.
func meanPayload(sc load.Scenario) (int, error) {
	video, err := source.Video(sc.Codec, sc.Bitrate, sc.FrameRate, 1)
	if err != nil {
		return 0, err
	}
	audio, err := source.Opus(1)
	if err != nil {
		return 0, err
	}
	bytes, packets := 0, 0
	for _, s := range []source.Source{video, audio} {
		for p := (source.Packet{}); p.At < 30*time.Second; {
			s.Next(&p)
			bytes += len(p.Payload)
			packets++
		}
	}
	return bytes / packets, nil
}

func conference12(ctx context.Context, l *lab, r *report.Row) error {
	out, err := l.once(ctx, job{scenario: conference(l, r.Key, 12, 1_000_000)})
	if err != nil {
		return err
	}
	share := float64(out.ServerCPU) / float64(max(out.Duration, 1))
	r.Got = fmt.Sprintf("%s, %s lost, %s a packet", report.Percent(share), report.Count(out.ServerLost()), l.costText(out.Result))
	r.Busy = busy(out.Result)
	r.Verdict = verdict(healthy(r, out.Result) && share <= 0.25)
	return nil
}

func allocations(ctx context.Context, l *lab, r *report.Row) error {
	sc := conference(l, r.Key, pick(l, 12, 2), 1_000_000)
	// The row is about packets: what joins leave behind (endpoints that are parked, memory given
	// back) is over some seconds after them.
	sc.Warmup = pick(l, 12*time.Second, time.Second)
	sc.Silence = sc.Duration
	address, err := freeAddress()
	if err != nil {
		return err
	}
	out, err := l.once(ctx, job{config: map[string]string{"debug_listen": address}, scenario: sc, counted: true})
	if err != nil {
		return err
	}
	with, err := out.media.rates()
	if err != nil {
		return fmt.Errorf("with media: %w", err)
	}
	without, err := out.silent.rates()
	if err != nil {
		return fmt.Errorf("in silence: %w", err)
	}
	if out.Forwarded == 0 || out.Duration <= 0 {
		return errors.New("nothing was forwarded")
	}
	packets := float64(out.Forwarded) / out.Duration.Seconds()
	each := max(0, with.mallocs-without.mallocs) / packets
	r.Got = fmt.Sprintf("%.5f a packet, %.3f GC a second", each, with.cycles)
	r.Busy = busy(out.Result)
	r.Notes = append(r.Notes, fmt.Sprintf("%.0f allocations a second of the whole process with media, %.0f with the same clients in silence (%s and %s, all of them counted: "+
		"MemStats.Mallocs; what reading it takes left out); a packet's are the difference; with signaling and all else it would be %.5f a packet",
		with.mallocs, without.mallocs, report.Time(out.media.took), report.Time(out.silent.took), with.mallocs/packets))
	r.Verdict = verdict(healthy(r, out.Result) && each <= 0.001 && with.cycles < 1)
	return nil
}

func latency(ctx context.Context, l *lab, r *report.Row) error {
	sc := conference(l, r.Key, 8, 1_000_000)
	sc.Latency = true
	out, err := l.once(ctx, job{scenario: sc})
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
