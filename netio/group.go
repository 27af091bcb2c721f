package netio

import (
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"tsubame/netio/mmsg"
	"tsubame/netio/ring"
	"tsubame/netio/steer"
)

const (
	// defaultBuffer is what a socket asks for in each direction. The kernel accounts about
	// 2.3 kB for a datagram of 1200 bytes and grants twice what is asked, so this holds some
	// 3,600 of them: 40 ms of 1 Gbit/s, which is longer than a shard is ever away.
	defaultBuffer = 4 << 20

	maxShards = 256

	// portAttempts is how often Open tries when it may choose the port itself and the one
	// that was free for IPv4 was not for IPv6.
	portAttempts = 16
)

// Config says what Open opens. The zero value of a field is its default, but for the
// families, of which there has to be one.
type Config struct {
	Port       int          // UDP; 0: any that is free in both families
	IPv4, IPv6 bool         // the families to serve
	Shards     int          // default: GOMAXPROCS on Linux, 1 elsewhere
	RecvBuffer int          // bytes a socket; default 4 MiB
	SendBuffer int          // bytes a socket; default 4 MiB
	Plain      bool         // portable system calls only
	NoSteering bool         // leave the choice of the shard to the kernel's own hash
	NoGSO      bool         // send each datagram by itself
	Share      bool         // shards share threads while the load is low, see Group.Threads
	CPUs       []int        // thread i runs on CPUs[i % len] only; empty: wherever the system likes
	Log        *slog.Logger // default: slog.Default()

	// Wrap, for tests, may put something between a shard and each of its sockets.
	Wrap func(shard int, s mmsg.Socket) mmsg.Socket

	// Tests replace these, to see what an ordinary user or another system would.
	noForce bool // respect the system's buffer limits even as root
	open    func(mmsg.Options) (mmsg.Socket, error)
	attach  func(fd int, program []steer.Instruction) error
}

