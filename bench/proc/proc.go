// Package proc reads what processes and the machine cost: CPU time and memory of another
// process by its id, of this one, and of all CPUs together, and what kind of machine it is.
// It reads the kernel's files of numbers and nothing else: it never signals, traces or changes
// a process. Every function may be called from any goroutine, and what is returned belongs to
// the caller. It works on Linux; elsewhere every reading fails with ErrNotLinux.
package proc

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// ErrNotLinux is the error of every reading on other systems.
var ErrNotLinux = errors.New("proc: CPU time and memory of processes are only read on Linux")

// tick is the unit of CPU times in /proc: USER_HZ, which is 100 a second on every
// architecture that Go runs on.
const tick = 10 * time.Millisecond

// Usage is what a process has used since its start.
type Usage struct {
	CPU     time.Duration // utime + stime of all its threads, in steps of 10 ms
	User    time.Duration // the part of it outside of the kernel
	Threads int
}

// Times are the CPU times of the whole machine since its start, all CPUs added up.
type Times struct {
	Busy   time.Duration // user, nice, system, irq and softirq
	Idle   time.Duration // idle and waiting for disks
	Stolen time.Duration // what the hypervisor gave to others
}

// parseStat reads /proc/PID/stat. The command's name, the second field, may hold spaces and
// parentheses; the fields behind the last closing one are numbers.
func parseStat(text string) (Usage, error) {
	end := strings.LastIndexByte(text, ')')
	if end < 0 {
		return Usage{}, errors.New("proc: stat without a command name")
	}
	const (
		utime   = 14 - 3 // proc_pid_stat(5) counts from 1, and two fields are before these
		stime   = 15 - 3
		threads = 20 - 3
	)
	fields := strings.Fields(text[end+1:])
	if len(fields) <= threads {
		return Usage{}, fmt.Errorf("proc: stat has %d fields behind the name, want more than %d", len(fields), threads)
	}
	user, err := ticks(fields[utime])
	if err != nil {
		return Usage{}, err
	}
	system, err := ticks(fields[stime])
	if err != nil {
		return Usage{}, err
	}
	n, err := strconv.Atoi(fields[threads])
	if err != nil {
		return Usage{}, fmt.Errorf("proc: number of threads: %w", err)
	}
	return Usage{CPU: user + system, User: user, Threads: n}, nil
}

func ticks(field string) (time.Duration, error) {
	n, err := strconv.ParseInt(field, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("proc: CPU time: %w", err)
	}
	return time.Duration(n) * tick, nil
}

// parseTimes reads the first line of /proc/stat. Time of guests is part of user and nice.
func parseTimes(text string) (Times, error) {
	line, _, _ := strings.Cut(text, "\n")
	fields := strings.Fields(line)
	if len(fields) < 8 || fields[0] != "cpu" {
		return Times{}, fmt.Errorf("proc: %q is not the sum of all CPUs", line)
	}
	var column [8]time.Duration // user nice system idle iowait irq softirq steal
	for i := range min(len(column), len(fields)-1) {
		d, err := ticks(fields[i+1])
		if err != nil {
			return Times{}, err
		}
		column[i] = d
	}
	return Times{
		Busy:   column[0] + column[1] + column[2] + column[5] + column[6],
		Idle:   column[3] + column[4],
		Stolen: column[7],
	}, nil
}

// sized returns the value of a line such as "Pss:   123 kB" in bytes.
func sized(text, name string) (uint64, error) {
	for line := range strings.Lines(text) {
		rest, ok := strings.CutPrefix(line, name+":")
		if !ok {
			continue
		}
		number, unit, _ := strings.Cut(strings.TrimSpace(rest), " ")
		n, err := strconv.ParseUint(number, 10, 53)
		if err != nil || unit != "kB" {
			return 0, fmt.Errorf("proc: %q is not a size in kB", strings.TrimSpace(line))
		}
		return n << 10, nil
	}
	return 0, fmt.Errorf("proc: no line %q", name)
}

// modelName finds the CPU's name in /proc/cpuinfo; "" where the kernel tells none, as on most
// ARM machines.
func modelName(text string) string {
	for line := range strings.Lines(text) {
		key, value, ok := strings.Cut(line, ":")
		if ok && strings.TrimSpace(key) == "model name" {
			return strings.Join(strings.Fields(value), " ")
		}
	}
	return ""
}
