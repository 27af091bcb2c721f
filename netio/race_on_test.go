//go:build race

package netio

// raceEnabled: the race detector allocates on its own account.
const raceEnabled = true
