package session

import "testing"

func TestRedundancyOfOpusIsOfferedAsConfigured(t *testing.T) {
	for _, on := range []bool{true, false} {
		s := &Session{cfg: &Config{OpusRED: on}}
		if got := s.offerConfig(Opened{}).RED; got != on {
			t.Errorf("configured %v, offered %v", on, got)
		}
	}
}
