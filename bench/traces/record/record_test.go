package record

import (
	"os"
	"strings"
	"testing"
	"time"

	"tsubame/bench/traces"
)

// wirePacket is an IPv4 packet of 4 bytes of options with UDP to port 7 in it: RTP of type 96
// with marker, sequence number 5, timestamp 9, SSRC 3, one CSRC, and 4 bytes of extensions.
var wirePacket = []byte{
	0x46, 0, 0, 60, 0, 0, 0x40, 0, 64, 17, 0, 0, 127, 0, 0, 1, 127, 0, 0, 1, 1, 1, 1, 1,
	0x30, 0x39, 0, 7, 0, 36, 0, 0,
	0x91, 0xe0, 0, 5, 0, 0, 0, 9, 0, 0, 0, 3, 0, 0, 0, 4, 0xbe, 0xde, 0, 1, 0x10, 0xff, 0, 0,
	1, 2, 3, 4,
}

func TestPacketsAreReadFromTheWire(t *testing.T) {
	payload, ok := datagram(wirePacket)
	if !ok || len(payload) != 28 {
		t.Fatalf("%d bytes, %v", len(payload), ok)
	}
	p, ok := rtp(payload)
	if want := (Packet{Bytes: 28, Header: 24, PayloadType: 96, Marker: true, SequenceNumber: 5, Timestamp: 9, SSRC: 3}); !ok || p != want {
		t.Fatalf("%+v, %v", p, ok)
	}
}

func TestCutPacketsAreRefused(t *testing.T) {
	for n := range wirePacket {
		if b, ok := datagram(wirePacket[:n]); ok {
			t.Errorf("%d bytes of a packet are a datagram of %d", n, len(b))
		}
	}
	payload, _ := datagram(wirePacket)
	for n := range 24 {
		if p, ok := rtp(payload[:n]); ok {
			t.Errorf("%d bytes are %+v", n, p)
		}
	}
}

func TestWhatIsNoRTPIsRefused(t *testing.T) {
	change := func(at int, b byte) []byte {
		c := append([]byte(nil), wirePacket...)
		c[at] = b
		return c
	}
	for name, b := range map[string][]byte{
		"IPv6": change(0, 0x66), "TCP": change(9, 6), "a fragment": change(6, 0x20), "a later one": change(7, 1),
		"a UDP length beyond": change(29, 37), "a UDP length below": change(29, 7), "an IP header too short": change(0, 0x44),
	} {
		if p, ok := datagram(b); ok {
			t.Errorf("%s: %d bytes", name, len(p))
		}
	}
	for name, b := range map[string][]byte{"STUN": change(32, 0), "DTLS": change(32, 22), "RTCP": change(33, 200)} {
		payload, ok := datagram(b)
		if !ok {
			t.Fatal(name)
		}
		if p, ok := rtp(payload); ok {
			t.Errorf("%s: %+v", name, p)
		}
	}
}

// FuzzPacket reads any bytes.
func FuzzPacket(f *testing.F) {
	f.Add(wirePacket)
	f.Fuzz(func(t *testing.T, b []byte) {
		payload, ok := datagram(b)
		if !ok {
			return
		}
		if p, ok := rtp(payload); ok && (p.Bytes > len(b) || p.Header > p.Bytes) {
			t.Fatalf("%d bytes: %+v", len(b), p)
		}
	})
}

// sent is packets of two frames and a part of a third one behind a part of one, and sound.
func sent() []Packet {
	ms := func(n int) time.Duration { return time.Duration(n) * time.Millisecond }
	return []Packet{
		{At: ms(0), Bytes: 1000, Header: 28, PayloadType: 96, Marker: true, SequenceNumber: 65534, Timestamp: 1},
		{At: ms(1), Bytes: 100, Header: 28, PayloadType: 111, SequenceNumber: 1, Timestamp: 0},
		{At: ms(2), Bytes: 1001, Header: 28, PayloadType: 96, SequenceNumber: 65535, Timestamp: 2},
		{At: ms(3), Bytes: 1002, Header: 28, PayloadType: 96, Marker: true, SequenceNumber: 0, Timestamp: 2},
		{At: ms(4), Bytes: 500, Header: 28, PayloadType: 97, SequenceNumber: 7, Timestamp: 2},
		{At: ms(5), Bytes: 1001, Header: 28, PayloadType: 96, SequenceNumber: 65535, Timestamp: 2},
		{At: ms(6), Bytes: 900, Header: 28, PayloadType: 96, Marker: true, SequenceNumber: 1, Timestamp: 3},
		{At: ms(7), Bytes: 101, Header: 28, PayloadType: 111, SequenceNumber: 2, Timestamp: 960},
		{At: ms(8), Bytes: 900, Header: 28, PayloadType: 96, SequenceNumber: 2, Timestamp: 4},
	}
}

func TestTracesHaveWholeFramesOnceEach(t *testing.T) {
	var b strings.Builder
	if err := traces.Write(&b, Trace(sent(), 96, 111, 16)); err != nil {
		t.Fatal(err)
	}
	const want = `t_us,kind,bytes,marker,frame
0,a,90,0,0
1000,v,991,0,0
2000,v,992,1,0
5000,v,890,1,1
6000,a,91,0,1
`
	if b.String() != want {
		t.Fatalf("got\n%swant\n%s", b.String(), want)
	}
}

func TestTracesOfNothing(t *testing.T) {
	if tr := Trace(nil, 96, 111, 10); len(tr.Video)+len(tr.Audio) != 0 {
		t.Fatal(tr)
	}
	if s := Summarise(&traces.Trace{}); s != (Summary{}) {
		t.Fatal(s)
	}
}

func TestSummary(t *testing.T) {
	us := time.Microsecond
	s := Summarise(&traces.Trace{Video: []traces.Record{
		{At: 0, Bytes: 1000, Frame: 0},
		{At: 100 * us, Bytes: 1000, Frame: 0},
		{At: 200 * us, Bytes: 1001, Frame: 0},
		{At: 300 * us, Bytes: 990, Frame: 0, Marker: true},
		{At: 50_000 * us, Bytes: 700, Frame: 1, Marker: true},
		{At: 99_500 * us, Bytes: 800, Frame: 2},
		{At: 100_000 * us, Bytes: 800, Frame: 2, Marker: true},
	}})
	want := Summary{
		Bitrate: 6291 * 8 * 10, FPS: 20, Frames: 3, Packets: 7, PerFrame: [2]int{2, 4}, Run: [2]float64{7.0 / 5, 2}, Spread: 1,
		Short: [2]int{0, 11}, Span: [3]time.Duration{300 * us, 300 * us, 500 * us},
	}
	if s != want {
		t.Fatalf("%+v, want %+v", s, want)
	}
}

// What is kept in the package is in the table of its README, row by row.
func TestEveryTraceIsInTheTable(t *testing.T) {
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range traces.Names() {
		tr, err := traces.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		if row := Summarise(tr).Row(name); !strings.Contains(string(readme), row) {
			t.Errorf("README.md lacks\n%s", row)
		}
	}
}
