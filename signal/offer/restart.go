package offer

// Restart makes the next offer one that restarts ICE (RFC 8839 section 4.4.1.1): it names new
// credentials, and the candidates that hold now. There is a next offer from now on, even if the
// one before has yet to be answered.
func (s *State) Restart(ufrag, password string, candidates []string) {
	s.cfg.Ufrag, s.cfg.Password, s.cfg.Candidates = ufrag, password, candidates
	s.transport = transportLines(s.cfg)
	s.restart, s.stale = true, true
}
