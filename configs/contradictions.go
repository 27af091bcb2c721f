package configs

import "strings"

// contradiction is what no single value shows: which key goes against which other, and how.
type contradiction struct{ key, other, problem string }

// contradictions returns all of them.
func (c *Config) contradictions() []contradiction {
	var found []contradiction
	a, codec := &c.Session.Allow, c.Session.DefaultCodec
	on := map[string]bool{"VP8": a.VP8, "VP9": a.VP9, "AV1": a.AV1, "H264": a.H264, "H265": a.H265}
	if !on[codec] {
		found = append(found, contradiction{strings.ToLower(codec), "default_video_codec_type", "is false, but default_video_codec_type is " + codec})
	}
	if c.Session.PongTimeout <= c.Session.PingInterval {
		found = append(found, contradiction{"websocket_signaling_pong_timeout", "websocket_signaling_ping_interval",
			"is not longer than websocket_signaling_ping_interval"})
	}
	found = append(found, c.certificateContradictions()...)
	found = append(found, c.samePorts()...)
	found = append(found, c.turnContradictions()...)
	return append(found, c.applicationContradictions()...)
}

// certificateContradictions are about the certificate for tls_port.
func (c *Config) certificateContradictions() []contradiction {
	tcp := &c.TCP
	if tcp.TLSPort == 0 {
		return nil
	}
	switch files := tcp.CertificateFile != "" || tcp.PrivateKeyFile != ""; {
	case files && len(tcp.ACMEDomains) > 0:
		return []contradiction{{"tls_acme_domains", "tls_certificate_file", "there is a certificate in a file already: set one or the other"}}
	case len(tcp.ACMEDomains) > 0:
	case tcp.CertificateFile == "":
		return []contradiction{{"tls_port", "tls_private_key_file", "needs a certificate: set tls_certificate_file and tls_private_key_file, or tls_acme_domains"}}
	case tcp.PrivateKeyFile == "":
		return []contradiction{{"tls_certificate_file", "tls_port", "needs tls_private_key_file beside it"}}
	}
	return nil
}

// turnContradictions are about TURN, and need it to be on.
func (c *Config) turnContradictions() []contradiction {
	t := &c.TURN
	if !t.On {
		if t.RelayOnly {
			return []contradiction{{"ice_transport_policy", "turn", "is relay, but turn is false: no client could connect"}}
		}
		return nil
	}
	var found []contradiction
	switch {
	case t.TCPOnly && t.TLSOnly:
		found = append(found, contradiction{"turn_tcp_only", "turn_tls_only", "is true, and so is turn_tls_only: nothing would be left"})
	case t.TCPOnly && !t.TCP:
		found = append(found, contradiction{"turn_tcp_only", "turn_tcp", "is true, but turn_tcp is false: nothing would be left"})
	case t.TLSOnly && !t.TLS:
		found = append(found, contradiction{"turn_tls_only", "turn_tls", "is true, but turn_tls is false: nothing would be left"})
	}
	if t.TLS && t.TLSFQDN == "" && t.FQDN == "" {
		found = append(found, contradiction{"turn_tls", "turn", "needs turn_tls_fqdn or turn_fqdn: a certificate is for a name"})
	}
	if t.TLS && !t.TCP && c.TCP.TLSPort == 0 {
		found = append(found, contradiction{"turn_tls", "turn_tcp", "needs turn_tcp = true, which a proxy forwards to, or tls_port"})
	}
	return found
}

// applicationContradictions are about webhooks, the exporter and tokens.
func (c *Config) applicationContradictions() []contradiction {
	var found []contradiction
	w, e := &c.Webhooks, &c.Exporter
	if w.BasicAuth && w.User == "" {
		found = append(found, contradiction{"webhook_basic_authn", "webhook_basic_authn_user_id", "needs webhook_basic_authn_user_id"})
	}
	for _, pair := range []struct{ prefix, chain, key string }{
		{"webhook_tls_", w.CertFile, w.KeyFile}, {"stats_exporter_tls_", e.CertFile, e.KeyFile},
	} {
		chain, key := pair.prefix+"fullchain_file", pair.prefix+"privkey_file"
		if pair.chain != "" && pair.key == "" {
			found = append(found, contradiction{chain, key, "needs " + key + " beside it"})
		} else if pair.chain == "" && pair.key != "" {
			found = append(found, contradiction{key, chain, "needs " + chain + " beside it"})
		}
	}
	made := c.Server.Dev && c.Webhooks.AuthURL == "" // then the server makes a key
	if c.Tokens.Require && len(c.Tokens.Keys) == 0 && !made {
		found = append(found, contradiction{"token_required", "token_keys", "is true, but there are no token_keys: nobody could join"})
	}
	return found
}

// PlainPort reports whether there is anything to listen for at ListenPort.
func (c *Config) PlainPort() bool { return c.TURN.On && c.TURN.TCP || c.TCP.ICE }

// samePorts returns pairs of keys of TCP ports that are the same.
func (c *Config) samePorts() []contradiction {
	type named struct {
		key  string
		port uint16
	}
	ports := []named{{"signaling_port", c.Signaling.Port}, {"tls_port", c.TCP.TLSPort}}
	if c.PlainPort() {
		ports = append(ports, named{"turn_tcp_listen_port", c.TCP.ListenPort})
	}
	var found []contradiction
	for i, a := range ports {
		for _, b := range ports[:i] {
			if a.port == b.port && a.port != 0 {
				found = append(found, contradiction{a.key, b.key, "is the same port as " + b.key + ": each has its own"})
			}
		}
	}
	return found
}
