package netem

import (
	"encoding/binary"
	"fmt"
	"math"
	"net"
	"os/exec"
	"strings"
	"testing"
	"time"

	"tsubame/bench/impair"
	"tsubame/netio/mmsg/netns"
)

// lane is a network of two namespaces with a socket in each: what far sends, near receives.
type lane struct {
	t         *testing.T
	far, near *net.UDPConn
	box       *Box // nil: the kernel's netem in its place
}

const (
	farAddress, nearAddress   = "10.9.0.2", "10.9.0.1"
	farAddress6, nearAddress6 = "2001:db8:9::2", "2001:db8:9::1"
)

func newLane(t *testing.T) *lane {
	t.Helper()
	return newLaneAt(t, farAddress, nearAddress)
}

// newLaneAt joins two namespaces by a box, and opens sockets at addresses.
func newLaneAt(t *testing.T, farIP, nearIP string) *lane {
	t.Helper()
	far, near := netns.New(t), netns.New(t)
	l := &lane{t: t}
	var tuns [2]*TUN
	for i, end := range []struct {
		ns        *netns.Namespace
		four, six string
	}{{far, farAddress, farAddress6}, {near, nearAddress, nearAddress6}} {
		var err error
		if end.ns.Do(func() { tuns[i], err = OpenTUN("lane") }); err != nil {
			t.Fatal(err)
		}
		end.ns.IP("addr add " + end.four + "/30 dev lane")
		end.ns.IP(fmt.Sprintf("link set lane mtu %d up", mtu))
		end.ns.IP("addr add " + end.six + "/64 dev lane nodad")
	}
	var err error
	if l.box, err = NewBox(tuns[0], tuns[1]); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.box.Close(); err != nil {
			t.Error(err)
		}
	})
	l.far, l.near = listen(t, far, farIP), listen(t, near, nearIP)
	return l
}

