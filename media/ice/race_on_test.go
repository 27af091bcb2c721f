//go:build race

package ice

// raceEnabled: the race detector allocates, so allocation budgets say nothing under it.
const raceEnabled = true
