// Package prefetch asks the processor for memory that will be wanted soon, so that it is in
// the cache by then. A packet for a few thousand viewers touches some twenty cache lines of
// each, one behind the other, which are all in memory by the time the next packet comes.
//
// Asking is a hint: it never faults, never waits and changes nothing, so that any address
// may be named, also one beyond the end of an object. Any goroutine may call it.
package prefetch
