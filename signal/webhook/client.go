package webhook

import "strings"

// Client is who a client says it is; empty: it does not say.
type Client struct {
	SoraClient  string // such as "Sora JavaScript SDK 2025.1.0"
	Libwebrtc   string
	Environment string
}

// client writes the member sora_client, unless nothing is known.
func (w *writer) client(c *Client) {
	if *c == (Client{}) {
		return
	}
	w.open("sora_client")
	if name, version, commit, ok := splitClient(c.SoraClient); ok {
		w.str("type", name)
		w.str("version", version)
		w.strIf("commit_short", commit)
	} else {
		w.strIf("raw", c.SoraClient)
	}
	w.strIf("environment", c.Environment)
	w.strIf("libwebrtc", c.Libwebrtc)
	w.close()
}

// splitClient reads "<name> <version>" and "<name> <version> (<commit>)".
func splitClient(s string) (name, version, commit string, ok bool) {
	if rest, found := strings.CutSuffix(s, ")"); found {
		if s, commit, ok = strings.Cut(rest, " ("); !ok || !isCommit(commit) {
			return "", "", "", false
		}
	}
	i := strings.LastIndexByte(s, ' ')
	if i <= 0 || !isVersion(s[i+1:]) {
		return "", "", "", false
	}
	return s[:i], s[i+1:], commit, true
}

// isVersion matches numbers with dots and what may follow them, as in 2025.1.0-canary.3.
func isVersion(s string) bool {
	if s == "" || s[0] < '0' || s[0] > '9' || !strings.Contains(s, ".") {
		return false
	}
	return strings.Trim(s, "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-+_") == ""
}

// isCommit matches what git calls a commit, short or not.
func isCommit(s string) bool {
	return len(s) >= 4 && len(s) <= 64 && strings.Trim(s, "0123456789abcdefABCDEF") == ""
}
