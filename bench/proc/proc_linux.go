package proc

import (
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Of returns the usage of the process pid.
func Of(pid int) (Usage, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return Usage{}, fmt.Errorf("proc: %w", err)
	}
	return parseStat(string(text))
}

// PSS returns the proportional set size of the process pid in bytes: its own memory, and its
// share of what it has in common with others. The kernel walks its page tables for it, which
// takes milliseconds for gigabytes. It needs the rights of the same user.
func PSS(pid int) (uint64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		return 0, fmt.Errorf("proc: %w", err)
	}
	return sized(string(text), "Pss")
}

// Machine returns the CPU times of the whole machine.
func Machine() (Times, error) {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return Times{}, fmt.Errorf("proc: %w", err)
	}
	return parseTimes(string(text))
}

// Self returns the CPU time of this process, to the microsecond.
func Self() (time.Duration, error) {
	return rusage(unix.RUSAGE_SELF)
}

// Thread returns the CPU time of the calling thread, to the microsecond. It means something
// between runtime.LockOSThread and UnlockOSThread.
func Thread() (time.Duration, error) {
	return rusage(unix.RUSAGE_THREAD)
}

func rusage(who int) (time.Duration, error) {
	var u unix.Rusage
	if err := unix.Getrusage(who, &u); err != nil {
		return 0, fmt.Errorf("proc: getrusage: %w", err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()), nil
}

// kernel returns the release of the kernel, "6.18.5".
func kernel() string {
	var name unix.Utsname
	if unix.Uname(&name) != nil {
		return ""
	}
	return unix.ByteSliceToString(name.Sysname[:]) + " " + unix.ByteSliceToString(name.Release[:])
}

// memory returns the bytes of memory the kernel has, 0 if it does not tell.
func memory() uint64 {
	text, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0
	}
	n, err := sized(string(text), "MemTotal")
	if err != nil {
		return 0
	}
	return n
}

func cpuModel() string {
	text, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(modelName(string(text)))
}
