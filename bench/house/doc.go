// Package house holds the rules of this repository that a machine can check, as
// tests: who may import whom, what the data plane may not use, that every package
// says what it is for, that every parser of network bytes is fuzzed, and which test
// shows which row of the list of threats (ROWS.md). It has no code of its own, and
// nothing imports it.
package house
