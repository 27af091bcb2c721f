// Package edge is the media plane's outer face: datagrams on one side, signaling on the
// other.
//
// Plane is what signaling sees; its methods, and those of the Conns it opens, may be called
// from any control goroutine, may wait for room in a shard's control lane, and are never
// called from a shard. Behind it stands one shard for every netio shard: the Handler that
// owns the flow table, the connections that were adopted there and their share of the
// fan-out. Only its own goroutine touches a shard; what others want of it comes through
// six mailboxes, each with a bound and a rule for what happens there:
//
//	control   commands, keys, records of handshakes: never dropped, the sender waits
//	media     runs of packets and datagrams of roamed flows: dropped when full, counted
//	keyFrames one bit a track: latest state wins
//	ended     one bit a track: to drop its sinks, or to reap it; latest state wins
//	readable  one bit a stream: frames wait in it, or it is over
//	relays    one bit a connection: it has ended, and its TURN allocations with it, or some have given way
//
// The package never parses SDP, never blocks a shard and never reads a clock.
package edge

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"tsubame/media/dtls"
	"tsubame/media/ice"
	"tsubame/media/param"
	"tsubame/media/router"
	"tsubame/media/rtx"
	"tsubame/netio"
	"tsubame/netio/flow"
	"tsubame/netio/mono"
	"tsubame/netio/packet"
	"tsubame/netio/ring"
	"tsubame/turnsrv"
)

// ErrFull says that the plane holds as many connections or tracks as it may.
var ErrFull = errors.New("edge: no room for another connection or track")

// Config of a plane. Zero values take the defaults named.
type Config struct {
	Net            netio.Config
	MaxConnections int // 8192
	MaxTracks      int // 2 for each connection
	ControlLane    int // entries of a shard's control ring, 4096
	MediaLane      int // entries of a shard's media ring, 2048: what 100,000 packets a second bring in 100 ms
	Buffers        packet.Config
	RTX            rtx.Config
	DTLS           dtls.Config
	Turn           turnsrv.Config // without a realm it is "tsubame", without a secret it is drawn
	NoTURN         bool           // no TURN server, nor answers to STUN
	MaxStreams     int            // 4 for each connection: browsers keep one for each URL and interface
	FrameWindow    time.Duration  // how long a video packet may wait for the rest of its frame; 0: not at all
	NoPadding      bool           // do not bring the packets of a frame to one length
	NoParking      bool           // keep DTLS endpoints that have nothing to do
	SilentAfter    time.Duration  // when signaling is told that nothing comes from a peer any more; 0: never
	ConsentGrace   time.Duration  // how long a connection outlives its peer's consent
	KeyFrameCache  int            // bytes of each video track that are held for viewers who start; 0: none
	CacheAge       time.Duration  // how old the key frame may be that they start with, 10 s
	Log            *slog.Logger
}

// What a retransmission ring holds. A browser asks for a lost packet within a few round
// trips and gives up after about a second; 512 packets are that at 5 Mbps. A publisher of
// 1.5 Mbps fills 210 kB of buffers in that time.
const (
	rtxSlots = 512
	rtxAge   = 1000 * time.Millisecond
	rtxBytes = 2 << 20
)

func (c *Config) defaults() {
	if c.MaxConnections == 0 {
		c.MaxConnections = 8192
	}
	if c.MaxTracks == 0 {
		c.MaxTracks = 2 * c.MaxConnections
	}
	if c.MaxStreams == 0 {
		c.MaxStreams = 4 * c.MaxConnections
	}
	if c.Turn.Realm == "" {
		c.Turn.Realm = defaultRealm
	}
	if c.Turn.Allocations == 0 {
		// All flows may land on one shard. Browsers keep all allocations, whichever they use: one
		// for each URL and interface, five and more each.
		c.Turn.Allocations = 8 * c.MaxConnections
	}
	if c.Turn.Secret == [32]byte{} {
		rand.Read(c.Turn.Secret[:]) // never fails (crypto/rand)
	}
	if c.ControlLane == 0 {
		c.ControlLane = 4096
	}
	if c.MediaLane == 0 {
		c.MediaLane = 2048
	}
	if c.RTX.Slots == 0 {
		c.RTX = rtx.Config{Slots: rtxSlots, MaxAge: rtxAge, MaxBytes: rtxBytes}
	}
	c.cache()
	if c.Log == nil {
		c.Log = slog.Default()
	}
}

// Plane is the media plane of one process.
type Plane struct {
	cfg    Config
	log    *slog.Logger
	group  *netio.Group
	arena  *packet.Arena
	rings  *rtx.Pool
	tracks *router.Table
	dtls   *dtls.Server
	shards []*shard

	relayedTo []turnsrv.Address // by TURN: SetAddresses'

	slots []slot // by connection index
	free  *ring.IndexPool

	streams streams

	events     *ring.Flags // connections with an event that signaling has not been told
	wakeEvents *ring.Waker
	ended      atomic.Bool
	idle       dispatcher
}

// slot is one place for a connection. The serial tells a reused place from the one before.
type slot struct {
	conn    atomic.Pointer[Conn]
	serial  atomic.Uint32
	relayed atomic.Uint32 // serial of the last connection that ended with TURN allocations
}

