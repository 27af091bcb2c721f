package offer

import (
	"slices"

	"tsubame/media/param"
)

// Changed reports whether a new offer would differ from the last one. It is cheap unless
// something has happened since it was last asked.
func (s *State) Changed() bool {
	if s.stale {
		s.changed, s.stale = s.compare(), false
	}
	return s.changed
}

func (s *State) compare() bool {
	if s.version == 0 || s.restart {
		return true
	}
	for _, sec := range s.sections {
		if sec.offered && !sec.live() || sec.unsaid {
			return true
		}
	}
	for _, st := range s.waiting {
		if s.hasRoom(st.track) {
			return true
		}
	}
	return false
}

// Offered reports whether the last offer carried every stream of a connection that this
// client is to receive, as far as there is room for them.
func (s *State) Offered(owner string) bool {
	for _, st := range s.owners[owner] {
		if st.in == nil && !st.refused && s.hasRoom(st.track) {
			return false
		}
	}
	return true
}

// live reports whether the section is in use.
func (sec *section) live() bool {
	if sec.dead {
		return false
	}
	return sec.use != remote || sec.stream != nil
}

// free reports whether a new stream may take the section over: the client has been told
// that the old one is gone, and has answered.
func (s *State) free(sec *section) bool {
	return sec.use == remote && sec.stream == nil && !sec.offered && !s.outstanding
}

// hasRoom reports whether there is a payload type and a section for a track.
func (s *State) hasRoom(t Track) bool {
	f := s.numbers.find(t)
	if f == nil && !s.numbers.hasRoom(t.Codec, t.Params) {
		return false
	}
	if len(s.sections) < MaxSections {
		return true
	}
	if s.outstanding {
		return false
	}
	for _, sec := range s.sections {
		if sec.kind == t.Kind && s.free(sec) && (len(sec.formats) < maxFormats || slices.Contains(sec.formats, f)) {
			return true
		}
	}
	return false
}

// place gives every waiting stream a section while there are any. It is linear in the
// number of sections and streams: free sections are listed by format and by kind first,
// and one that was taken off one list is skipped on the others.
func (s *State) place() {
	if len(s.waiting) == 0 {
		return
	}
	for _, f := range s.numbers.formats {
		f.free = f.free[:0]
	}
	s.spare[0], s.spare[1] = s.spare[0][:0], s.spare[1][:0]
	// From the last to the first, since they are taken from the end.
	for i := len(s.sections) - 1; i >= 0; i-- {
		sec := s.sections[i]
		if !s.free(sec) {
			continue
		}
		for _, f := range sec.formats {
			f.free = append(f.free, sec)
		}
		if len(sec.formats) < maxFormats {
			l := s.spareOf(sec.kind)
			*l = append(*l, sec)
		}
	}
	kept := s.waiting[:0]
	for _, st := range s.waiting {
		if !s.put(st) {
			kept = append(kept, st)
		}
	}
	clear(s.waiting[len(kept):])
	s.waiting = kept
}

func (s *State) spareOf(k param.Kind) *[]*section {
	if k == param.Audio {
		return &s.spare[0]
	}
	return &s.spare[1]
}

// take returns the last section of a list that nobody has taken, or nil.
func take(list *[]*section) *section {
	for l := *list; len(l) > 0; l = *list {
		sec := l[len(l)-1]
		*list = l[:len(l)-1]
		if sec.stream == nil {
			return sec
		}
	}
	return nil
}

// put gives one stream a section, if there is one: of those that had its format, of the
// others, a new one. So lists of formats, and with them answers, stay short.
func (s *State) put(st *stream) bool {
	t := st.track
	f := s.numbers.find(t)
	var sec *section
	if f != nil {
		sec = take(&f.free)
	} else if !s.numbers.hasRoom(t.Codec, t.Params) {
		return false
	}
	if sec == nil {
		sec = take(s.spareOf(t.Kind))
	}
	if sec == nil && len(s.sections) == MaxSections {
		return false
	}
	if f == nil {
		f = s.numbers.add(t.Codec, t.Params)
	}
	if sec == nil {
		sec = s.add(remote, t.Kind, f)
	}
	sec.prefer(f)
	st.in, sec.stream, sec.heard = sec, st, 0
	sec.ssrc, sec.rtx = s.ssrc(), 0
	if f.rtx != 0 {
		sec.rtx = s.ssrc()
	}
	return true
}

// prefer moves or adds a format to the front of the section's list.
func (sec *section) prefer(f *format) {
	if i := slices.Index(sec.formats, f); i >= 0 {
		sec.formats = slices.Delete(sec.formats, i, i+1)
	}
	sec.formats = slices.Insert(sec.formats, 0, f)
}
