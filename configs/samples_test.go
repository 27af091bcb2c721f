package configs

import (
	"maps"
	"slices"
	"strings"
	"testing"
)

// samples are values that a key can have and that are not its default. Booleans have the other
// one.
var samples = map[string][]string{
	"label":                                  {"", "# not = a comment", "Büro 3"},
	"node_name":                              {"node-01@192.0.2.5"},
	"max_connections":                        {"1", "1000000"},
	"shutdown_timeout":                       {"100 ms", "1_500 ms"},
	"log_format":                             {"json"},
	"log_level":                              {"debug", "error"},
	"log_dir":                                {"/var/log/a b"},
	"log_rotate_size":                        {"65536", "1099511627776"},
	"log_rotate_keep":                        {"0", "10000"},
	"signaling_port":                         {"0", "65535"},
	"signaling_allowed_origins":              {"example.com, *.example.com:8443"},
	"signaling_connect_timeout":              {"250 ms"},
	"signaling_answer_timeout":               {"10 min"},
	"connection_created_timeout":             {"2 min"},
	"websocket_signaling_ping_interval":      {"30 s"},
	"websocket_signaling_pong_timeout":       {"1 h"},
	"signaling_max_half_open":                {"1"},
	"signaling_max_half_open_per_address":    {"2"},
	"signaling_send_queue":                   {"65536"},
	"signaling_max_connections_per_address":  {"5"},
	"signaling_connect_rate_per_address":     {"0"},
	"signaling_proxies":                      {"127.0.0.1, 10.0.0.0/8 2001:db8::/32,::1"},
	"max_joining":                            {"7"},
	"shed_joins_at_load":                     {"0", "100"},
	"websocket_signaling_stats_interval":     {"0 s", "1 h"},
	"connection_updated_notify_interval":     {"0 min", "1 s"},
	"connection_lifetime":                    {"1 s", "8760 h"},
	"default_audio_codec_type":               {},
	"default_video_codec_type":               {"VP8", "H265"},
	"default_audio_bit_rate":                 {"6", "510"},
	"default_video_bit_rate":                 {"0", "50000"},
	"udp_port":                               {"0"},
	"ipv4_address":                           {"192.0.2.1", "192.0.2.1, 192.0.2.2"},
	"ipv6_address":                           {"2001:db8::1 2001:db8::2"},
	"public_address":                         {"stun:stun.example.com:3478"},
	"shards":                                 {"256"},
	"recv_buffer":                            {"65536"},
	"send_buffer":                            {"1073741824"},
	"frame_window":                           {"0 ms", "10 ms"},
	"keyframe_cache":                         {"16777216"},
	"keyframe_cache_age":                     {"500 ms"},
	"shard_cpus":                             {"3 1", "1023"},
	"ice_restart_after":                      {"0 h", "1 min"},
	"consent_grace":                          {"0 s", "300 s"},
	"ice_transport_policy":                   {"relay"},
	"turn_realm":                             {"Our realm"},
	"turn_fqdn":                              {"turn.example.com"},
	"turn_tcp_listen_port":                   {"0", "3479"},
	"turn_tcp_port":                          {"443"},
	"turn_tcp_queue":                         {"16777216"},
	"turn_tls_fqdn":                          {"tls.example.com"},
	"turn_tls_port":                          {"443"},
	"proxy_protocol_peers":                   {"10.1.2.3/8"},
	"tcp_max_connections_per_address":        {"0"},
	"tls_port":                               {"443"},
	"tls_certificate_file":                   {"/etc/chain.pem"},
	"tls_private_key_file":                   {"/etc/key.pem"},
	"tls_acme_domains":                       {"a.example.com b.example.com"},
	"tls_acme_email":                         {"admin@example.com"},
	"tls_acme_directory":                     {"https://acme.example/directory"},
	"tls_acme_storage":                       {"/var/lib/acme"},
	"tls_passthrough":                        {"[2001:db8::1]:8443"},
	"tls_passthrough_proxy_protocol":         {"2"},
	"auth_webhook_url":                       {"https://app.example.com:8443/auth?a=b"},
	"session_webhook_url":                    {"http://[2001:db8::1]/session"},
	"event_webhook_url":                      {"http://127.0.0.1:8080/"},
	"stats_webhook_url":                      {"http://127.0.0.1:8080"},
	"webhook_response_timeout":               {"30 s"},
	"webhook_basic_authn_user_id":            {"tsubame"},
	"webhook_basic_authn_password":           {"pa:ss = #word"},
	"webhook_tls_verify_cacert_file":         {"ca.pem"},
	"webhook_tls_fullchain_file":             {"chain.pem"},
	"webhook_tls_privkey_file":               {"key.pem"},
	"event_webhook_worker_number":            {"1000"},
	"session_destroyed_after":                {"0 s", "10 min"},
	"event_webhook_queue":                    {"1"},
	"connection_updated_webhook_interval":    {"1 s"},
	"session_updated_webhook_interval":       {"24 h"},
	"stats_collector_url":                    {"http://192.0.2.10:5890/collector"},
	"stats_exporter_number":                  {"1"},
	"stats_exporter_tls_fullchain_file":      {"a"},
	"stats_exporter_tls_privkey_file":        {"b"},
	"stats_exporter_tls_verify_cacert_file":  {"c"},
	"token_keys":                             {"main:HS256:/etc/k", "a:RS256:x b:ES256:/y:z"},
	"debug_listen":                           {"off", "[::1]:6060"},
	"license_file":                           {"etc/license.json"},
	"api_port":                               {"3000"},
	"api_loopback_address_only":              {"true"},
	"api_cors_origin":                        {"https://app.example.com:8443"},
	"spotlight_number":                       {"8"},
	"archive_dir":                            {"/archive"},
	"archive_tmp_dir":                        {"/tmp/archive"},
	"recording_max_expire_time":              {"86400", "24 h"},
	"recording_max_split_duration":           {"0"},
	"default_recording_format":               {"mp4"},
	"audio_streaming_url":                    {"http://192.0.2.10:5890/speech"},
	"audio_streaming_tls_fullchain_file":     {"a"},
	"audio_streaming_tls_privkey_file":       {"a"},
	"audio_streaming_tls_verify_cacert_file": {"a"},
	"external_signaling_url":                 {"wss://node-01.example.com/signaling"},
	"external_api_url":                       {"https://node-01.example.com/api"},
	"cluster_listen_min_port":                {"49010"},
	"cluster_listen_max_port":                {"49020"},
	"allow_client_id_assignment":             {"false"},
}

