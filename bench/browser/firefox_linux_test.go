//go:build browser

package browser

import "syscall"

// dieWithThread makes the kernel kill the process when the thread that starts it
// ends, so that a test process that is killed (a timeout, say) leaves no browser.
func dieWithThread(attr *syscall.SysProcAttr) { attr.Pdeathsig = syscall.SIGKILL }
