//go:build race

package mmsg

// raceEnabled: the race detector allocates on its own account.
const raceEnabled = true