// samplesOf returns them for a key; a key without any has to say so.
func samplesOf(t testing.TB, k *key) []string {
	t.Helper()
	if list, ok := samples[k.name]; ok {
		return list
	}
	switch k.def {
	case "true":
		return []string{"false"}
	case "false":
		return []string{"true"}
	}
	t.Fatalf("there is no sample for %s", k.name)
	return nil
}

// needs is what else has to stand there for some values of a key to be valid.
var needs = map[string]map[string]string{
	"websocket_signaling_ping_interval": {"websocket_signaling_pong_timeout": "10 min"},
	"vp9":                               {"default_video_codec_type": "VP8"},
	"turn":                              {"ice_transport_policy": "all"},
	"turn_tls":                          {"turn_fqdn": "a.example.com"},
	"turn_tcp_only":                     {},
	"turn_tls_only":                     {"turn_tls": "true", "turn_fqdn": "a.example.com"},
	"tls_port":                          {"tls_acme_domains": "turn.example.com"},
	"webhook_basic_authn":               {"webhook_basic_authn_user_id": "u"},
	"webhook_tls_fullchain_file":        {"webhook_tls_privkey_file": "a"},
	"webhook_tls_privkey_file":          {"webhook_tls_fullchain_file": "a"},
	"stats_exporter_tls_fullchain_file": {"stats_exporter_tls_privkey_file": "a"},
	"stats_exporter_tls_privkey_file":   {"stats_exporter_tls_fullchain_file": "a"},
	"token_required":                    {"token_keys": "a:HS256:f"},
}

// lines writes settings as a configuration, sorted.
func lines(settings map[string]string) string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		b.WriteString(name + " = " + settings[name] + "\n")
	}
	return b.String()
}

// with returns a key's value and what it needs beside it.
func with(name, value string) string {
	settings := maps.Clone(needs[name])
	if settings == nil {
		settings = map[string]string{}
	}
	settings[name] = value
	return lines(settings)
}

// beside returns what a key's value needs beside it.
func beside(name string) string { return lines(needs[name]) }
