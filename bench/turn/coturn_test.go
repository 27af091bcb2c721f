package turn

import (
	"context"
	"net"
	"os/exec"
	"strconv"
	"strings"
	"testing"
)

// coturn's client sends to a peer and waits for what comes back. Ours is the only peer that it
// may send to, and no echo: so it shows how another implementation than pion's reads our
// answers to Allocate, Refresh, CreatePermission and ChannelBind, that its
// indications reach us, and that it can end in order. It cannot show data coming back.
//
// It throws dice: every other Allocate asks for an even port, which we do not have (508), and
// three of four channels are those of RFC 5766 that RFC 8656 took back (400). It gives up then,
// at once, and is started again.

// coturn runs the client, to the given port of ours as its peer, again and again until accept
// is true of its output.
func (w *world) coturn(v way, peerPort int, accept func(output string) bool, args ...string) {
	w.t.Helper()
	program, err := exec.LookPath("turnutils_uclient")
	if err != nil {
		w.t.Fatal("turnutils_uclient is not installed: it comes with the package coturn (make deps)")
	}
	within := within(w.t)
	for output := ""; ; {
		as := w.connect()
		_, port, err := net.SplitHostPort(w.address(as, v))
		if err != nil {
			w.t.Fatal(err)
		}
		all := append([]string{"-v", "-c", "-n", "2", "-p", port, "-u", as.Username, "-w", as.Credential,
			"-e", server4.String(), "-r", strconv.Itoa(peerPort)}, args...)
		switch v.carrier {
		case "tcp":
			all = append(all, "-t")
		case "tls":
			all = append(all, "-t", "-S", "-E", w.chain)
		}
		output = run(within, program, append(all, v.server().String())...)
		if accept(output) {
			return
		}
		leave(w.t, as.bot) // and with it what is left of its allocations
		if within.Err() != nil {
			w.t.Fatalf("the last output of many:\n%s", output)
		}
	}
}

// run returns the output of a program and how it ended.
func run(ctx context.Context, program string, args ...string) string {
	out, err := exec.CommandContext(ctx, program, args...).CombinedOutput()
	if err != nil {
		return string(out) + "\n" + err.Error()
	}
	return string(out) + "\nended well"
}

// phases reports whether an output has all of them, in this order.
func phases(output string, all ...string) bool {
	for _, phase := range all {
		_, after, ok := strings.Cut(output, phase)
		if !ok {
			return false
		}
		output = after
	}
	return true
}

func TestCoturnAllocatesRefreshesAndIsPermitted(t *testing.T) {
	t.Parallel()
	for _, v := range coturnWays {
		t.Run(v.String(), func(t *testing.T) {
			t.Parallel()
			w := start(t, nil)
			w.coturn(v, w.UDPPort(), func(output string) bool {
				return phases(output, "Received relay addr: "+server4.String(), "refresh response received", "success",
					"create perm sent", "cp response received", "success", "tot_send_msgs=2", "ended well")
			}, "-s")
			w.waitGrown("turn_release", 1) // its end
			w.requireGrown("turn_indication", 2)
			if w.grown("turn_challenge") == 0 || w.grown("turn_"+v.carrier+"_in") == 0 {
				t.Error("nothing was shown")
			}
		})
	}
}

// It binds a channel to the port above its peer's, refreshes it, and then binds one to the peer,
// whose port is none of the server's.
func TestCoturnBindsAChannel(t *testing.T) {
	t.Parallel()
	for _, v := range coturnWays {
		t.Run(v.String(), func(t *testing.T) {
			t.Parallel()
			w := start(t, nil)
			w.coturn(v, w.UDPPort()-1, func(output string) bool {
				return phases(output, "cb response received", "success: 0x4", "cb response received", "success: 0x4", "channel bind: error 403")
			})
			if w.grown("turn_channel_bind") < 2 || w.grown("turn_forbidden") != 1 {
				t.Error("nothing was shown")
			}
		})
	}
}

// coturnWays are by what it comes.
var coturnWays = []way{overUDP, overTCP, overTLS}
