package recv

// Lacks reports whether the packet back places before the original seq is one that has not
// come. seq is that of a packet that is at hand, accepted or not; what it brings along fills a
// hole only where the stream, as it stands, would accept seq itself or has seen it: a number
// that would be a jump, or is below the window, says nothing of others, and neither does what
// is before the beginning of the stream.
func (s *Stream) Lacks(seq uint16, back int) bool {
	d := int(int16(seq-uint16(s.highest)-1)) + 1
	if !s.started || d > maxForward || d <= -WindowSize {
		return false
	}
	ext := s.highest + uint64(d) - uint64(back)
	switch {
	case ext < s.base:
		return false
	case ext > s.highest:
		return true
	}
	return s.highest-ext < WindowSize && !s.has(ext)
}
