package edge

import "sync"

// dispatcher owns the one goroutine that the plane starts.
type dispatcher struct{ wg sync.WaitGroup }

func (d *dispatcher) start(f func()) { d.wg.Go(f) }
func (d *dispatcher) wait()          { d.wg.Wait() }