func (c Config) withDefaults() Config {
	if c.Shards == 0 {
		c.Shards = 1
		if multiShard {
			c.Shards = min(runtime.GOMAXPROCS(0), maxShards)
		}
	}
	if c.RecvBuffer == 0 {
		c.RecvBuffer = defaultBuffer
	}
	if c.SendBuffer == 0 {
		c.SendBuffer = defaultBuffer
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	if c.open == nil {
		c.open = mmsg.Open
	}
	if c.attach == nil {
		c.attach = steer.Attach
	}
	return c
}

func (c Config) check() error {
	switch {
	case c.Port < 0 || c.Port > 65535:
		return fmt.Errorf("udp_port: %d is not a port, which is 0 to 65535", c.Port)
	case !c.IPv4 && !c.IPv6:
		return errors.New("neither IPv4 nor IPv6 is to be served")
	case c.Shards < 1 || c.Shards > maxShards:
		return fmt.Errorf("shards: %d is not in 1 to %d", c.Shards, maxShards)
	case c.Shards > 1 && !multiShard:
		return fmt.Errorf("shards: %d need Linux; on this system there is 1", c.Shards)
	}
	return nil
}

// Group is all the shards of one port. Its methods belong to the control plane, any goroutine
// of it.
type Group struct {
	config  Config
	port    int
	steered bool
	shards  []*shard
	threads []*thread // as many; shard i begins on thread i

	started  atomic.Int32 // shards
	riding   atomic.Int32 // threads in use
	balancer *balancer    // nil: shards stay where they begin
	stop     atomic.Bool
	running  sync.WaitGroup
	stopOnce sync.Once
}

// Open opens the sockets of all shards, in order, and then steers: a socket that joined later
// would move flows. It starts nothing. What the system denies but the server can do without
// (larger buffers, steering, the second family) is logged as a warning; the error says what
// to do.
func Open(c Config) (*Group, error) {
	c = c.withDefaults()
	if err := c.check(); err != nil {
		return nil, err
	}
	families, port, err := openFamilies(c)
	if err != nil {
		return nil, err
	}
	g := &Group{config: c, port: port, steered: true}
	g.warnOfSmallBuffers(families[0].sockets[0].FD())
	if c.Shards > 1 {
		g.steered = !c.NoSteering && g.steer(families)
	}
	if err := g.makeShards(families); err != nil {
		return nil, err
	}
	g.logOffloads()
	return g, nil
}

// family is the sockets of one address family, by shard.
type family struct {
	of      steer.Family
	sockets []mmsg.Socket
}

func (f family) close() {
	for _, s := range f.sockets {
		s.Close()
	}
}

// openFamilies opens all sockets, and chooses the port if it is left to us. An attempt whose
// port was free in one family only is kept until the end, so that the next one finds another.
func openFamilies(c Config) (families []family, port int, err error) {
	for range portAttempts {
		families, port, err = openPort(c)
		if err == nil {
			return families, port, nil
		}
		defer closeAll(families)
		if c.Port != 0 || !errors.Is(err, unix.EADDRINUSE) {
			return nil, 0, err
		}
	}
	return nil, 0, fmt.Errorf("no UDP port is free for all families; name one with udp_port: %w", err)
}

// openPort opens all sockets on c.Port or, if that is 0, on what the kernel gives the first.
// One family may be missing from the system if the other is there. What it returns is open
// also beside an error.
func openPort(c Config) (families []family, port int, err error) {
	port = c.Port
	var missing error
	for _, of := range []steer.Family{steer.IPv4, steer.IPv6} {
		if of == steer.IPv4 && !c.IPv4 || of == steer.IPv6 && !c.IPv6 {
			continue
		}
		f, err := openFamily(c, of, port)
		if errors.Is(err, unix.EAFNOSUPPORT) {
			missing = err
			c.Log.Warn("this system does not have an address family that was asked for", "family", of.String(), "error", err)
			continue
		}
		if err != nil {
			return families, 0, err
		}
		families = append(families, f)
		port = int(f.sockets[0].LocalPort())
	}
	if len(families) == 0 {
		return nil, 0, missing
	}
	return families, port, nil
}

func closeAll(families []family) {
	for _, f := range families {
		f.close()
	}
}

// openFamily opens one socket for each shard; their order is their number in the program.
func openFamily(c Config, of steer.Family, port int) (family, error) {
	f := family{of: of}
	for i := range c.Shards {
		o := mmsg.Options{
			IPv6: of == steer.IPv6, Port: uint16(port), Plain: c.Plain, NoGSO: c.NoGSO,
			RecvBuffer: c.RecvBuffer, SendBuffer: c.SendBuffer, NoForce: c.noForce,
		}
		switch {
		case c.Shards == 1:
			o.Membership = mmsg.Alone
		case i == 0:
			o.Membership = mmsg.First
		default:
			o.Membership = mmsg.Next
		}
		s, err := c.open(o)
		if err != nil {
			f.close()
			return family{}, openError(of, port, err)
		}
		port = int(s.LocalPort())
		f.sockets = append(f.sockets, s)
	}
	return f, nil
}

// openError says what an operator can do about it.
func openError(of steer.Family, port int, err error) error {
	switch {
	case errors.Is(err, unix.EADDRINUSE):
		return fmt.Errorf("UDP port %d (%v) is taken by another program: stop that one, or set udp_port to another port: %w", port, of, err)
	case errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM):
		return fmt.Errorf("UDP port %d (%v) may not be opened by this user: set udp_port to one above 1023, or grant CAP_NET_BIND_SERVICE: %w", port, of, err)
	case errors.Is(err, unix.EMFILE), errors.Is(err, unix.ENFILE):
		return fmt.Errorf("UDP port %d (%v): too few file descriptors; raise the limit (ulimit -n): %w", port, of, err)
	}
	return fmt.Errorf("UDP port %d (%v): %w", port, of, err)
}

// steer attaches the programs and reports whether the whole group is steered. Without, the
// kernel spreads datagrams by a hash of its own: all works, but most are handed from shard to
// shard.
func (g *Group) steer(families []family) bool {
	for _, f := range families {
		if err := g.config.attach(f.sockets[0].FD(), steer.Program(f.of, g.config.Shards)); err != nil {
			g.config.Log.Warn("datagrams cannot be steered to their shards; the kernel spreads them instead, which costs speed",
				"family", f.of.String(), "shards", g.config.Shards, "error", err)
			return false
		}
	}
	return true
}

