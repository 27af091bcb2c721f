package offer

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"tsubame/signal/offer/offertest"
)

// forget makes the next answer one of which every section is read.
func (s *State) forget() {
	for _, sec := range s.sections {
		sec.heard = 0
	}
}

// known returns which sections of an answer would not be read again.
func known(t *testing.T, s *State, answer string) (out []bool) {
	t.Helper()
	p, err := s.parse(answer)
	if err != nil {
		t.Fatal(err)
	}
	defer p.done()
	for i := range p.media {
		out = append(out, p.media[i].known)
	}
	return out
}

func TestSectionsThatSayWhatTheySaidAreNotReadAgain(t *testing.T) {
	s, p := New(testConfig()), new(peer)
	s.SetRemote("A", pair(1))
	if got := known(t, s, p.Answer(s.Offer())); slices.Contains(got, true) {
		t.Errorf("of the first answer: %v", got)
	}
	s.outstanding = false
	p.exchange(t, s)
	s.SetRemote("B", pair(2))
	// Two own sections, which publications are made of, A's, and those of B, who is new.
	if got := known(t, s, p.Answer(s.Offer())); !slices.Equal(got, []bool{false, false, true, true, false, false}) {
		t.Errorf("of the second: %v", got)
	}
}

func TestASectionThatSaysSomethingElseIsRead(t *testing.T) {
	s, p := New(testConfig()), new(peer)
	s.SetRemote("A", pair(1))
	_, a := p.exchange(t, s)
	s.SetRemote("B", pair(2))
	// One byte of A's video.
	p.Edit = func(mid string, lines []string) []string {
		if mid != a.Subscribe[1].MID {
			return lines
		}
		return append(lines, "a=x")
	}
	if got := known(t, s, p.Answer(s.Offer())); !slices.Equal(got, []bool{false, false, true, false, false, false}) {
		t.Errorf("got %v", got)
	}
}

// The answer for a section that another stream has taken over can be the same text, and means
// that other stream.
func TestTheSameAnswerForAnotherStreamIsRead(t *testing.T) {
	s, p := New(testConfig()), new(peer)
	s.SetRemote("A", pair(1))
	p.exchange(t, s)
	before := p.Answer(string(s.appendSDP(nil)))
	s.SetRemote("A", nil)
	p.exchange(t, s)
	s.SetRemote("B", pair(2))
	text := p.Answer(s.Offer())
	if before[strings.Index(before, "m="):] != text[strings.Index(text, "m="):] {
		t.Fatal("the answers differ")
	}
	a, err := s.Answer(text)
	if err != nil || len(a.Subscribe) != 2 || a.Subscribe[0].Track.Index != 4 {
		t.Errorf("error %v, subscriptions %+v", err, a.Subscribe)
	}
}

// A section that is not read has to be bundled all the same.
func TestASectionThatIsNotReadHasToBeBundled(t *testing.T) {
	s, p := New(testConfig()), new(peer)
	s.SetRemote("A", pair(1))
	_, a := p.exchange(t, s)
	s.SetRemote("B", pair(2))
	p.Session = func(lines []string) []string {
		for i, l := range lines {
			if strings.HasPrefix(l, "a=group") {
				lines[i] = strings.Replace(l, " "+a.Subscribe[1].MID, "", 1)
			}
		}
		return lines
	}
	if _, err := s.Answer(p.Answer(s.Offer())); err == nil || !strings.Contains(err.Error(), "not bundled") {
		t.Errorf("error %v", err)
	}
}

// Whatever happens, whoever reads nothing twice concludes what one who reads everything does.
func TestNothingIsMissedByWhatIsNotRead(t *testing.T) {
	read := 0
	for seed := range uint64(60) {
		r := rand.New(rand.NewPCG(seed, 1))
		a, b := New(testConfig()), New(testConfig()) // of one seed: they say the same
		still, decline := map[string]bool{}, map[string]bool{}
		p := offertest.Peer{Still: still, Decline: decline}
		for range 40 {
			owner, tracks := fmt.Sprint("P", r.IntN(6)), pair(r.Uint32N(4))
			if r.IntN(3) == 0 {
				tracks = nil
			}
			if r.IntN(4) == 0 {
				sec := a.sections[r.IntN(len(a.sections))]
				still[sec.mid] = !still[sec.mid]
			}
			if r.IntN(8) == 0 {
				sec := a.sections[r.IntN(len(a.sections))]
				decline[sec.mid] = !decline[sec.mid] && sec.use == remote
			}
			if x, y := a.SetRemote(owner, tracks), b.SetRemote(owner, tracks); !slices.Equal(x, y) {
				t.Fatalf("seed %d: %v and %v", seed, x, y)
			}
			offered := a.Offer()
			if b.Offer() != offered {
				t.Fatalf("seed %d: they offer something else", seed)
			}
			answer := p.Answer(offered)
			for _, k := range known(t, a, answer) {
				if k {
					read++
				}
			}
			b.forget()
			x, err1 := a.Answer(answer)
			y, err2 := b.Answer(answer)
			if err1 != nil || err2 != nil || !reflect.DeepEqual(x, y) {
				t.Fatalf("seed %d: %+v, %v\n%+v, %v", seed, x, err1, y, err2)
			}
		}
	}
	if read < 1000 {
		t.Errorf("only %d sections were known", read)
	}
}
