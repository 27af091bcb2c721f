package offer

import (
	"math/rand/v2"
	"testing"

	"github.com/pion/sdp/v3"

	"tsubame/media/param"
	"tsubame/signal/offer/offertest"
)

// seeded is a deterministic source of random bytes.
type seeded struct{ *rand.ChaCha8 }

func newSeeded(n byte) seeded { return seeded{rand.NewChaCha8([32]byte{n})} }

func testFingerprint(b byte) param.Fingerprint {
	f := param.Fingerprint{Algorithm: "sha-256", Value: make([]byte, 32)}
	for i := range f.Value {
		f.Value[i] = b
	}
	return f
}

func testConfig() Config {
	return Config{
		ConnectionID: "SELF", Fingerprint: testFingerprint(0xab), Ufrag: "srvU", Password: "serverpasswordserverpass",
		Candidates: []string{"1 1 udp 2130706431 192.0.2.1 3478 typ host", "2 1 udp 2130706175 192.0.2.2 3478 typ host"},
		Audio:      &OwnAudio{}, Video: &OwnVideo{Codec: param.VP8, Bitrate: 500_000}, Rand: newSeeded(1),
	}
}

func audioTrack(n uint32) Track {
	return Track{Kind: param.Audio, Codec: param.Opus, ID: param.TrackID{Index: n}}
}

func videoTrack(n uint32) Track {
	return Track{Kind: param.Video, Codec: param.VP8, ID: param.TrackID{Index: n}}
}

// pair is what a publisher sends.
func pair(n uint32) []Track { return []Track{audioTrack(2 * n), videoTrack(2*n + 1)} }

// peer answers offers as a browser does.
type peer struct{ offertest.Peer }

func parseOffer(t *testing.T, text string) *sdp.SessionDescription {
	t.Helper()
	var d sdp.SessionDescription
	if err := d.UnmarshalString(text); err != nil {
		t.Fatalf("the offer does not parse: %v\n%s", err, text)
	}
	return &d
}

func attribute(m *sdp.MediaDescription, key string) string {
	v, _ := m.Attribute(key)
	return v
}

// exchange runs one offer and its answer.
func (p *peer) exchange(t *testing.T, s *State) (string, Answer) {
	t.Helper()
	o := s.Offer()
	a, err := s.Answer(p.Answer(o))
	if err != nil {
		t.Fatalf("%v\n%s", err, o)
	}
	return o, a
}
