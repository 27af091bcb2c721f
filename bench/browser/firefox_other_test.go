//go:build browser && !linux

package browser

import "syscall"

// dieWithThread does nothing where the kernel offers nothing.
func dieWithThread(*syscall.SysProcAttr) {}
