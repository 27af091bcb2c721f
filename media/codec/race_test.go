//go:build race

package codec

// raceEnabled: the race detector allocates on its own, so allocations are not counted.
const raceEnabled = true
