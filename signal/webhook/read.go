package webhook

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"unicode/utf8"

	"tsubame/signal/sora"
)

// readAnswer reads a body as an object.
func readAnswer(body []byte) (*sora.Object, error) {
	o, err := sora.ReadObject(body, MaxAnswer)
	if err == nil {
		return o, nil
	}
	var e *sora.Error
	if !errors.As(err, &e) {
		return nil, &Error{Detail: err.Error()}
	}
	switch {
	case len(body) > MaxAnswer:
		return nil, &Error{Detail: fmt.Sprintf("more than %d bytes", MaxAnswer)}
	case e.Reason == sora.ReasonDuplicateKey && e.Detail != "":
		return nil, &Error{Member: e.Detail, Detail: "given twice"}
	}
	return nil, &Error{Detail: e.Error()}
}

// fault returns what is wrong with the members that have been read.
func fault(o *sora.Object) error {
	name := o.Fault()
	if name == "" {
		return nil
	}
	if want := wanted[name]; want != "" {
		return &Error{Member: name, Detail: "has to be " + want}
	}
	return &Error{Member: name, Detail: "wrong type or value"}
}

// wanted says what a member has to be, where that is not plain from its name.
var wanted = map[string]string{
	"allowed":                    "true or false",
	"reason":                     "a string",
	"client_id":                  "a string of 1 to 255 bytes without control characters",
	"bundle_id":                  "a string of 1 to 255 bytes without control characters",
	"group_id":                   "a string of 1 to 255 bytes without control characters",
	"audio":                      "true, false or an object",
	"audio_codec_type":           "OPUS",
	"audio.codec_type":           "OPUS",
	"audio_bit_rate":             "an integer of 6 to 510 (kbit/s)",
	"audio.bit_rate":             "an integer of 6 to 510 (kbit/s)",
	"video":                      "true, false or an object",
	"video_codec_type":           "VP8, VP9, AV1, H264 or H265",
	"video.codec_type":           "VP8, VP9, AV1, H264 or H265",
	"video_bit_rate":             "an integer of 1 to 50000 (kbit/s)",
	"video.bit_rate":             "an integer of 1 to 50000 (kbit/s)",
	"connection_lifetime":        "an integer of at least 1 (seconds)",
	"connection_created_timeout": "an integer of at least 1 (seconds)",
	"ipv4_address":               "the IPv4 address of a host",
	"ipv6_address":               "the IPv6 address of a host",
	"turn_fqdn":                  "the name of a host",
	"turn_tls_fqdn":              "the name of a host",
	"max_connections":            "an integer of at least 1",
	"trial_max_connections":      "an integer of at least 1",
}

// maxName is how much of an unknown name is told.
const maxName = 64

// warnings names the members that have no effect. known says of each name whether it has one;
// beside are those that are somebody else's.
func warnings(o *sora.Object, known map[string]bool, beside []string) []string {
	var out []string
	more := 0
	for _, name := range o.Members() {
		effect, ok := known[name]
		text := ""
		switch {
		case effect, slices.Contains(beside, name):
			continue
		case !ok:
			text = fmt.Sprintf("%q is not known", cut(name, maxName))
		case o.Off(name):
			continue
		default:
			text = name + " has no effect"
		}
		if len(out) < MaxWarnings {
			out = append(out, text)
		} else {
			more++
		}
	}
	if more > 0 {
		out[MaxWarnings-1] = fmt.Sprintf("%d more members are not known or have no effect", more+1)
	}
	return out
}

// cut shortens UTF-8 to at most limit bytes without splitting a character.
func cut(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	for limit > 0 && !utf8.RuneStart(s[limit]) {
		limit--
	}
	return s[:limit]
}

// address reads an address that a client can send to; is tells its family.
func address(o *sora.Object, name string, is func(netip.Addr) bool) netip.Addr {
	text := o.ID(name)
	if text == "" {
		return netip.Addr{}
	}
	a, err := netip.ParseAddr(text)
	if err != nil || !is(a) || a.Zone() != "" || a.IsUnspecified() || a.IsMulticast() {
		o.Refuse(name)
		return netip.Addr{}
	}
	return a
}

func isIPv6(a netip.Addr) bool { return a.Is6() && !a.Is4In6() }

// host reads a name of letters, digits and hyphens between dots (RFC 1123 section 2.1): it goes
// into URLs.
func host(o *sora.Object, name string) string {
	text := o.ID(name)
	if text != "" && !isHost(text) {
		o.Refuse(name)
		return ""
	}
	return text
}

func isHost(s string) bool {
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' ||
			strings.Trim(label, "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-") != "" {
			return false
		}
	}
	return len(s) <= 253
}
