package netio

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"tsubame/netio/mmsg"
	"tsubame/netio/steer"
)

// logged returns a logger and what it wrote.
func logged() (*slog.Logger, *bytes.Buffer) {
	var out bytes.Buffer
	return slog.New(slog.NewTextHandler(&out, nil)), &out
}

func TestPortZeroIsOnePortForBothFamilies(t *testing.T) {
	eachPath(t, func(t *testing.T, plain bool) {
		g := open(t, Config{Shards: 1, Plain: plain})
		if g.Port() == 0 || g.Shards() != 1 {
			t.Fatalf("port %d, %d shards", g.Port(), g.Shards())
		}
		for _, p := range g.shards[0].ports {
			if int(p.socket.LocalPort()) != g.Port() {
				t.Errorf("a socket has port %d, the group %d", p.socket.LocalPort(), g.Port())
			}
		}
		if len(g.shards[0].ports) != 2 {
			t.Errorf("%d sockets", len(g.shards[0].ports))
		}
	})
}

// Row OPS-08.
func TestTakenPortIsNamedWithItsKey(t *testing.T) {
	eachPath(t, func(t *testing.T, plain bool) {
		holders := map[string]int{
			"another program on one address": addrPort(listen(t, loopback4)),
			"another program on IPv6":        addrPort(listen(t, loopback6)),
			"a server with one shard":        open(t, Config{Shards: 1}).Port(),
			"a server with several":          open(t, Config{Shards: defaultShards(), IPv4: true}).Port(),
		}
		for name, port := range holders {
			for _, shards := range []int{1, defaultShards()} {
				g, err := Open(Config{Port: port, IPv4: true, IPv6: true, Shards: shards, Plain: plain})
				if err == nil {
					g.Stop()
					t.Errorf("%s: its port was opened again by %d shards", name, shards)
					continue
				}
				if !errors.Is(err, unix.EADDRINUSE) || !strings.Contains(err.Error(), fmt.Sprint(port)) || !strings.Contains(err.Error(), "udp_port") {
					t.Errorf("%s: %v", name, err)
				}
			}
		}
	})
}

func addrPort(c *net.UDPConn) int { return int(addrOf(c).Port()) }

// defaultShards is more than one where there can be more than one.
func defaultShards() int {
	if multiShard {
		return 3
	}
	return 1
}

func TestImpossibleConfigsAreRefused(t *testing.T) {
	for _, c := range []Config{
		{Port: -1, IPv4: true}, {Port: 65536, IPv4: true}, {},
		{IPv4: true, Shards: -1}, {IPv4: true, Shards: maxShards + 1},
	} {
		if g, err := Open(c); err == nil {
			g.Stop()
			t.Errorf("%+v was opened", c)
		}
	}
}

// failOpen opens as the system does but fails where the errors say so.
func failOpen(errs func(o mmsg.Options) error) func(mmsg.Options) (mmsg.Socket, error) {
	return func(o mmsg.Options) (mmsg.Socket, error) {
		if err := errs(o); err != nil {
			return nil, err
		}
		return mmsg.Open(o)
	}
}

func TestErrorsAtOpenSayWhatToDo(t *testing.T) {
	for errno, hint := range map[unix.Errno]string{
		unix.EACCES: "udp_port", unix.EADDRINUSE: "udp_port", unix.EMFILE: "ulimit -n", unix.ENOMEM: "",
	} {
		_, err := Open(Config{Port: 443, IPv4: true, Shards: 1, open: failOpen(func(mmsg.Options) error {
			return os.NewSyscallError("bind", errno)
		})})
		if !errors.Is(err, errno) || !strings.Contains(err.Error(), "443") || !strings.Contains(err.Error(), hint) {
			t.Errorf("%v: %v", errno, err)
		}
	}
}

// Row OPS-06.
func TestMissingFamilyIsAWarningIfTheOtherIsThere(t *testing.T) {
	noIPv6 := failOpen(func(o mmsg.Options) error {
		if o.IPv6 {
			return unix.EAFNOSUPPORT
		}
		return nil
	})
	log, out := logged()
	g := open(t, Config{Shards: 1, Log: log, open: noIPv6})
	g.Start(0, &funcs{batch: echo})
	c, to := listen(t, loopback4), netip.AddrPortFrom(loopback4, uint16(g.Port()))
	send(t, c, to, "x")
	receive(t, c)
	if !strings.Contains(out.String(), "IPv6") || !strings.Contains(out.String(), "WARN") {
		t.Errorf("logged %q", out)
	}
	if _, err := Open(Config{IPv6: true, Shards: 1, Log: log, open: noIPv6}); !errors.Is(err, unix.EAFNOSUPPORT) {
		t.Errorf("with IPv6 alone: %v", err)
	}
}

// A port that is free for IPv4 only is not taken; the next attempt gets another one.
func TestPortZeroAvoidsPortsTakenInOneFamily(t *testing.T) {
	refused := map[uint16]bool{}
	g := open(t, Config{Shards: 1, open: failOpen(func(o mmsg.Options) error {
		if o.IPv6 && len(refused) < portAttempts-1 {
			if refused[o.Port] {
				t.Errorf("port %d was tried twice", o.Port)
			}
			refused[o.Port] = true
			return unix.EADDRINUSE
		}
		return nil
	})})
	if refused[uint16(g.Port())] || len(refused) != portAttempts-1 {
		t.Errorf("port %d after %d refusals", g.Port(), len(refused))
	}
	_, err := Open(Config{IPv4: true, IPv6: true, Shards: 1, open: failOpen(func(o mmsg.Options) error {
		if o.IPv6 {
			return unix.EADDRINUSE
		}
		return nil
	})})
	if !errors.Is(err, unix.EADDRINUSE) || !strings.Contains(err.Error(), "udp_port") {
		t.Errorf("no port at all: %v", err)
	}
}

func TestCappedBuffersAreOneWarningWithTheRemedy(t *testing.T) {
	log, out := logged()
	open(t, Config{Shards: defaultShards(), RecvBuffer: 1 << 30, SendBuffer: 1 << 29, Log: log, noForce: true})
	if n := strings.Count(out.String(), "WARN"); n != 1 {
		t.Errorf("%d warnings: %s", n, out)
	}
	for _, want := range []string{recvLimit + "=1073741824", sendLimit + "=536870912", "granted="} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not in %s", want, out)
		}
	}
}

func TestGrantedBuffersAreNoWarning(t *testing.T) {
	log, out := logged()
	open(t, Config{Shards: defaultShards(), RecvBuffer: 65536, SendBuffer: 65536, Log: log, noForce: true})
	if strings.Contains(out.String(), "level=WARN") {
		t.Errorf("logged %s", out)
	}
}

func TestUnsteeredGroupStillServes(t *testing.T) {
	for name, c := range map[string]Config{
		"by configuration": {NoSteering: true},
		"by the kernel":    {attach: func(int, []steer.Instruction) error { return unix.EPERM }},
	} {
		log, out := logged()
		c.Shards, c.Log = defaultShards(), log
		g := open(t, c)
		for i := range g.Shards() {
			g.Start(i, &funcs{batch: echo})
		}
		for range 50 {
			c := listen(t, loopback4)
			send(t, c, netip.AddrPortFrom(loopback4, uint16(g.Port())), "x")
			receive(t, c)
		}
		if multiShard && g.Steered() {
			t.Errorf("%s: says that it is steered", name)
		}
		if warned := strings.Contains(out.String(), "WARN"); multiShard && warned != (c.attach != nil) {
			t.Errorf("%s: logged %q", name, out)
		}
	}
}
