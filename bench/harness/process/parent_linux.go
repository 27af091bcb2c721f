package process

import (
	"os/exec"
	"runtime"
	"syscall"
)

// dieWithParent ties the process to the calling thread, so that a test process
// that is killed (a timeout, say) leaves no server behind. The kernel sends the
// signal when the *thread* ends, so the goroutine keeps its thread until release.
// The process gets a group of its own: Ctrl-C in a terminal reaches this program
// alone, which then ends the server in order.
func dieWithParent(cmd *exec.Cmd) (release func()) {
	runtime.LockOSThread()
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	cmd.SysProcAttr.Setpgid = true
	return runtime.UnlockOSThread
}
