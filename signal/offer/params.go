package offer

import (
	"strconv"
	"strings"
)

// VP9Params returns the format parameters of VP9 (RFC 9628 section 6): profile 0..3.
func VP9Params(profile int) string { return "profile-id=" + strconv.Itoa(profile) }

// AV1Params returns the format parameters of AV1 (its RTP specification, section 7.2.1). What is
// negative is left out.
func AV1Params(profile, levelIdx, tier int) string {
	return numbers([]string{"profile", "level-idx", "tier"}, profile, levelIdx, tier)
}

// H264Params returns the format parameters of H.264 (RFC 6184 section 8.1) for a
// profile-level-id of six hexadecimal digits; empty: constrained baseline, level 3.1.
func H264Params(profileLevelID string) string {
	if profileLevelID == "" {
		profileLevelID = "42e01f"
	}
	return "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=" + profileLevelID
}

// H265Params returns the format parameters of H.265 (RFC 7798 section 7.1). What is negative
// or empty is left out.
func H265Params(levelID, profileID, tierFlag int, txMode string) string {
	p := numbers([]string{"level-id", "profile-id", "tier-flag"}, levelID, profileID, tierFlag)
	if txMode == "" {
		return p
	}
	if p != "" {
		p += ";"
	}
	return p + "tx-mode=" + txMode
}

// numbers joins the values that are not negative.
func numbers(names []string, values ...int) string {
	var out []string
	for i, v := range values {
		if v >= 0 {
			out = append(out, names[i]+"="+strconv.Itoa(v))
		}
	}
	return strings.Join(out, ";")
}