// warnOfSmallBuffers says once what the kernel did not grant; all sockets fare alike.
func (g *Group) warnOfSmallBuffers(fd int) {
	recv, send, err := mmsg.BufferSizes(fd)
	if err != nil {
		g.config.Log.Warn("the sizes of the UDP socket buffers are unknown", "error", err)
		return
	}
	var args []any
	fix := "sysctl -w"
	if recv < g.config.RecvBuffer {
		args = append(args, "recv_asked", g.config.RecvBuffer, "recv_granted", recv)
		fix += fmt.Sprintf(" %s=%d", recvLimit, g.config.RecvBuffer)
	}
	if send < g.config.SendBuffer {
		args = append(args, "send_asked", g.config.SendBuffer, "send_granted", send)
		fix += fmt.Sprintf(" %s=%d", sendLimit, g.config.SendBuffer)
	}
	if args != nil {
		g.config.Log.Warn("the kernel caps the UDP socket buffers, so bursts will be lost; raise its limit", append(args, "fix", fix)...)
	}
}

// makeShards hands the sockets out. It owns them, also if it fails.
func (g *Group) makeShards(families []family) error {
	c := g.config
	for i := range c.Shards {
		var sockets []mmsg.Socket
		for _, f := range families {
			s := f.sockets[i]
			if c.Wrap != nil {
				s = c.Wrap(i, s)
			}
			sockets = append(sockets, s)
		}
		s, err := newShard(i, c.Log, sockets)
		if err != nil {
			for _, f := range families {
				family{sockets: f.sockets[i+1:]}.close()
			}
			g.Stop()
			return err
		}
		g.shards = append(g.shards, s)
	}
	if err := g.makeThreads(); err != nil {
		g.Stop()
		return err
	}
	return nil
}

// makeThreads starts nothing yet.
func (g *Group) makeThreads() error {
	c := g.config
	for i := range c.Shards {
		cpu := -1
		if len(c.CPUs) > 0 {
			cpu = c.CPUs[i%len(c.CPUs)]
		}
		t, err := newThread(i, cpu, c.Plain, c.Log, g.shards, &g.stop)
		if err != nil {
			return err
		}
		g.threads = append(g.threads, t)
	}
	g.riding.Store(int32(c.Shards))
	return nil
}

// Shards returns the number of shards.
func (g *Group) Shards() int { return g.config.Shards }

// Port returns the UDP port, the one that was found if Config left it open.
func (g *Group) Port() int { return g.port }

// Steered reports whether a datagram arrives at the shard that steer.ShardOf names.
func (g *Group) Steered() bool { return g.steered }

// Waker returns what wakes shard i: to be called after something was put into its rings. It
// may be used after Stop, to no effect.
func (g *Group) Waker(i int) *ring.Waker { return g.shards[i].waker }

// Start runs h on shard i until Stop. It panics on a second Start of a shard. With Config.Share
// the shards may share threads from the time when all are started.
func (g *Group) Start(i int, h Handler) {
	s := g.shards[i]
	if !s.started.CompareAndSwap(false, true) {
		panic(fmt.Sprintf("netio: shard %d was started before", i))
	}
	s.handler = h
	g.running.Go(func() { g.threads[i].run(s) })
	if int(g.started.Add(1)) == len(g.shards) && g.config.Share && len(g.shards) > 1 {
		g.balancer = newBalancer(g)
		go g.balancer.run()
	}
}

// Stop ends every shard after a last HandleMessages and the sending of what is queued, which
// takes milliseconds, then closes the sockets and wakers. It returns when all of that is done,
// also to a second caller. It must not run at the same time as Start.
func (g *Group) Stop() {
	g.stopOnce.Do(func() {
		if g.balancer != nil {
			g.balancer.end() // a shard between two threads would be lost
		}
		g.stop.Store(true)
		for _, t := range g.threads {
			t.waker.Wake()
		}
		g.running.Wait()
		for _, t := range g.threads {
			t.close()
		}
		for _, s := range g.shards {
			s.close()
		}
	})
}

// Stats returns what shard i did so far. Any goroutine may call it, also after Stop.
func (g *Group) Stats(i int) Stats { return g.shards[i].stats() }
