//go:build !linux

package stream

import "net"

// tune does nothing where the kernel's queue cannot be kept short.
func tune(net.Conn) {}
