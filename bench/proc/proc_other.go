//go:build !linux

package proc

import (
	"runtime"
	"time"
)

// Of returns ErrNotLinux.
func Of(int) (Usage, error) { return Usage{}, ErrNotLinux }

// PSS returns ErrNotLinux.
func PSS(int) (uint64, error) { return 0, ErrNotLinux }

// Machine returns ErrNotLinux.
func Machine() (Times, error) { return Times{}, ErrNotLinux }

// Self returns ErrNotLinux.
func Self() (time.Duration, error) { return 0, ErrNotLinux }

// Thread returns ErrNotLinux.
func Thread() (time.Duration, error) { return 0, ErrNotLinux }

func kernel() string   { return runtime.GOOS }
func memory() uint64   { return 0 }
func cpuModel() string { return "" }
