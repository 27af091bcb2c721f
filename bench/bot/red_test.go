package bot

import (
	"bytes"
	"encoding/hex"
	"testing"

	"tsubame/media/param"
)

func TestRedundantAudioCarriesThePacketsBefore(t *testing.T) {
	r := redundancy{levels: 2}
	for i, want := range []string{
		"6f" + "aa",
		"ef0f0001" + "6f" + "aa" + "bb",
		"ef1e0001" + "ef0f0001" + "6f" + "aa" + "bb" + "cc",
		"ef1e0001" + "ef0f0001" + "6f" + "bb" + "cc" + "dd",
	} {
		payload := []byte{0xaa + 0x11*byte(i)}
		got := r.wrap(111, uint32(960*i), payload)
		if hex.EncodeToString(got) != want {
			t.Fatalf("packet %d is %x, want %s", i, got, want)
		}
		primary, copies, ok := unwrap(got, 111, uint32(960*i))
		if !ok || !bytes.Equal(primary, payload) || len(copies) != min(i, 2) {
			t.Fatalf("packet %d: %x, %v, %v", i, primary, copies, ok)
		}
		for j, c := range copies {
			of := i - len(copies) + j
			if c.timestamp != uint32(960*of) || c.payload[0] != 0xaa+0x11*byte(of) {
				t.Errorf("packet %d, copy %d: %+v", i, j, c)
			}
		}
	}
	// What was too long ago cannot be said.
	if got := r.wrap(111, 960*3+maxRedOffset+1, []byte{1}); hex.EncodeToString(got) != "6f01" {
		t.Errorf("after a pause %x", got)
	}
}

func TestWhatIsNoRedundantAudioIsRefused(t *testing.T) {
	for _, s := range []string{"", "70aa", "ef0f0001", "ef0f00026faa", "f00f00016faabb"} {
		b, _ := hex.DecodeString(s)
		if primary, copies, ok := unwrap(b, 111, 0); ok {
			t.Errorf("%s: %x, %v", s, primary, copies)
		}
	}
}

func TestHearingKnowsWhatWasMissed(t *testing.T) {
	var h hearing
	if h.unheard() != 0 {
		t.Error("nothing was missed before anything was heard")
	}
	fresh := 0
	for c := uint64(10); c < 10+3*hearingWindow; c++ {
		if c%100 == 7 && c > 10 {
			continue // never
		}
		for range 2 { // each twice
			if h.note(stamp{source: 5, counter: c}) {
				fresh++
			}
		}
		if c%100 == 20 && h.note(stamp{source: 5, counter: c - 12}) {
			t.Errorf("%d again", c-12)
		}
	}
	if want := 3*hearingWindow - 61; fresh != want || h.unheard() != 61 {
		t.Errorf("%d heard, want %d; %d unheard", fresh, want, h.unheard())
	}
}

func TestABotTakesRedundancyOnlyIfItIsTold(t *testing.T) {
	const media = "m=audio 9 UDP/TLS/RTP/SAVPF 63 111\r\na=mid:0\r\na=rtpmap:63 red/48000/2\r\na=fmtp:63 111/111\r\na=rtpmap:111 opus/48000/2\r\na=sendonly\r\n"
	text := "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=ice-ufrag:abcd\r\na=ice-pwd:abcdefghijklmnopqrstuv\r\na=fingerprint:sha-256 00:11\r\n" + media
	for _, told := range []bool{true, false} {
		o, err := parseOffer(text)
		if err != nil {
			t.Fatal(err)
		}
		if !told {
			o.withoutRED()
		}
		s := &o.sections[0]
		r := newReceiver(s)
		m := (&answer{takes: true, senders: map[string]*sender{}}).section(s)
		if f := s.codecs[0]; len(s.codecs) != 1 || f.codec != param.Opus || (f.red == 63) != told || (r.redFormat(63) != nil) != told || (len(m.MediaName.Formats) == 2) != told {
			t.Errorf("told %v: %+v, answered %v", told, s.codecs, m.MediaName.Formats)
		}
	}
}
