package harness

import (
	"os/exec"
	"runtime"
	"syscall"
)

// dieWithParent ties the process to the calling thread, so that a test process
// that is killed (a timeout, say) leaves no server behind. The kernel sends the
// signal when the *thread* ends, so the goroutine keeps its thread until release.
func dieWithParent(cmd *exec.Cmd) (release func()) {
	runtime.LockOSThread()
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	return runtime.UnlockOSThread
}
