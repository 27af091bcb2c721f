package configs

import "time"

// notYet is why a key has no effect whose feature does not exist here.
func notYet(feature string) string { return "yet (" + feature + ")" }

// removed is why a key has no effect that Sora knows no longer either.
func removed(in string) string { return "any longer (Sora " + in + " has removed it)" }

// secondsOrInterval is how the times of recording are given.
var secondsOrInterval = kind[time.Duration]{
	parse: func(v string) (time.Duration, error) {
		if n, err := decimal(v, 0, maxRecordingSeconds); err == nil {
			return time.Duration(n) * time.Second, nil
		}
		return intervalOrZero("1 s", "24 h").parse(v)
	},
	format: formatInterval,
}

// maxRecordingSeconds is a day.
const maxRecordingSeconds = 86400

// idleKeys are keys of a sora.conf that nothing here follows. They are accepted, with a warning
// where the value asks for something.
var idleKeys = []key{
	idle("license_file", "", file, "(no licence is needed)"),
	idle("api_port", "", port, notYet("the HTTP API")),
	idle("api_loopback_address_only", "", boolean, notYet("the HTTP API")),
	idle("api_cors_origin", "", origin, notYet("the HTTP API")),

	idle("default_data_channel_signaling", "false", boolean, notYet("DataChannel signaling")),
	idle("default_ignore_disconnect_websocket", "false", boolean, notYet("DataChannel signaling")),
	idle("data_channel_signaling_close_message", "false", boolean, notYet("DataChannel signaling")),
	idle("data_channel_messaging", "false", boolean, notYet("DataChannel messaging")),
	idle("data_channel_rpc", "false", boolean, notYet("RPC over DataChannels")),

	idle("simulcast", "false", boolean, notYet("simulcast")),
	idle("spotlight", "false", boolean, notYet("spotlight")),
	idle("spotlight_number", "", integer(1, 8), notYet("spotlight")),

	idle("whip", "false", boolean, notYet("WHIP")),
	idle("whep", "false", boolean, notYet("WHEP")),

	idle("archive_dir", "", file, notYet("recording")),
	idle("archive_tmp_dir", "", file, notYet("recording")),
	idle("recording_max_expire_time", "", secondsOrInterval, notYet("recording")),
	idle("recording_max_split_duration", "", secondsOrInterval, notYet("recording")),
	idle("recording_dual_output", "false", boolean, notYet("recording")),
	idle("default_recording_format", "", oneOf("webm", "mp4"), notYet("recording")),
	idle("legacy_recording", "false", boolean, removed("2025.2")),

	idle("audio_streaming_url", "", httpURL, notYet("audio streaming")).holdsPassword(),
	idle("audio_streaming_header", "false", boolean, notYet("audio streaming")),
	idle("audio_streaming_tls_fullchain_file", "", file, notYet("audio streaming")).holds(certificateChain),
	idle("audio_streaming_tls_privkey_file", "", file, notYet("audio streaming")).holds(privateKey),
	idle("audio_streaming_tls_verify_cacert_file", "", file, notYet("audio streaming")).holds(authorities),

	idle("cluster", "false", boolean, notYet("clusters")),
	idle("external_signaling_url", "", wsURL, notYet("clusters")),
	idle("external_api_url", "", httpURL, notYet("clusters")),
	idle("cluster_listen_min_port", "", port, notYet("clusters")),
	idle("cluster_listen_max_port", "", port, notYet("clusters")),

	idle("legacy_auth_webhook_log", "false", boolean, removed("2024.2")),
	idle("legacy_event_webhook_connection_destroyed_reason", "false", boolean, removed("2024.2")),
	idle("allow_client_id_assignment", "", boolean, "any longer (it is called signaling_client_id now)"),
}