// Open opens the sockets and starts the shards.
func Open(cfg Config) (*Plane, error) {
	cfg.defaults()
	group, err := netio.Open(cfg.Net)
	if err != nil {
		return nil, err
	}
	p, err := assemble(cfg, group.Shards(), netio.Now(), group.Waker)
	if err != nil {
		group.Stop()
		return nil, err
	}
	p.group = group
	p.idle.start(p.dispatch)
	for i, s := range p.shards {
		group.Start(i, s)
	}
	return p, nil
}

// assemble makes a plane of so many shards that nobody runs yet. Tests run them by hand.
func assemble(cfg Config, shards int, now mono.Time, waker func(int) *ring.Waker) (*Plane, error) {
	if len(cfg.Buffers.Classes) == 0 {
		h := packet.DefaultHolders(shards)
		h.RingEntries = cfg.MediaLane
		h.CacheSlots = max(cfg.RTX.Slots-h.VideoSlots, 0)
		cfg.Buffers = h.Config()
	}
	if shards > router.MaxShards {
		return nil, fmt.Errorf("edge: %d shards, but the most are %d: set shards", shards, router.MaxShards)
	}
	if cfg.MaxConnections > ice.MaxIndex+1 {
		return nil, fmt.Errorf("edge: %d connections, but a user fragment names at most %d: set max_connections",
			cfg.MaxConnections, ice.MaxIndex+1)
	}
	if cfg.MaxStreams > flow.MaxStreams {
		return nil, fmt.Errorf("edge: %d streams, but the most are %d: set max_connections", cfg.MaxStreams, flow.MaxStreams)
	}
	arena, err := packet.New(cfg.Buffers)
	if err != nil {
		return nil, fmt.Errorf("packet arena: %w", err)
	}
	server, err := dtls.NewServer(cfg.DTLS)
	if err != nil {
		return nil, fmt.Errorf("dtls: %w", err)
	}
	wake, err := ring.NewWaker()
	if err != nil {
		return nil, fmt.Errorf("event waker: %w", err)
	}
	p := &Plane{
		cfg: cfg, log: cfg.Log, arena: arena, dtls: server,
		rings:  rtx.NewPool(arena, cfg.MaxTracks, cfg.RTX),
		tracks: router.NewTable(cfg.MaxTracks),
		slots:  make([]slot, cfg.MaxConnections),
		free:   ring.NewIndexPool(cfg.MaxConnections),
		events: ring.NewFlags(cfg.MaxConnections), wakeEvents: wake,
		streams: newStreams(cfg.MaxStreams),
	}
	for i := range shards {
		p.shards = append(p.shards, newShard(p, i, shards, waker(i), now))
	}
	return p, nil
}

// Port returns the UDP port that everything runs over.
func (p *Plane) Port() int { return p.group.Port() }

// Shards returns how many shards there are.
func (p *Plane) Shards() int { return len(p.shards) }

// Fingerprint returns that of our certificate, for the SDP.
func (p *Plane) Fingerprint() param.Fingerprint { return p.dtls.Fingerprint() }

// LoadMeter returns a meter of the shards' load, for one goroutine.
func (p *Plane) LoadMeter() *netio.LoadMeter { return netio.NewLoadMeter(p.group) }

// Threads returns on how many threads the shards ride now (netio.Config.Share).
func (p *Plane) Threads() int { return p.group.Threads() }

// Close ends every connection, waits until the shards have seen them out or ctx ends, then
// stops the shards and gives back sockets and memory. Open may be called at the same time,
// and fails; no other method may be called after but Counters.
func (p *Plane) Close(ctx context.Context) error {
	p.ended.Store(true)
	for i := range p.slots {
		if c := p.slots[i].conn.Load(); c != nil {
			c.Close()
		}
	}
	waitErr := waitUntil(ctx, func() bool {
		return p.free.Free() == len(p.slots) && p.tracks.Free() == p.tracks.Len()
	})
	p.streams.close()
	p.group.Stop()
	for _, s := range p.shards {
		s.shutdown()
	}
	p.wakeEvents.Close()
	p.idle.wait()
	p.dtls.Wait()
	err := p.giveBack()
	if waitErr != nil {
		err = errors.Join(fmt.Errorf("media plane: connections left at shutdown: %w", waitErr), err)
	}
	return err
}

// giveBack returns the memory of packets, unless somebody is in the middle of one: a tap that
// is still read, or a connection that nobody saw out.
func (p *Plane) giveBack() error {
	outstanding, err := p.arena.Close()
	if outstanding > 0 {
		p.log.Warn("media plane: packets in use at shutdown", "buffers", outstanding)
		return nil
	}
	if err = errors.Join(err, p.rings.Release()); err != nil {
		return fmt.Errorf("media plane: giving memory back: %w", err)
	}
	return nil
}

// waitUntil polls done; it is for shutdown, where nobody wakes anybody.
func waitUntil(ctx context.Context, done func() bool) error {
	for tick := time.Millisecond; !done(); tick = min(2*tick, 50*time.Millisecond) {
		timer := time.NewTimer(tick)
		select {
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case <-timer.C:
		}
	}
	return nil
}

// dispatch runs on a goroutine of its own and tells signaling what happened.
func (p *Plane) dispatch() {
	for {
		i, ok := p.events.Next()
		if !ok {
			if !p.wakeEvents.Wait(func() bool { return !p.events.Empty() }) {
				return
			}
			continue
		}
		if c := p.slots[i].conn.Load(); c != nil {
			c.deliver()
		}
	}
}
