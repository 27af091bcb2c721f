package load

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/pion/sdp/v3"

	"tsubame/bench/source"
	"tsubame/media/param"
)

// anOffer is what a server says to the second one who joins a room.
const anOffer = "v=0\r\no=- 967372099984238859 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\na=group:BUNDLE a v r\r\na=ice-lite\r\n" +
	"m=audio 9 UDP/TLS/RTP/SAVPF 111\r\nc=IN IP4 0.0.0.0\r\n" +
	"a=candidate:1 1 udp 2130706431 192.0.2.2 47817 typ host\r\n" +
	"a=candidate:2 1 udp 2130706430 192.0.2.3 47817 typ host\r\n" +
	"a=candidate:3 1 udp 2130706439 2001:db8::1 47817 typ host\r\n" +
	"a=candidate:4 1 tcp 2130706440 192.0.2.4 47817 typ host\r\n" +
	"a=ice-ufrag:AAAA0bclXR6h\r\na=ice-pwd:D9FR5b2xrmnINdQnyG+PHFyf\r\n" +
	"a=fingerprint:sha-256 40:5E:3B:3E:37:7E:7D:77:0F:91:54:B6:13:E4:F4:BD:AA:2D:30:B1:EF:D1:4D:73:60:8F:23:92:82:E8:F2:0E\r\n" +
	"a=setup:actpass\r\na=mid:a\r\n" +
	"a=extmap:1 urn:ietf:params:rtp-hdrext:ssrc-audio-level\r\na=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid\r\n" +
	"a=recvonly\r\na=rtcp-mux\r\na=rtcp-rsize\r\na=rtpmap:111 opus/48000/2\r\na=fmtp:111 minptime=10;useinbandfec=1\r\n" +
	"m=video 9 UDP/TLS/RTP/SAVPF 96 97 98 99\r\nc=IN IP4 0.0.0.0\r\na=mid:v\r\na=recvonly\r\n" +
	"a=extmap:3 http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01\r\n" +
	"a=rtpmap:96 VP8/90000\r\na=rtcp-fb:96 nack\r\na=rtcp-fb:96 nack pli\r\na=rtpmap:97 rtx/90000\r\na=fmtp:97 apt=96\r\n" +
	"a=rtpmap:98 VP9/90000\r\na=rtpmap:99 rtx/90000\r\na=fmtp:99 apt=98\r\n" +
	"m=video 9 UDP/TLS/RTP/SAVPF 96 97\r\nc=IN IP4 0.0.0.0\r\na=mid:r\r\na=sendonly\r\n" +
	"a=rtpmap:96 VP8/90000\r\na=rtcp-fb:96 nack\r\na=rtpmap:97 rtx/90000\r\na=fmtp:97 apt=96\r\n" +
	"a=ssrc-group:FID 1001 1002\r\na=ssrc:1001 cname:x\r\na=ssrc:1002 cname:x\r\n" +
	"m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\nc=IN IP4 0.0.0.0\r\na=mid:d\r\n"

func TestOfferIsRead(t *testing.T) {
	d, err := parseOffer(anOffer)
	if err != nil {
		t.Fatal(err)
	}
	if d.ufrag != "AAAA0bclXR6h" || d.password != "D9FR5b2xrmnINdQnyG+PHFyf" || len(d.fingerprints) != 1 || len(d.sections) != 4 {
		t.Errorf("transport %+v", d)
	}
	if want := netip.MustParseAddrPort("192.0.2.2:47817"); d.candidate != want {
		t.Errorf("candidate %v, want the best one of UDP over IPv4, %v", d.candidate, want)
	}
	audio, video, remote := d.sections[0], d.sections[1], d.sections[2]
	if audio.mid != "a" || audio.sends || !audio.takes || !audio.reduced || audio.extensions.AudioLevel != 1 || audio.extensions.MID != 4 {
		t.Errorf("audio %+v", audio)
	}
	if f := video.byCodec(param.VP9); f == nil || f.pt != 98 || f.rtx != 99 || f.nack {
		t.Errorf("VP9 is %+v", f)
	}
	if f := video.byCodec(param.VP8); f == nil || f.pt != 96 || f.rtx != 97 || !f.nack || !f.pli || video.extensions.TransportCC != 3 {
		t.Errorf("VP8 is %+v", f)
	}
	if remote.ssrc != 1001 || remote.rtxSSRC != 1002 || !remote.sends || remote.takes {
		t.Errorf("the server's section %+v", remote)
	}
	if !d.sections[3].rejected {
		t.Error("a section of data is taken up")
	}
}

