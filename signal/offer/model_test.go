package offer

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"

	"tsubame/media/param"
	"tsubame/signal/offer/offertest"
)

// choices are the decisions of one history; when they are used up it ends.
type choices []byte

func (c *choices) n(n int) int {
	if len(*c) == 0 {
		return 0
	}
	b := (*c)[0]
	*c = (*c)[1:]
	return int(b) % n
}

// modelVideo are the formats that publishers of a history have.
var modelVideo = []Track{
	{Codec: param.VP8}, {Codec: param.VP9}, {Codec: param.VP9, Params: VP9Params(2)}, {Codec: param.AV1},
	{Codec: param.AV1, Params: "tier=0; profile=0; level-idx=5"}, {Codec: param.AV1, Params: AV1Params(1, 8, 0)},
	{Codec: param.H264}, {Codec: param.H264, Params: H264Params("640028")}, {Codec: param.H264, Params: H264Params("42e034")},
	{Codec: param.H265}, {Codec: param.H265, Params: H265Params(120, 1, 0, "")},
}

// model is a viewer's connection beside the plainest account of what it should get.
type model struct {
	t        *testing.T
	c        choices
	s        *State
	b        offertest.Browser
	lacks    [6]bool // by codec
	index    uint32
	wanted   map[string]Track // by msid
	offered  map[string]Track // what was wanted when the offer was made
	declined map[Track]bool
	active   map[uint32]param.Subscribe
	offer    string // outstanding
	// videoOnly: it sends H.265 and nothing else, if it has that.
	videoOnly bool
}

func newModel(t *testing.T, data []byte) *model {
	m := &model{t: t, c: data, wanted: map[string]Track{}, declined: map[Track]bool{}, active: map[uint32]param.Subscribe{}}
	cfg := testConfig()
	switch m.c.n(6) {
	case 1:
		cfg.Audio.Stereo = "1"
	case 2:
		v := modelVideo[m.c.n(len(modelVideo))]
		cfg.Video.Codec, cfg.Video.Params = v.Codec, v.Params
	case 3:
		cfg.Audio, cfg.Video = nil, nil
	case 4:
		cfg.Audio, cfg.Video, cfg.PlaceholderVideo = nil, nil, true
	case 5:
		cfg.Audio, cfg.Video.Codec = nil, param.H265
		m.videoOnly = true
	}
	cfg.RED, m.b.NoRED = m.c.n(2) == 1, m.c.n(3) == 1
	m.s = New(cfg)
	if m.videoOnly {
		// Without H.265 there is no connection but for somebody's sound.
		t := audioTrack(1)
		m.index, m.wanted["P0 P0-audio"] = 1, t
		m.s.SetRemote("P0", []Track{t})
	}
	for i := range m.lacks {
		m.lacks[i] = m.c.n(4) == 0
	}
	m.b.Backwards, m.b.Single = m.c.n(2) == 1, m.c.n(3) == 1
	m.b.Supports = func(name, params string) bool {
		for i, e := range encodings {
			if e.name == name {
				// A section has to be taken, or there is no connection.
				return name == "opus" || !m.videoOnly && name == cfgName(cfg) || !m.lacks[i]
			}
		}
		return false
	}
	m.b.Decline = func(mid string) bool {
		needed := m.b.Anchor
		switch {
		case needed != "":
		case m.videoOnly:
			needed = m.s.sections[1].mid
		default:
			needed = m.s.sections[0].mid
		}
		return mid != needed && m.c.n(12) == 1
	}
	return m
}

func cfgName(cfg Config) string {
	switch {
	case cfg.Audio != nil:
		return ""
	case cfg.Video != nil:
		return encodingOf(cfg.Video.Codec).name
	}
	return "VP8"
}

// publish changes what one owner publishes.
func (m *model) publish() {
	owner := fmt.Sprint("P", m.c.n(8))
	var tracks []Track
	for _, k := range []param.Kind{param.Audio, param.Video} {
		id := owner + " " + owner + "-" + k.String()
		old, had := m.wanted[id]
		switch m.c.n(4) {
		case 0:
			delete(m.wanted, id)
		case 1:
			if had {
				tracks = append(tracks, old)
			}
		default:
			t := Track{Kind: k, Codec: param.Opus}
			if k == param.Video {
				t = modelVideo[m.c.n(len(modelVideo))]
				t.Kind = k
			}
			m.index++
			t.ID.Index = m.index
			tracks = append(tracks, t)
			m.wanted[id] = t
		}
	}
	m.unsubscribe(m.s.SetRemote(owner, tracks))
}

func (m *model) unsubscribe(ssrcs []uint32) {
	for _, n := range ssrcs {
		if _, ok := m.active[n]; !ok {
			m.t.Fatalf("SSRC %d is not subscribed", n)
		}
		delete(m.active, n)
	}
}

func (m *model) makeOffer() {
	m.offer = m.s.Offer()
	m.offered = map[string]Track{}
	for id, t := range m.wanted {
		m.offered[id] = t
	}
}

