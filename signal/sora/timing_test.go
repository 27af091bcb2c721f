package sora

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// browserSDP is about as long as the offer of a browser's probe: 6 KB of a few sections.
func browserSDP(lines int) string {
	var b strings.Builder
	b.WriteString("v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n")
	for i := range lines {
		fmt.Fprintf(&b, "a=fmtp:%d level-asymmetry-allowed=1;packetization-mode=1\r\n", i)
	}
	return b.String()
}

const (
	smallConnect = `{"type":"connect","role":"sendonly","channel_id":"room","multistream":true,"video":{"codec_type":"VP8","bit_rate":1000},"audio":true,"metadata":{"signaling_key":"0123456789abcdef"}}`
	sdkMembers   = `"sora_client":"Sora JavaScript SDK 2026.1.0","environment":"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36","role":"sendrecv","channel_id":"room","metadata":{"access_token":"eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.e30.ZRrHA1JJJW8opsbCGfG_HACGpVUMN_a9IV7pAx_Zmeo"},"signaling_notify_metadata":{"name":"n"},"audio":{"codec_type":"OPUS","bit_rate":96},"video":{"codec_type":"AV1","bit_rate":2500}}`
)

func statistics(size int) string {
	const report = `{"id":"RTCInboundRTPVideoStream_1234567890","type":"inbound-rtp","timestamp":1700000000000.123,"ssrc":1234567890,"kind":"video","bytesReceived":123456789,"packetsLost":-1,"frameWidth":1280,"decoderImplementation":"libvpx"}`
	return `{"type":"pong","stats":[` + strings.Repeat(report+",", size/len(report)) + report + `]}`
}

func BenchmarkDecode(b *testing.B) {
	sdp := string(AppendString(nil, browserSDP(100)))
	for _, c := range []struct{ name, frame string }{
		{"connect/small", smallConnect},
		{"connect/sdk", `{"type":"connect","sdp":` + sdp + `,` + sdkMembers},
		{"connect/everything", connectOfEverything},
		{"answer", `{"type":"answer","sdp":` + sdp + `}`},
		{"candidate", `{"type":"candidate","candidate":"candidate:1 1 udp 2130706431 10.0.0.1 9 typ host","sdpMid":"audio_x","sdpMLineIndex":0,"usernameFragment":"abcd"}`},
		{"pong/empty", `{"type":"pong"}`},
		{"pong/200KiB", statistics(200 << 10)},
	} {
		b.Run(c.name, func(b *testing.B) {
			frame := []byte(c.frame)
			b.SetBytes(int64(len(frame)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Decode(frame); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkAppend(b *testing.B) {
	sdp := browserSDP(100)
	offer := Offer{SDP: []byte(sdp), ChannelID: "room", ClientID: NewID(), BundleID: NewID(), ConnectionID: NewID(), SessionID: NewID(), Version: "1",
		AudioMID: "audio_AAAAAA", VideoMID: "video_AAAAAA", Audio: true, Video: true, AudioCodecType: "OPUS", VideoCodecType: "VP9"}
	notify := everyEvent(EventCreated)
	notify.Data = nil
	thousand := thousandMembers()
	for _, c := range []struct {
		name   string
		encode func(dst []byte) []byte
	}{
		{"offer", offer.Append},
		{"re-offer", func(dst []byte) []byte { return AppendReOffer(dst, []byte(sdp)) }},
		{"ping", func(dst []byte) []byte { return AppendPing(dst, false) }},
		{"notify", notify.Append},
		{"network.status", func(dst []byte) []byte { return AppendNetworkStatus(dst, time.Time{}, 1) }},
		{"created/1000", thousand.Append},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.SetBytes(int64(len(c.encode(nil))))
			b.ReportAllocs()
			for b.Loop() {
				c.encode(nil)
			}
		})
	}
}
