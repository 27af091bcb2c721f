package sora

import (
	"bytes"
	"strings"
)

// AccessToken returns the token in a connect's metadata: its member access_token, a text;
// empty: there is none.
func (c *Connect) AccessToken() string {
	text := member(c.Metadata, "access_token")
	if len(text) < 2 || text[0] != '"' {
		return ""
	}
	return string(unquote(text))
}

// secretNames are the members whose values AppendBlanked leaves out, wherever they are and
// in any case: tokens, the credentials of TURN servers, and what applications call theirs.
var secretNames = []string{"access_token", "credential", "password", "authorization", "secret", "token", "api_key", "signaling_key"}

func isSecret(name []byte) bool {
	for _, s := range secretNames {
		if len(name) == len(s) && strings.EqualFold(string(name), s) {
			return true
		}
	}
	return false
}

// AppendBlanked appends a message, valid JSON, to dst as it may be written into a log: the
// values of secretNames are "***", and so are texts that are JSON with such a name in it, and
// the ICE passwords in texts of SDP (RFC 8839 section 5.4). Everything else is as it was.
func AppendBlanked(dst, message []byte) []byte {
	for i := 0; i < len(message); {
		if message[i] != '"' {
			dst = append(dst, message[i])
			i++
			continue
		}
		end := skipString(message, i)
		text := message[i:end]
		i = end
		colon := skipSpace(message, i)
		if colon >= len(message) || message[colon] != ':' {
			if holdsSecret(text) {
				dst = append(dst, `"***"`...)
			} else {
				dst = appendWithoutPasswords(dst, text)
			}
			continue
		}
		dst = append(dst, text...)
		if len(text) < 2 || !isSecret(unquote(text)) {
			continue
		}
		value := skipSpace(message, colon+1)
		dst = append(append(dst, message[i:value]...), `"***"`...)
		i = skipValue(message, value)
	}
	return dst
}

// passwordLine begins the line of SDP that carries an ICE password.
var passwordLine = []byte("a=ice-pwd:")

func appendWithoutPasswords(dst, text []byte) []byte {
	for {
		at := bytes.Index(text, passwordLine)
		if at < 0 {
			return append(dst, text...)
		}
		at += len(passwordLine)
		dst = append(append(dst, text[:at]...), "***"...)
		// It ends with its line, which in JSON is an escape, or with the text. Its characters
		// need no escapes (ice-char), but JSON may escape any.
		text = text[at:]
		n := 0
		for n < len(text) && !endsLine(text[n:]) {
			n++
		}
		text = text[n:]
	}
}

// endsLine reports whether a JSON string has the end of a line here, or its own.
func endsLine(text []byte) bool {
	if text[0] != '\\' || len(text) < 2 {
		return text[0] == '"'
	}
	switch text[1] {
	case 'r', 'n':
		return true
	case 'u':
		return len(text) >= 6 && text[2] == '0' && text[3] == '0' && text[4] == '0' && strings.IndexByte("aAdD", text[5]) >= 0
	}
	return false
}

// holdsSecret reports whether a JSON string is JSON itself, as some clients send their metadata,
// and names a secret.
func holdsSecret(text []byte) bool {
	if len(text) < 3 || text[1] != '{' && text[1] != '[' {
		return false
	}
	text = bytes.ToLower(text)
	for _, s := range secretNames {
		if bytes.Contains(text, []byte(s)) {
			return true
		}
	}
	return false
}
