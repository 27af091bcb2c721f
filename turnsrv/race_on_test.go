//go:build race

package turnsrv

// raceEnabled: the race detector allocates, so allocation budgets say nothing under it.
const raceEnabled = true
