package netem

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// mtu is that of the devices: the one of Ethernet.
const mtu = 1500

// TUN is a network device of which packets come to this process. It belongs to whoever opened
// it, until a Box takes it.
type TUN struct {
	fd   int
	name string
}

// OpenTUN makes a device of that name in the network namespace of the calling thread. It goes
// when it is closed. That needs CAP_NET_ADMIN and /dev/net/tun.
func OpenTUN(name string) (*TUN, error) {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("netem: /dev/net/tun: %w", err)
	}
	request, err := unix.NewIfreq(name)
	if err == nil {
		request.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
		err = unix.IoctlIfreq(fd, unix.TUNSETIFF, request)
	}
	if err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("netem: device %q: %w", name, err)
	}
	return &TUN{fd: fd, name: name}, nil
}

// Close removes the device.
func (t *TUN) Close() error { return unix.Close(t.fd) }

// read returns the length of the next packet, or 0 if none waits.
func (t *TUN) read(b []byte) (int, error) {
	for {
		n, err := unix.Read(t.fd, b)
		switch err {
		case nil:
			return n, nil
		case unix.EINTR:
		case unix.EAGAIN:
			return 0, nil
		default:
			return 0, fmt.Errorf("netem: reading from %s: %w", t.name, err)
		}
	}
}

// write hands a packet to the namespace, and says whether it was taken: a device that is down,
// and a packet that is none, take nothing.
func (t *TUN) write(b []byte) bool {
	for {
		_, err := unix.Write(t.fd, b)
		if err != unix.EINTR {
			return err == nil
		}
	}
}
