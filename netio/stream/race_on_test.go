//go:build race

package stream

// raceEnabled tells tests that count allocations that the race detector adds its own.
const raceEnabled = true
