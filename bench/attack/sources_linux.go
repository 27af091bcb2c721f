package attack

import (
	"net/netip"

	"golang.org/x/sys/unix"
)

// sourceControls returns, for each source, the control message that makes the kernel send
// from it (IP_PKTINFO). Every address of 127.0.0.0/8 is ours to send from, so that one
// socket makes as many sources as it likes.
func sourceControls(sources []netip.Addr) ([][]byte, error) {
	out := make([][]byte, len(sources))
	for i, a := range sources {
		if err := checkTarget(a); err != nil {
			return nil, err
		}
		out[i] = unix.PktInfo4(&unix.Inet4Pktinfo{Spec_dst: a.Unmap().As4()})
	}
	return out, nil
}
