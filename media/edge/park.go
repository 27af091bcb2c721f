package edge

// park frees the DTLS endpoint of a connection whose peer has been heard: a packet of its
// media, or a report, decrypted. From then on DTLS has nothing to carry but the farewell, for
// which package dtls wakes the endpoint; no DataChannel is ever negotiated here.
func (s *shard) park(l *live) {
	if s.plane.cfg.NoParking || l.DTLS == nil {
		l.parked = true
		return
	}
	l.parked = l.DTLS.Park()
}
