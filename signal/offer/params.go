package offer

import (
	"cmp"
	"encoding/hex"
	"strconv"
	"strings"

	"tsubame/media/param"
)

// VP9Params returns the format parameters of VP9 (RFC 9628 section 6): profile 0..3.
func VP9Params(profile int) string { return "profile-id=" + strconv.Itoa(profile) }

// AV1Params returns the format parameters of AV1 (its RTP specification, section 7.2.1), in the
// order of libwebrtc. What is negative is left out.
func AV1Params(profile, levelIdx, tier int) string {
	return joined([]string{"level-idx", "profile", "tier"}, levelIdx, profile, tier)
}

// usualH264 is constrained baseline, level 3.1: what every browser with H.264 takes.
const usualH264 = "42e01f"

// H264Params returns the format parameters of H.264 (RFC 6184 section 8.1) for a
// profile-level-id of six hexadecimal digits. Anything else counts as not given, which is
// constrained baseline, level 3.1.
func H264Params(profileLevelID string) string {
	if b, err := hex.DecodeString(profileLevelID); err != nil || len(b) != 3 {
		profileLevelID = usualH264
	}
	return "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=" + profileLevelID
}

// H265Params returns the format parameters of H.265 (RFC 7798 section 7.1). What is negative
// is left out, and so is a txMode that is not one of its three.
func H265Params(levelID, profileID, tierFlag int, txMode string) string {
	p := joined([]string{"level-id", "profile-id", "tier-flag"}, levelID, profileID, tierFlag)
	if txMode != "SRST" && txMode != "MRST" && txMode != "MRMT" {
		return p
	}
	if p != "" {
		p += ";"
	}
	return p + "tx-mode=" + txMode
}

// joined lists the values that are not negative.
func joined(names []string, values ...int) string {
	var out []string
	for i, v := range values {
		if v >= 0 {
			out = append(out, names[i]+"="+strconv.Itoa(v))
		}
	}
	return strings.Join(out, ";")
}

// parameter returns the value of one format parameter, in lower case; empty: not there.
func parameter(params, name string) string {
	for params != "" {
		var p string
		p, params, _ = strings.Cut(params, ";")
		k, v, _ := strings.Cut(p, "=")
		if strings.EqualFold(strings.TrimSpace(k), name) {
			return strings.ToLower(strings.TrimSpace(v))
		}
	}
	return ""
}

// accepts reports whether an answer's format parameters are for the payload format that was
// offered. Levels and tiers do not count: they bound what a receiver decodes, and each side
// may have its own.
func (e *encoding) accepts(offered, answered string) bool {
	same := func(name, inferred string) bool {
		return cmp.Or(parameter(offered, name), inferred) == cmp.Or(parameter(answered, name), inferred)
	}
	switch e.codec {
	case param.VP9:
		return same("profile-id", "0")
	case param.AV1:
		return same("profile", "0")
	case param.H264:
		// RFC 6184 infers plain baseline; like libwebrtc we infer its constrained part, which
		// such a receiver decodes as well.
		const id = "profile-level-id"
		return same("packetization-mode", "0") &&
			h264Profile(cmp.Or(parameter(offered, id), usualH264)) == h264Profile(cmp.Or(parameter(answered, id), usualH264))
	case param.H265:
		return same("profile-id", "1") && same("tx-mode", "srst")
	}
	return true
}

// h264Profiles tells profiles by profile_idc and constraint flags (RFC 6184 section 8.1,
// table 5). Flags under the mask have to match; the first profile that fits counts.
var h264Profiles = []struct {
	idc, mask, flags byte
	name             string
}{
	{0x42, 0x4f, 0x40, "constrained baseline"},
	{0x4d, 0x8f, 0x80, "constrained baseline"},
	{0x58, 0xcf, 0xc0, "constrained baseline"},
	{0x42, 0x4f, 0x00, "baseline"},
	{0x58, 0xcf, 0x80, "baseline"},
	{0x4d, 0xaf, 0x00, "main"},
	{0x58, 0xcf, 0x00, "extended"},
	{0x64, 0xff, 0x00, "high"},
	{0x64, 0xff, 0x0c, "constrained high"},
}

// h264Profile names the profile of a profile-level-id. One that is not in the table is its
// own, without the level.
func h264Profile(id string) string {
	b, err := hex.DecodeString(id)
	if err != nil || len(b) != 3 {
		return id
	}
	for _, p := range h264Profiles {
		if p.idc == b[0] && b[1]&p.mask == p.flags {
			return p.name
		}
	}
	return id[:4]
}
