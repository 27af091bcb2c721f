//go:build race

package channel_test

// raceEnabled: everything takes some ten times as long, so that storms are smaller.
const raceEnabled = true