// listen opens a socket with room for what a test sends at once.
func listen(t *testing.T, ns *netns.Namespace, address string) (c *net.UDPConn) {
	t.Helper()
	var err error
	ns.Do(func() { c, err = net.ListenUDP("udp", &net.UDPAddr{IP: net.ParseIP(address)}) })
	if err == nil {
		err = c.SetReadBuffer(4 << 20)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// way is what became of a datagram: when it was sent and, if it came, how long it took and behind
// how many it was the next to come.
type way struct {
	sent  time.Time
	took  time.Duration // 0: lost
	order int
	bytes []byte
}

// send sends n datagrams of a size (of IP packets) at an interval, and returns what became of
// each.
func (l *lane) send(n, size int, interval time.Duration) []way {
	l.t.Helper()
	ways := make([]way, n)
	sent := make(chan struct{})
	whole := false // the last has come
	to := l.near.LocalAddr().(*net.UDPAddr)
	start := time.Now().Add(10 * time.Millisecond)
	go func() {
		defer close(sent)
		b := make([]byte, size-ipv4Header-udpHeader)
		for i := range n {
			pause(time.Until(start.Add(time.Duration(i) * interval)))
			binary.BigEndian.PutUint32(b, uint32(i))
			ways[i].sent = time.Now()
			if _, err := l.far.WriteToUDP(b, to); err != nil {
				l.t.Error(err)
				return
			}
		}
	}()
	came := make([]way, n)
	b := make([]byte, 1<<16)
	for order := 0; ; order++ {
		select { // the last may be lost: a while behind it nothing is waited for
		case <-sent:
			l.deadline(700 * time.Millisecond)
		default:
			l.deadline(5 * time.Second)
		}
		if whole {
			l.deadline(200 * time.Millisecond)
		}
		k, err := l.near.Read(b)
		if err != nil {
			break
		}
		if i := binary.BigEndian.Uint32(b); int(i) < n && came[i].took == 0 {
			came[i] = way{took: time.Duration(time.Now().UnixNano()), order: order, bytes: append([]byte(nil), b[:k]...)}
			whole = whole || int(i) == n-1
		}
	}
	<-sent
	for i := range ways {
		if came[i].took != 0 {
			ways[i].took = came[i].took - time.Duration(ways[i].sent.UnixNano())
			ways[i].order, ways[i].bytes = came[i].order, came[i].bytes
		}
	}
	return ways
}

// warm waits until datagrams come: the kernel takes an IPv6 address into its routes some time
// behind the command.
func (l *lane) warm() {
	l.t.Helper()
	b := make([]byte, 9)
	for end := time.Now().Add(10 * time.Second); ; {
		if _, err := l.far.WriteToUDP([]byte("warm"), l.near.LocalAddr().(*net.UDPAddr)); err != nil || time.Now().After(end) {
			l.t.Fatalf("nothing comes: %v", err)
		}
		l.deadline(50 * time.Millisecond)
		if _, err := l.near.Read(b); err == nil {
			break
		}
	}
	for { // those that came together with it
		l.deadline(100 * time.Millisecond)
		if _, err := l.near.Read(b); err != nil {
			return
		}
	}
}

func (l *lane) deadline(d time.Duration) {
	if err := l.near.SetReadDeadline(time.Now().Add(d)); err != nil {
		l.t.Fatal(err)
	}
}

func (l *lane) set(d Direction, cfg impair.Config) {
	l.t.Helper()
	if err := l.box.Set(d, cfg); err != nil {
		l.t.Fatal(err)
	}
}

// losses returns the share that is lost, and how many in a row.
func losses(ways []way) (share, run float64) {
	lost, runs := 0, 0
	for i, w := range ways {
		if w.took == 0 {
			if lost++; i == 0 || ways[i-1].took != 0 {
				runs++
			}
		}
	}
	return float64(lost) / float64(len(ways)), float64(lost) / max(1, float64(runs))
}

// atLeast returns the shortest and the median way.
func atLeast(ways []way) (least, middle time.Duration) {
	var all []float64
	for _, w := range ways {
		if w.took != 0 {
			all = append(all, w.took.Seconds())
		}
	}
	if len(all) == 0 {
		return 0, 0
	}
	least = time.Hour
	for _, s := range all {
		least = min(least, time.Duration(s*1e9))
	}
	return least, time.Duration(median(all) * 1e9)
}

// near fails the test where a number is further from another than a bound.
func near(t *testing.T, what string, got, want, bound float64) {
	t.Helper()
	if math.Abs(got-want) > bound {
		t.Errorf("%s: %.4f, want %.4f within %.4f", what, got, want, bound)
	}
}

func TestANewBoxPassesEverything(t *testing.T) {
	l := newLane(t)
	for i, w := range l.send(500, 1200, time.Millisecond) {
		if w.took == 0 || w.order != i {
			t.Fatalf("datagram %d: %+v", i, w)
		}
	}
}

func TestBoxLosesAShareOfItsOwnSeed(t *testing.T) {
	const n = 5000
	l := newLane(t)
	for _, c := range []struct{ loss, burst float64 }{{0.1, 0}, {0.1, 5}} {
		var seen [2][]way
		for i := range seen {
			l.set(Up, impair.Config{Loss: c.loss, Burst: c.burst, Seed: 3})
			seen[i] = l.send(n, 100, 100*time.Microsecond)
		}
		share, run := losses(seen[0])
		// Four standard deviations: the variance of the share is that of independent draws times
		// (1 + r)/(1 - r) for what one draw says about the next.
		want, r := 1/(1-c.loss), 0.0
		if c.burst > 1 {
			want, r = c.burst, 1-1/c.burst-c.loss/(1-c.loss)/c.burst
		}
		near(t, "share lost", share, c.loss, 4*math.Sqrt(c.loss*(1-c.loss)/n*(1+r)/(1-r)))
		near(t, "lost in a row", run, want, 0.25*want)
		for i := range n {
			if (seen[0][i].took == 0) != (seen[1][i].took == 0) {
				t.Fatalf("datagram %d is lost in one run of a seed only", i)
			}
		}
	}
}

func TestBoxDelays(t *testing.T) {
	l := newLane(t)
	l.set(Up, impair.Config{Delay: 40 * time.Millisecond})
	least, middle := atLeast(l.send(500, 200, 2*time.Millisecond))
	p50, p99, most := l.box.Late()
	t.Logf("of 40 ms: %v at least, %v in the middle; the box was late by %v, one in a hundred by %v, %v at most", least, middle, p50, p99, most)
	if least < 40*time.Millisecond || middle > 50*time.Millisecond {
		t.Errorf("40 ms are %v at least and %v in the middle", least, middle)
	}
	if p50 > time.Millisecond {
		t.Errorf("the box is late by %v in the middle", p50)
	}
}

func TestBoxKeepsToARate(t *testing.T) {
	const n, size, rate = 400, 1000, 1_000_000
	l := newLane(t)
	l.set(Up, impair.Config{Rate: rate, Queue: 20 * size})
	l.box.Record()
	ways := l.send(n, size, 4*time.Millisecond) // 2 Mbit/s
	share, _ := losses(ways)
	near(t, "share lost", share, 0.5, 0.06) // the queue's 20 pass too
	all := l.box.Records(Up)
	first, last := all[0], all[len(all)-1]
	near(t, "bit/s", float64(len(all)-1)*size*8/last.At.Sub(first.At).Seconds(), rate, 0.02*rate)
}

func TestBoxBlacksOutOneWayByPlan(t *testing.T) {
	l := newLane(t)
	err := l.box.Plan(Up, time.Now(), impair.Step{After: 200 * time.Millisecond, Config: impair.Config{Loss: 1}},
		impair.Step{After: 400 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	ways := l.send(300, 100, 2*time.Millisecond)
	share, run := losses(ways)
	near(t, "share lost", share, 1.0/3, 0.05)
	near(t, "lost in a row", run, 100, 15)
	if s := l.box.Stats(Down); s.Lost != 0 {
		t.Errorf("the other way: %+v", s)
	}
}

func TestBoxReorders(t *testing.T) {
	l := newLane(t)
	l.set(Up, impair.Config{Delay: 20 * time.Millisecond, Overtake: 0.1, Seed: 4})
	behind, order := 0, -1
	for _, w := range l.send(1000, 100, time.Millisecond) {
		if w.took < 15*time.Millisecond {
			behind++
		}
		order = max(order, w.order)
	}
	near(t, "share that overtakes", float64(behind)/1000, 0.1, 0.04)
	if order != 999 {
		t.Errorf("%d came", order+1)
	}
}

func TestCorruptedDatagramsArrive(t *testing.T) {
	const size = 200
	l := newLane(t)
	l.set(Up, impair.Config{Corrupt: 0.2, Intact: ipv4Header + udpHeader + 4, Seed: 5})
	changed := 0
	for i, w := range l.send(1000, size, 500*time.Microsecond) {
		if w.took == 0 {
			t.Fatalf("datagram %d is lost", i)
		}
		for _, b := range w.bytes[4:] {
			if b != 0 {
				changed++
			}
		}
	}
	near(t, "share corrupted", float64(changed)/1000, 0.2, 0.05)
}

// The NAT's client is spoken to at its new port once it has sent from it, and not before.
func TestBoxIsANATThatForgets(t *testing.T) {
	for _, address := range [][2]string{{farAddress, nearAddress}, {farAddress6, nearAddress6}} {
		t.Run(address[0], func(t *testing.T) { natForgets(t, address[0], address[1]) })
	}
}

func natForgets(t *testing.T, farIP, nearIP string) {
	l := newLaneAt(t, farIP, nearIP)
	l.warm()
	own := l.far.LocalAddr().(*net.UDPAddr).Port
	ask := func() (from *net.UDPAddr) {
		t.Helper()
		if _, err := l.far.WriteToUDP([]byte("?"), l.near.LocalAddr().(*net.UDPAddr)); err != nil {
			t.Fatal(err)
		}
		l.deadline(5 * time.Second)
		b := make([]byte, 9)
		_, from, err := l.near.ReadFromUDP(b)
		if err != nil {
			t.Fatal(err)
		}
		return from
	}
	hears := func(at *net.UDPAddr, wait time.Duration) bool {
		t.Helper()
		if _, err := l.near.WriteToUDP([]byte("!"), at); err != nil {
			t.Fatal(err)
		}
		if err := l.far.SetReadDeadline(time.Now().Add(wait)); err != nil {
			t.Fatal(err)
		}
		_, err := l.far.Read(make([]byte, 9))
		return err == nil
	}
	first := ask()
	if first.Port != own || !hears(first, 5*time.Second) {
		t.Fatalf("%v is %v, or hears nothing", own, first)
	}
	l.box.Rebind()
	if hears(first, 100*time.Millisecond) {
		t.Fatal("the port of before still works")
	}
	second := ask()
	if second.Port == own || !hears(second, 5*time.Second) || hears(first, 100*time.Millisecond) {
		t.Fatalf("behind a rebinding %v is %v", first, second)
	}
	if again := ask(); again.Port != second.Port {
		t.Fatalf("%v is %v without a rebinding", second, again)
	}
	l.box.Rebind()
	if third := ask(); third.Port == second.Port || third.Port == own {
		t.Fatalf("behind another rebinding %v is %v", second, third)
	}
}

// The kernel's own netem does the same, where it is there; where it is not, the box has been
// compared with what is expected of it above.
func TestBoxDoesWhatNetemDoes(t *testing.T) {
	far, near := netns.New(t), netns.New(t)
	far.Join("lane", near, "lane")
	far.IP("addr add " + farAddress + "/30 dev lane")
	near.IP("addr add " + nearAddress + "/30 dev lane")
	tc := func(args string) (string, error) {
		out, err := exec.Command("ip", append([]string{"netns", "exec", far.Name(), "tc"}, strings.Fields(args)...)...).CombinedOutput()
		return strings.TrimSpace(string(out)), err
	}
	const delay, loss = 30 * time.Millisecond, 0.1
	theirs := &lane{t: t, far: listen(t, far, farAddress), near: listen(t, near, nearAddress)}
	if out, err := tc("qdisc add dev lane root netem limit 10000 delay 30ms loss 10%"); err != nil {
		t.Logf("this kernel has no netem (%v: %s): the box is compared with what is expected of it only", err, out)
		theirs = nil
	}
	const n = 3000
	check := func(name string, l *lane) {
		ways := l.send(n, 300, time.Millisecond/2)
		share, _ := losses(ways)
		least, middle := atLeast(ways)
		t.Logf("%s: %.2f %% lost, %v at least, %v in the middle", name, 100*share, least, middle)
		if math.Abs(share-loss) > 4*math.Sqrt(loss*(1-loss)/n) || least < delay || middle > delay+10*time.Millisecond {
			t.Errorf("%s: %.3f lost, %v to %v", name, share, least, middle)
		}
	}
	if theirs != nil {
		check("netem", theirs)
	}
	ours := newLane(t)
	ours.set(Up, impair.Config{Delay: delay, Loss: loss, Seed: 6})
	check("the box", ours)
}

func TestNothingIsWrittenDownUnasked(t *testing.T) {
	l := newLane(t)
	l.send(10, 100, time.Millisecond)
	if n := len(l.box.Records(Up)); n != 0 {
		t.Errorf("%d records", n)
	}
	l.box.Record()
	l.send(10, 100, time.Millisecond)
	all := l.box.Records(Up)
	if len(all) < 10 || all[0].Size == 0 || all[0].At.IsZero() {
		t.Errorf("%d records, %+v", len(all), all)
	}
}

func TestASetOrAPlanThatMakesNoSenseIsRefused(t *testing.T) {
	l := newLane(t)
	bad := impair.Config{Loss: 2}
	if l.box.Set(Up, bad) == nil || l.box.Plan(Down, time.Now(), impair.Step{Config: bad}) == nil {
		t.Error("a loss of 2 is taken")
	}
}
