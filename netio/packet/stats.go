package packet

// Stats is what an arena tells about itself.
type Stats struct {
	Classes []ClassStats
	// Failures counts Gets that got nothing, by Priority.
	Failures [priorities]uint64
	// TooLong counts Gets of more bytes than the largest class has.
	TooLong uint64
	// Spilled counts Gets that were served from a larger class than would have done.
	Spilled uint64
}

// ClassStats tells about one size class.
type ClassStats struct {
	Size    int // bytes
	Count   int // buffers
	InUse   int // buffers with a reference
	Depot   int // free buffers that any shard can have; the rest is free in magazines
	Reserve int // of Depot, what Video cannot have
	Touched int // buffers that were ever handed out: what the class takes of the machine's memory
}

// Outstanding returns how many buffers are not free. It reads every header that was ever
// used, so it is for leak checks and scrapes, and exact when nobody works at the moment.
// Any goroutine may call it.
func (a *Arena) Outstanding() int {
	a.mu.Lock() // Close does not take the headers away under our hands
	defer a.mu.Unlock()
	sum := 0
	for _, c := range a.classes {
		sum += c.inUse()
	}
	return sum
}

// Stats returns the state of all classes and the counters of all magazines. Any goroutine
// may call it; it allocates.
func (a *Arena) Stats() Stats {
	a.mu.Lock()
	defer a.mu.Unlock()
	s := Stats{Classes: make([]ClassStats, len(a.classes))}
	for i, c := range a.classes {
		s.Classes[i] = ClassStats{
			Size: c.size, Count: c.count, InUse: c.inUse(),
			Depot: int(c.free.Load()), Reserve: int(c.reserve), Touched: c.touched(),
		}
	}
	for _, m := range a.magazines {
		for p := range m.failures {
			s.Failures[p] += m.failures[p].Load()
		}
		s.TooLong += m.tooLong.Load()
		s.Spilled += m.spilled.Load()
	}
	return s
}

func (c *class) inUse() int {
	c.mu.Lock()
	used := c.heads[:c.fresh]
	c.mu.Unlock()
	n := 0
	for i := range used {
		if used[i].refs.Load() > 0 {
			n++
		}
	}
	return n
}

func (c *class) touched() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.fresh
}
