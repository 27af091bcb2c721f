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