func (m *model) answer() {
	text, err := m.b.Answer(m.offer)
	if err != nil {
		m.t.Fatalf("the browser refuses: %v\n%s", err, m.offer)
	}
	for _, r := range m.b.Sections {
		// The format of the stream is the first of the offer, wherever it is in the answer.
		if t, ok := m.offered[r.MSID]; ok && r.Live && !(r.Accepted && slices.ContainsFunc(r.Taken, like(r.Formats[0]))) {
			m.declined[t] = true
		}
	}
	a, err := m.s.Answer(text)
	if err != nil {
		m.t.Fatalf("%v\n%s", err, text)
	}
	m.offer = ""
	m.unsubscribe(a.Unsubscribe)
	for _, sub := range a.Subscribe {
		if _, ok := m.active[sub.SSRC]; ok {
			m.t.Fatalf("SSRC %d is subscribed twice", sub.SSRC)
		}
		m.active[sub.SSRC] = sub
	}
}

// like reports whether a format carries what another does: the same profile of a codec.
func like(a offertest.Format) func(offertest.Format) bool {
	return func(b offertest.Format) bool { return profile(a) == profile(b) }
}

func profile(f offertest.Format) string {
	for _, name := range []string{"profile-id=", "profile-level-id=", "profile="} {
		if _, v, ok := strings.Cut(f.Params, name); ok {
			return f.Name + v[:1]
		}
	}
	return f.Name
}

func (m *model) step() {
	switch {
	case m.offer != "" && m.c.n(2) == 0:
		m.answer()
	case m.offer == "" && m.c.n(2) == 0 && m.s.Changed():
		m.makeOffer()
	default:
		m.publish()
	}
}

// settle exchanges offers until there is nothing to offer.
func (m *model) settle() {
	for i := 0; m.offer != "" || m.s.Changed(); i++ {
		if i > 20 {
			m.t.Fatal("there is always something to offer")
		}
		if m.offer == "" {
			m.makeOffer()
		}
		m.answer()
	}
}

// check holds the end state to what is wanted.
func (m *model) check() {
	byTrack := map[uint32]param.Subscribe{}
	for _, sub := range m.active {
		byTrack[sub.Track.Index] = sub
	}
	expected := 0
	for id, t := range m.wanted {
		if m.declined[t] {
			continue
		}
		expected++
		sub, ok := byTrack[t.ID.Index]
		if !ok {
			m.t.Fatalf("%s %+v is not received", id, t)
		}
		i := slices.IndexFunc(m.b.Sections, func(r *offertest.Received) bool { return r.MID == sub.MID })
		r := m.b.Sections[i]
		e := encodingOf(t.Codec)
		f := r.Formats[0]
		params := t.Params
		if params == "" {
			params = e.usual
		}
		if r.MSID != id || !r.Live || r.SSRC != strconv.Itoa(int(sub.SSRC)) || sub.Codec != t.Codec || f.Name != e.name ||
			canonical(f.Params) != canonical(params) {
			m.t.Fatalf("track %+v\nsubscribed as %+v\nsection %+v", t, sub, r)
		}
		// What the client takes may be the same profile at another level, under its number.
		taken := slices.IndexFunc(r.Taken, func(g offertest.Format) bool { return g.Type == strconv.Itoa(int(sub.PayloadType)) })
		if taken < 0 || !like(f)(r.Taken[taken]) {
			m.t.Fatalf("track %+v\nsubscribed as %+v\nsection %+v", t, sub, r)
		}
		f = r.Taken[taken]
		if e.rtx != 0 && (r.RTX != strconv.Itoa(int(sub.RTXSSRC)) || f.RTX != strconv.Itoa(int(sub.RTXType))) {
			m.t.Fatalf("retransmissions of %+v\nsection %+v", sub, r)
		}
		if red := f.RED; sub.REDType != 0 && (m.b.NoRED || red != strconv.Itoa(int(sub.REDType))) || sub.REDType == 0 && red != "" && !m.b.NoRED {
			m.t.Fatalf("redundancy of %+v\nsection %+v", sub, r)
		}
	}
	if expected != len(m.active) {
		m.t.Fatalf("%d streams received, %d wanted\nreceived %+v\nwanted %+v\ndeclined %+v", len(m.active), expected, m.active, m.wanted, m.declined)
	}
	for _, r := range m.b.Sections {
		if _, ok := m.wanted[r.MSID]; r.Accepted && r.SSRC != "" && !ok {
			m.t.Fatalf("section %+v is not wanted", r)
		}
	}
}

func runHistory(t *testing.T, data []byte) {
	m := newModel(t, data)
	m.makeOffer()
	m.answer()
	for len(m.c) > 0 {
		m.step()
	}
	m.settle()
	m.check()
}

func TestAnyHistoryEndsWithWhatIsWanted(t *testing.T) {
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 1))
		data := make([]byte, 20+r.IntN(500))
		for i := range data {
			data[i] = byte(r.Uint32())
		}
		if !t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) { runHistory(t, data) }) {
			return
		}
	}
}

func FuzzHistory(f *testing.F) {
	f.Add([]byte("a channel of publishers that come and go"))
	f.Add([]byte{0, 1, 1, 1, 1, 1, 1, 0, 0, 1, 0, 2, 3, 1, 0, 0, 1, 0, 0, 0})
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) <= 2000 {
			runHistory(t, data)
		}
	})
}
