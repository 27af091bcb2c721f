package sora

import (
	"reflect"
	"testing"
)

// What the SDKs write if an application sets nothing, or all that it can: each has its own
// way with what is not set.
func TestConnectOfEverySDKIsRead(t *testing.T) {
	for name, c := range map[string]struct {
		frame string
		want  Connect
	}{
		"Android": {`{"type":"connect","role":"recvonly","channel_id":"c","metadata":{"k":null},"signaling_notify_metadata":{"n":1},"simulcast":false,
			"video":{"codec_type":"AV1"},"sora_client":"Sora Android SDK","libwebrtc":"M150","environment":"Android","sdp":"v=0\r\n",
			"data_channels":[{"label":"#x","direction":"sendonly","max_retransmits":3}],"signalingNotifyMetadata":{"n":1}}`,
			Connect{Role: RecvOnly, Audio: Audio{Enabled: true}, Video: Video{Enabled: true, CodecType: "AV1"},
				Metadata: []byte(`{"k":null}`), NotifyMetadata: []byte(`{"n":1}`), SoraClient: "Sora Android SDK", Libwebrtc: "M150", Environment: "Android",
				DataChannels: []DataChannel{{Label: "#x", Direction: "sendonly", Ordered: true, MaxPacketLifeTime: -1, MaxRetransmits: 3}}}},
		"C++ and Python": {`{"type":"connect","role":"sendrecv","channel_id":"c","sora_client":"Sora C++ SDK","libwebrtc":"M140","environment":"[x86_64]",
			"simulcast":false,"spotlight":false,"metadata":{"a":1E0},"video":true,"audio":{"opus_params":{}},"data_channel_signaling":false,
			"ignore_disconnect_websocket":false,"forwarding_filters":[{"rules":[]}]}`,
			Connect{Role: SendRecv, Audio: Audio{Enabled: true}, Video: Video{Enabled: true}, Metadata: []byte(`{"a":1E0}`),
				SoraClient: "Sora C++ SDK", Libwebrtc: "M140", Environment: "[x86_64]", DataChannelSignaling: False, IgnoreDisconnectWebSocket: False,
				ForwardingFilters: []ForwardingFilter{{Action: "block", Priority: DefaultPriority}}}},
		"Unity": {`{"type":"connect","role":"sendonly","channel_id":"c","video":{"bit_rate":300},"audio":false,
			"data_channels":[{"label":"#x","direction":"recvonly","ordered":true,"max_packet_life_time":0,"protocol":"","compress":false,"header":[]}]}`,
			Connect{Role: SendOnly, Video: Video{Enabled: true, BitRate: 300},
				DataChannels: []DataChannel{{Label: "#x", Direction: "recvonly", Ordered: true, MaxRetransmits: -1}}}},
		"iOS": {`{"type":"connect","role":"sendonly","channel_id":"c","sora_client":"Sora iOS SDK","environment":"iPhone\/18","multistream":true,
			"video":{"vp9_params":{},"h264_params":{"profile_level_id":"42e01f"}},"redirect":true}`,
			Connect{Role: SendOnly, Audio: Audio{Enabled: true}, SoraClient: "Sora iOS SDK", Environment: "iPhone/18", Redirect: true,
				Video: Video{Enabled: true, VP9: &VP9Params{-1}, H264: &H264Params{"42e01f", Unset}}}},
		"JavaScript": {`{"type":"connect","role":"sendrecv","channel_id":"c","audio":{},"video":{"codec_type":"","vp9_params":{"profile_id":0}},"sdp":"v=0\r\n",
			"metadata":"token","signaling_notify_metadata":null,"audio_streaming_language_code":"",
			"forwarding_filter":{"action":"block","rules":[[{"field":"kind","operator":"is_in","values":["audio"]}]]}}`,
			Connect{Role: SendRecv, Audio: Audio{Enabled: true}, Video: Video{Enabled: true, VP9: &VP9Params{0}},
				Metadata: []byte(`"token"`), NotifyMetadata: []byte("null"),
				ForwardingFilter: &ForwardingFilter{Action: "block", Priority: DefaultPriority, Rules: [][]ForwardingRule{{{"kind", "is_in", []string{"audio"}}}}}}},
		"Rust": {`{"type":"connect","channel_id":"c","role":"sendonly","audio":{"codec_type":"OPUS","bit_rate":6,"opus_params":{}},
			"video":{"codec_type":"H265","h265_params":{"level_id":"120","profile_id":1,"tier_flag":0,"tx_mode":"SRST"}}}`,
			Connect{Role: SendOnly, Audio: Audio{Enabled: true, CodecType: "OPUS", BitRate: 6},
				Video: Video{Enabled: true, CodecType: "H265", H265: &H265Params{120, 1, 0, "SRST", Unset}}}},
		"go-sora": {`{"type":"connect","role":"recvonly","channel_id":"c","metadata":{"signaling_key":"","turn_tcp_only":false,"turn_tls_only":false},
			"multistream":true,"simulcast":true,"audio":true,"video":null,"sora_client":"","environment":"Pion WebRTC on linux amd64"}`,
			Connect{Role: RecvOnly, Audio: Audio{Enabled: true}, Video: Video{Enabled: true}, Simulcast: true, Environment: "Pion WebRTC on linux amd64",
				Metadata: []byte(`{"signaling_key":"","turn_tcp_only":false,"turn_tls_only":false}`)}},
		"go-sora, with video": {`{"type":"connect","role":"sendonly","channel_id":"c","audio":false,"video":{"codec_type":"VP8","bitrate":500},
			"sora_client":"","environment":""}`,
			Connect{Role: SendOnly, Video: Video{Enabled: true, CodecType: "VP8"}}},
	} {
		c.want.ChannelID, c.want.Multistream = "c", true
		if got := *mustDecode(t, c.frame).Connect; !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s:\ngot  %+v\nwant %+v", name, got, c.want)
		}
	}
}
