// Package count has the counters of the data plane: plain words with one writer each,
// stored atomically so that whoever scrapes may read them at any time.
//
// Only the goroutine that owns the structure a Word stands in may call Add; any goroutine
// may call Load. There is no read-modify-write on the bus, which is what makes counting
// every packet affordable.
package count

import "sync/atomic"

// Word is a counter with a single writer.
type Word struct{ n atomic.Uint64 }

// Add adds n. Only the owner may call it.
func (w *Word) Add(n uint64) { w.n.Store(w.n.Load() + n) }

// Inc adds one. Only the owner may call it.
func (w *Word) Inc() { w.Add(1) }

// Set stores n: for gauges. Only the owner may call it.
func (w *Word) Set(n uint64) { w.n.Store(n) }

// Load returns the value. Any goroutine may call it.
func (w *Word) Load() uint64 { return w.n.Load() }
