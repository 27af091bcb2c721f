//go:build race

package rtx

// raceEnabled tells tests that count allocations that the race detector adds its own.
const raceEnabled = true
