package srtp

// Stream is what a session remembers of one SSRC that it sends.
type Stream struct {
	owner  *Session // nil once removed
	ssrc   uint32
	window window
}

// AddStream returns the state for sending with ssrc. If that SSRC has sent in this session
// before, its indices go on from Next: all below are refused. It returns nil if the SSRC is in
// use or MaxLocalSSRCs have sent in this session.
func (s *Session) AddStream(ssrc uint32) *Stream {
	if _, live := s.streams[ssrc]; live {
		return nil
	}
	next, retired := s.retired[ssrc]
	if !retired && len(s.streams)+len(s.retired) >= MaxLocalSSRCs {
		return nil
	}
	st := &Stream{owner: s, ssrc: ssrc}
	if retired {
		delete(s.retired, ssrc)
		st.window.reset(next)
	}
	s.streams[ssrc] = st
	return st
}

// RemoveStream forgets st but for the highest index that it sealed. Nothing can be sealed with
// st afterwards. Removing nil or twice does nothing.
func (s *Session) RemoveStream(st *Stream) {
	if st == nil || st.owner != s {
		return
	}
	st.owner = nil
	delete(s.streams, st.ssrc)
	if next := st.window.next; next > 0 {
		s.retired[st.ssrc] = next
	}
}

// SSRC returns the stream's SSRC.
func (st *Stream) SSRC() uint32 { return st.ssrc }

// Next returns the lowest index that no packet of this SSRC can have used yet.
func (st *Stream) Next() uint64 { return st.window.next }

// window knows which indices have been used: all below next-SealWindow count as used, above it
// a bit tells. It is plain data: a copy goes on where the original stood.
type window struct {
	next uint64                  // the highest index used, plus one; 0: none yet
	used [SealWindow / 64]uint64 // bit index%SealWindow, for the last SealWindow indices
}

// reset makes all indices below next used.
func (w *window) reset(next uint64) {
	w.next = next
	for i := range w.used {
		w.used[i] = ^uint64(0)
	}
}

// admit marks index as used and reports whether it was not.
func (w *window) admit(index uint64) bool {
	word, bit := &w.used[index/64%uint64(len(w.used))], uint64(1)<<(index%64)
	if index < w.next {
		if w.next-index > SealWindow || *word&bit != 0 {
			return false
		}
		*word |= bit
		return true
	}
	w.skip(index)
	w.next = index + 1
	*word |= bit
	return true
}

// skip clears the places of the indices from next to index, which have not been used.
func (w *window) skip(index uint64) {
	if index-w.next >= SealWindow {
		w.used = [SealWindow / 64]uint64{}
		return
	}
	for i := w.next; i <= index; i++ {
		w.used[i/64%uint64(len(w.used))] &^= 1 << (i % 64)
	}
}
