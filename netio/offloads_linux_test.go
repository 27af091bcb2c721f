package netio

import (
	"bytes"
	"runtime/pprof"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"tsubame/netio/flow"
	"tsubame/netio/mmsg"
	"tsubame/netio/mono"
)

func TestOffloadsSayWhatIsOnAndWhyNot(t *testing.T) {
	for _, c := range []struct {
		name   string
		config Config
		want   Offloads
		logged string
	}{
		{"everything", Config{Shards: 2}, Offloads{GSO: true, Steering: true, FineTimers: true}, "gso=true steering=true fine_timers=true"},
		{"no GSO", Config{Shards: 1, NoGSO: true}, Offloads{GSOReason: "switched off", Steering: true, FineTimers: true}, `gso=false gso_reason="switched off" steering=true`},
		{"no steering", Config{Shards: 2, NoSteering: true}, Offloads{GSO: true, FineTimers: true}, "steering=false"},
		{"portable", Config{Shards: 1, Plain: true}, Offloads{GSOReason: "the portable implementation sends each datagram by itself", Steering: true}, "fine_timers=false"},
	} {
		log, out := logged()
		c.config.Log = log
		if got := open(t, c.config).Offloads(); got != c.want {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
		if !strings.Contains(out.String(), c.logged) {
			t.Errorf("%s: %q is not logged: %s", c.name, c.logged, out)
		}
	}
}

// stubborn is a socket that does not send runs.
type stubborn struct{ mmsg.Socket }

func (stubborn) GSO() (bool, string) { return false, "the network device refused a run (EIO)" }

func TestOffloadsCountTheSocketsWithout(t *testing.T) {
	g := open(t, Config{Shards: 2, Wrap: func(shard int, s mmsg.Socket) mmsg.Socket {
		if shard == 1 {
			return stubborn{s}
		}
		return s
	}})
	want := "2 of 4 sockets: the network device refused a run (EIO)"
	if o := g.Offloads(); !o.GSO || o.GSOReason != want {
		t.Errorf("GSO %v, %q", o.GSO, o.GSOReason)
	}
}

// What a Handler queues for one client leaves in runs, and the counters tell.
func TestShardSendsRuns(t *testing.T) {
	for _, off := range []bool{false, true} {
		g := open(t, Config{Shards: 1, NoGSO: off})
		sent := false
		c := listen(t, loopback4)
		to := flow.KeyOf(loopback4, addrOf(c))
		g.Start(0, &funcs{timers: func(_ mono.Time, out *mmsg.TxQueue) mono.Time {
			for range 20 {
				if !sent {
					put(out, []byte("twenty"), to, mmsg.Video)
				}
			}
			sent = true
			return mono.Never
		}})
		for range 20 {
			receive(t, c)
		}
		g.Stop()
		s, want := g.Stats(0), uint64(20)
		if off {
			want = 0
		}
		if s.TxPackets != 20 || s.TxInRuns != want || s.TxRuns[4] != want/20 || s.TxRuns[0] != 20-want {
			t.Errorf("off %v: %d datagrams, %d in runs, messages %v", off, s.TxPackets, s.TxInRuns, s.TxRuns)
		}
	}
}

// onShard runs f on the thread of a group's shard.
func onShard(t *testing.T, g *Group, shard int, f func()) {
	t.Helper()
	done, began := make(chan struct{}), false
	g.Start(shard, &funcs{timers: func(mono.Time, *mmsg.TxQueue) mono.Time {
		if !began {
			began = true
			f()
			close(done)
		}
		return mono.Never
	}})
	await(t, "the shard's thread", done)
}

func TestProfilesNameTheShard(t *testing.T) {
	g := open(t, Config{Shards: 2})
	for i, label := range []string{`{"shard":"0"}`, `{"shard":"1"}`} {
		onShard(t, g, i, func() {
			var out bytes.Buffer
			if err := pprof.Lookup("goroutine").WriteTo(&out, 1); err != nil {
				t.Error(err)
			}
			if !strings.Contains(out.String(), label) {
				t.Errorf("no goroutine has the labels %s", label)
			}
		})
	}
}

func TestShardsHaveFineTimers(t *testing.T) {
	g := open(t, Config{Shards: 1})
	onShard(t, g, 0, func() {
		slack, _, errno := unix.Syscall6(unix.SYS_PRCTL, unix.PR_GET_TIMERSLACK, 0, 0, 0, 0, 0)
		if errno != 0 || slack != timerSlack {
			t.Errorf("timer slack %d ns, %v", slack, errno)
		}
	})
}
