//go:build !race

package bwe

// raceEnabled says that the race detector runs: it allocates where the program does not.
const raceEnabled = false
