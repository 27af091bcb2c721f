package packet

// Close gives the memory back, if no buffer is in use; otherwise it stays as it is for as
// long as the arena does, because a slice into memory that is gone would end the process at
// once. It returns how many buffers are in use. Any goroutine may call it, when nobody works
// with buffers any more; Outstanding and Stats may be called after, all else panics.
func (a *Arena) Close() (outstanding int, err error) {
	if outstanding = a.Outstanding(); outstanding > 0 {
		return outstanding, nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, c := range a.classes {
		c.mu.Lock()
		c.heads, c.bytes, c.stack, c.fresh = nil, nil, nil, 0
		c.mu.Unlock()
	}
	return 0, a.slabs.Release()
}
