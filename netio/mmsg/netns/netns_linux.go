package netns

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"
)

// Namespace is a network namespace that lives as long as one test.
type Namespace struct {
	t    testing.TB
	name string
}

var namespaces atomic.Uint32

// New makes a namespace with its loopback interface up and removes it when the test
// ends. The test fails, and is not skipped, where ip(8) or the right to use it is missing:
// what such a test shows would otherwise go unshown in silence.
func New(t testing.TB) *Namespace {
	t.Helper()
	if _, err := exec.LookPath("ip"); err != nil {
		t.Fatalf("this test makes a network namespace and needs ip(8); install it (Debian, Ubuntu: apt-get install iproute2): %v", err)
	}
	n := &Namespace{t: t, name: fmt.Sprintf("tsubame-%d-%d", os.Getpid(), namespaces.Add(1))}
	if out, err := exec.Command("ip", "netns", "add", n.name).CombinedOutput(); err != nil {
		t.Fatalf("this test makes a network namespace and needs the right to (root, or CAP_SYS_ADMIN and CAP_NET_ADMIN): ip netns add: %v: %s", err, out)
	}
	t.Cleanup(func() {
		if out, err := exec.Command("ip", "netns", "del", n.name).CombinedOutput(); err != nil {
			t.Errorf("ip netns del %s: %v: %s", n.name, err, out)
		}
	})
	n.IP("link set lo up")
	return n
}

// Name is what ip(8) calls the namespace.
func (n *Namespace) Name() string { return n.name }

// IP runs ip(8) with the space-separated arguments inside the namespace; an error fails the
// test.
func (n *Namespace) IP(args string) {
	n.t.Helper()
	argv := append([]string{"-n", n.name}, strings.Fields(args)...)
	if out, err := exec.Command("ip", argv...).CombinedOutput(); err != nil {
		n.t.Fatalf("ip %s: %v: %s", strings.Join(argv, " "), err, out)
	}
}

// Join connects two namespaces by a veth pair: dev in n, peerDev in peer, both up.
func (n *Namespace) Join(dev string, peer *Namespace, peerDev string) {
	n.t.Helper()
	n.IP(fmt.Sprintf("link add %s type veth peer name %s netns %s", dev, peerDev, peer.name))
	n.IP("link set " + dev + " up")
	peer.IP("link set " + peerDev + " up")
}

// Do runs f inside the namespace, on the calling goroutine. Sockets that f opens stay in the
// namespace whoever uses them later.
func (n *Namespace) Do(f func()) {
	n.t.Helper()
	runtime.LockOSThread()
	home, err := os.Open(fmt.Sprintf("/proc/self/task/%d/ns/net", unix.Gettid()))
	if err != nil {
		n.t.Fatal(err)
	}
	defer home.Close()
	away, err := os.Open("/run/netns/" + n.name)
	if err != nil {
		n.t.Fatal(err)
	}
	defer away.Close()
	if err := unix.Setns(int(away.Fd()), unix.CLONE_NEWNET); err != nil {
		n.t.Fatalf("entering namespace %s: %v", n.name, err)
	}
	defer func() {
		// A thread that cannot go home stays locked, so that it ends with this goroutine
		// and no other test runs on it.
		if err := unix.Setns(int(home.Fd()), unix.CLONE_NEWNET); err != nil {
			n.t.Errorf("leaving namespace %s: %v", n.name, err)
			return
		}
		runtime.UnlockOSThread()
	}()
	f()
}
