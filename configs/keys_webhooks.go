package configs

import "time"

// webhookKeys are for what the application is asked and told.
var webhookKeys = []key{
	setting("auth_webhook_url", "", httpURL, func(c *Config) *string { return &c.Webhooks.AuthURL }).holdsPassword().live(),
	setting("session_webhook_url", "", httpURL, func(c *Config) *string { return &c.Webhooks.SessionURL }).holdsPassword().live(),
	setting("event_webhook_url", "", httpURL, func(c *Config) *string { return &c.Webhooks.EventURL }).holdsPassword().live(),
	setting("stats_webhook_url", "", httpURL, func(c *Config) *string { return &c.Webhooks.StatsURL }).holdsPassword().live(),
	setting("webhook_response_timeout", "5 s", interval("100 ms", "10 min"), func(c *Config) *time.Duration { return &c.Webhooks.Timeout }).live(),
	setting("webhook_basic_authn", "false", boolean, func(c *Config) *bool { return &c.Webhooks.BasicAuth }).live(),
	setting("webhook_basic_authn_user_id", "", userID, func(c *Config) *string { return &c.Webhooks.User }).live(),
	setting("webhook_basic_authn_password", "", password, func(c *Config) *string { return &c.Webhooks.Password }).secret().live(),
	setting("webhook_insecure", "false", boolean, func(c *Config) *bool { return &c.Webhooks.Insecure }).live(),
	setting("webhook_tls_verify_cacert_file", "", file, func(c *Config) *string { return &c.Webhooks.CAFile }).holds(authorities).alsoCalled("webhook_tls_verify_cacert_path").live(),
	setting("webhook_tls_fullchain_file", "", file, func(c *Config) *string { return &c.Webhooks.CertFile }).holds(certificateChain).live(),
	setting("webhook_tls_privkey_file", "", file, func(c *Config) *string { return &c.Webhooks.KeyFile }).holds(privateKey).live(),
	setting("event_webhook_worker_number", "10", integer(1, 1000), func(c *Config) *int { return &c.Webhooks.Workers }),
	setting("event_webhook_queue", "100000", integer(1, 10_000_000), func(c *Config) *int { return &c.Webhooks.QueueEvents }).live(),
	setting("session_destroyed_after", "10 s", intervalOrZero("1 s", "10 min"), func(c *Config) *time.Duration { return &c.Webhooks.SessionGrace }).live(),
	setting("connection_updated_webhook_interval", "1 min", interval("1 s", "24 h"), func(c *Config) *time.Duration { return &c.Webhooks.ConnectionUpdated }).live(),
	setting("session_updated_webhook_interval", "1 min", interval("1 s", "24 h"), func(c *Config) *time.Duration { return &c.Webhooks.SessionUpdated }).live(),
	setting("ignore_connection_created_webhook", "false", boolean, func(c *Config) *bool { return &c.Webhooks.IgnoreConnectionCreated }).live(),
	setting("ignore_connection_updated_webhook", "false", boolean, func(c *Config) *bool { return &c.Webhooks.IgnoreConnectionUpdated }).live(),
	setting("ignore_connection_destroyed_webhook", "false", boolean, func(c *Config) *bool { return &c.Webhooks.IgnoreConnectionDestroyed }).live(),
	setting("ignore_connection_failed_webhook", "false", boolean, func(c *Config) *bool { return &c.Webhooks.IgnoreConnectionFailed }).live(),
	setting("ignore_session_updated_webhook", "false", boolean, func(c *Config) *bool { return &c.Webhooks.IgnoreSessionUpdated }).live(),
	setting("ignore_session_vanished_webhook", "false", boolean, func(c *Config) *bool { return &c.Webhooks.IgnoreSessionVanished }).live(),
	setting("ignore_recording_started_webhook", "false", boolean, func(c *Config) *bool { return &c.Webhooks.IgnoreRecordingStarted }).live(),
	setting("ignore_archive_started_webhook", "false", boolean, func(c *Config) *bool { return &c.Webhooks.IgnoreArchiveStarted }).live(),
	setting("ignore_spotlight_webhook", "false", boolean, func(c *Config) *bool { return &c.Webhooks.IgnoreSpotlight }).live(),
	setting("legacy_signaling_error", "false", boolean, func(c *Config) *bool { return &c.Webhooks.LegacySignalingError }).live(),
	setting("auth_webhook_log", "true", boolean, func(c *Config) *bool { return &c.Webhooks.AuthLog }).live(),
	setting("stats_webhook_log", "true", boolean, func(c *Config) *bool { return &c.Webhooks.StatsLog }).live(),
}

// exporterKeys are for the statistics exporter.
var exporterKeys = []key{
	setting("stats_collector_url", "", httpURL, func(c *Config) *string { return &c.Exporter.URL }).holdsPassword().live(),
	setting("stats_exporter_number", "5", integer(1, 100), func(c *Config) *int { return &c.Exporter.Number }),
	setting("stats_exporter_tls_fullchain_file", "", file, func(c *Config) *string { return &c.Exporter.CertFile }).holds(certificateChain).live(),
	setting("stats_exporter_tls_privkey_file", "", file, func(c *Config) *string { return &c.Exporter.KeyFile }).holds(privateKey).live(),
	setting("stats_exporter_tls_verify_cacert_file", "", file, func(c *Config) *string { return &c.Exporter.CAFile }).holds(authorities).live(),
}

// joinKeys are for tokens.
var joinKeys = []key{
	setting("token_keys", "", tokenKeys, func(c *Config) *[]TokenKey { return &c.Tokens.Keys }).live(),
	setting("token_required", "false", boolean, func(c *Config) *bool { return &c.Tokens.Require }).live(),
}
