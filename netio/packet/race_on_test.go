//go:build race

package packet

// raceEnabled tells tests that count allocations that the race detector adds its own.
const raceEnabled = true
