package webhook

// LocalStats are what the server has counted of a connection.
type LocalStats struct {
	Received, Sent Traffic
	ICE            ICEDurations
	// Detail is everything that was counted, these included, as connection statistics are laid
	// out: an object of groups of numbers. nil: nothing but these was.
	Detail Detail
}

// Traffic is what one direction of a connection has carried.
type Traffic struct {
	Bytes, Packets uint64 // of payload of UDP or TCP, whatever it was
}

// Detail is what can be written as JSON.
type Detail interface {
	AppendJSON(dst []byte) []byte // appends one object, in one line
}

// Append appends the statistics to dst as an object.
func (s *LocalStats) Append(dst []byte) []byte {
	if s.Detail != nil {
		return s.Detail.AppendJSON(dst)
	}
	w := writer{b: dst}
	w.begin()
	w.open("rtp")
	w.count("total_received_bytes", s.Received.Bytes)
	w.count("total_received_packets", s.Received.Packets)
	w.count("total_sent_bytes", s.Sent.Bytes)
	w.count("total_sent_packets", s.Sent.Packets)
	w.close()
	w.open("ice")
	w.milliseconds("total_checking_duration_ms", s.ICE.Checking)
	w.milliseconds("total_disconnected_duration_ms", s.ICE.Disconnected)
	w.close()
	w.close()
	return w.b
}