func TestOffersWithoutATransportAreRefused(t *testing.T) {
	for _, line := range []string{"a=ice-ufrag", "a=ice-pwd", "a=fingerprint", "a=candidate:"} {
		var b strings.Builder
		for one := range strings.Lines(anOffer) {
			if !strings.HasPrefix(one, line) {
				b.WriteString(one)
			}
		}
		if _, err := parseOffer(b.String()); err == nil {
			t.Errorf("an offer without %s is taken", line)
		}
	}
}

// answerOf answers the offer as one who sends VP9.
func answerOf(t testing.TB) *sdp.SessionDescription {
	t.Helper()
	d, err := parseOffer(anOffer)
	if err != nil {
		t.Fatal(err)
	}
	from, err := source.Video(param.VP9, 500_000, 25, 1)
	if err != nil {
		t.Fatal(err)
	}
	s := &d.sections[1]
	p, err := newPublication(s, s.byCodec(param.VP9), from)
	if err != nil {
		t.Fatal(err)
	}
	l := local{session: 1, ufrag: "u", password: "p", fingerprint: "sha-256 00", cname: "c", receives: true, video: p}
	var out sdp.SessionDescription
	if err := out.UnmarshalString(l.answer(d)); err != nil {
		t.Fatal(err)
	}
	return &out
}

func TestAnswerHasTheSectionsOfTheOffer(t *testing.T) {
	a := answerOf(t)
	if bundle, _ := a.Attribute("group"); bundle != "BUNDLE a v r" {
		t.Errorf("group %q", bundle)
	}
	want := []struct{ mid, direction string }{{"a", "inactive"}, {"v", "sendonly"}, {"r", "recvonly"}}
	if len(a.MediaDescriptions) != 4 {
		t.Fatalf("%d sections of 4", len(a.MediaDescriptions))
	}
	for i, w := range want {
		m := a.MediaDescriptions[i]
		if mid, _ := m.Attribute("mid"); mid != w.mid {
			t.Errorf("section %d has mid %q", i, mid)
		}
		if _, ok := m.Attribute(w.direction); !ok {
			t.Errorf("section %s is not %s", w.mid, w.direction)
		}
	}
	if port := a.MediaDescriptions[3].MediaName.Port.Value; port != 0 {
		t.Errorf("the section of data has port %d", port)
	}
}

func TestAnswerSaysWhatTheClientSends(t *testing.T) {
	m := answerOf(t).MediaDescriptions[1]
	if got := strings.Join(m.MediaName.Formats, " "); got != "98 99" {
		t.Errorf("formats %q, want those of VP9 alone", got)
	}
	if group, _ := m.Attribute("ssrc-group"); !strings.HasPrefix(group, "FID ") {
		t.Errorf("ssrc-group %q", group)
	}
}

func FuzzParseOffer(f *testing.F) {
	f.Add(anOffer)
	f.Add("m=video\r\nm= 0\r\na=ssrc-group:FID 1\r\na=fmtp:97 apt=\r\na=candidate:1 1 udp")
	f.Fuzz(func(t *testing.T, text string) {
		d, err := parseOffer(text)
		if err != nil {
			return
		}
		l := local{receives: true}
		if text := l.answer(d); strings.Count(text, "\nm=") != len(d.sections) {
			t.Errorf("%d sections are answered by\n%s", len(d.sections), text)
		}
		var table ssrcTable
		p := &peer{}
		for i := range d.sections {
			if s := &d.sections[i]; !s.rejected {
				p.streams = append(p.streams, p.stream(nil, s))
			}
		}
		table.build(p.streams)
	})
}
