package webhook

import (
	"testing"
	"time"
)

func BenchmarkConnectionEvent(b *testing.B) {
	e := connectionEvent(ConnectionUpdated)
	room := make([]byte, 0, 4096)
	b.ReportAllocs()
	for b.Loop() {
		room = e.Append(room[:0])
	}
	b.SetBytes(int64(len(room)))
}

func BenchmarkConnectionLog(b *testing.B) {
	l := ConnectionLog{Timestamp: time.Unix(0, 0), Media: everyParam, Client: Client{SoraClient: "Sora JavaScript SDK 2025.1.0"}, LocalStats: counted}
	room := make([]byte, 0, 4096)
	b.ReportAllocs()
	for b.Loop() {
		room = l.Append(room[:0])
	}
}

func BenchmarkParseAuthAnswer(b *testing.B) {
	body := []byte(allowedWith(`"client_id":"c","video_codec_type":"VP8","video_bit_rate":500,"audio":true,"metadata":{"a":1},"event_metadata":{"user":7}`))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ParseAuthAnswer(body); err != nil {
			b.Fatal(err)
		}
	}
}
