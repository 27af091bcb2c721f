package recv

// Extend returns the extended number that the original seq has, or would have, and whether the
// stream would take it as it stands: it is neither a jump nor below the window. Before the
// first packet nothing is.
func (s *Stream) Extend(seq uint16) (ext uint64, ok bool) {
	d := int(int16(seq-uint16(s.highest)-1)) + 1
	return s.highest + uint64(d), s.started && d <= maxForward && d > -WindowSize
}

// Lacks reports whether the packet ext, a number near to one that Extend has returned, is one
// that has not come though the stream has begun, and that Receive would take as recovered.
func (s *Stream) Lacks(ext uint64) bool {
	switch {
	case !s.started || ext < s.base:
		return false
	case ext > s.highest:
		return ext-s.highest <= maxForward
	}
	return s.highest-ext < WindowSize && !s.has(ext)
}
