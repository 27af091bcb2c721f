package house

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// layers are the top-level folders from the top down. A package may import its own
// layer and those below; netio is below turnsrv.
var layers = []string{"cmd", "signal", "media", "turnsrv", "netio"}

// mayImport says whether a package of ours may import another one.
func mayImport(from, to string) bool {
	fromTop, _, _ := strings.Cut(from, "/")
	toTop, _, _ := strings.Cut(to, "/")
	switch {
	case toTop == "bench":
		return fromTop == "bench" || from == "cmd/tsubame-bench"
	case fromTop == "bench":
		return true
	case fromTop == "configs":
		return toTop == "configs"
	case toTop == "configs":
		return true // everybody may read its own small struct from there
	}
	i, j := slices.Index(layers, fromTop), slices.Index(layers, toTop)
	return i >= 0 && j >= i && toTop != "cmd"
}

func TestImportsRunOneWay(t *testing.T) {
	for _, p := range allPackages(t) {
		for _, to := range slices.Concat(p.Imports, p.TestImports, p.XTestImports) {
			if inner, ours := strings.CutPrefix(to, module); ours && !mayImport(p.short(), inner) {
				t.Errorf("%s imports %s: imports run cmd -> signal -> media -> turnsrv -> netio, "+
					"configs is a leaf, bench is imported by cmd/tsubame-bench only", p.short(), inner)
			}
		}
	}
}

// The rule itself is wrong easily; these are the cases that it is for.
func TestRuleOfImports(t *testing.T) {
	for edge, want := range map[string]bool{
		"cmd/tsubame -> signal/ws":       true,
		"signal/ws -> media/edge":        true,
		"signal/ws -> signal/sora":       true,
		"media/edge -> turnsrv":          true,
		"media/edge -> netio/ring":       true,
		"turnsrv -> netio/flow":          true,
		"netio -> configs":               true,
		"cmd/tsubame-bench -> bench/bot": true,
		"bench/bot -> media/rtp":         true,
		"media/rtp -> signal/sora":       false,
		"netio/ring -> media/rtp":        false,
		"netio -> turnsrv":               false,
		"turnsrv -> media/ice":           false,
		"configs -> netio/flow":          false,
		"cmd/tsubame -> bench/bot":       false,
		"signal/ws -> cmd/tsubame":       false,
		"media/rtp -> bench/bot":         false,
		"tools/x -> netio":               false,
	} {
		from, to, _ := strings.Cut(edge, " -> ")
		if got := mayImport(from, to); got != want {
			t.Errorf("%s: %v, want %v", edge, got, want)
		}
	}
}

// libraries that have one user, behind whose narrow interface they can be replaced.
// Tests and bench may use them to check us against them.
var libraries = map[string][]string{
	"github.com/pion/dtls":         {"media/dtls"},
	"github.com/pion/srtp":         {"media/srtp"},
	"github.com/pion/sdp":          {"signal/offer"},
	"github.com/pion/stun":         {"media/ice", "signal/candidate", "turnsrv", "turnsrv/stunwire"},
	"github.com/pion/ice":          {}, // its agent costs eight goroutines a connection
	"github.com/pion/turn":         {},
	"github.com/pion/interceptor":  {},
	"github.com/pion/webrtc":       {},
	"github.com/pion/rtp":          {"media/srtp"}, // types in pion/srtp's interface
	"github.com/pion/rtcp":         {"media/srtp"},
	"github.com/chromedp/chromedp": {},
	"github.com/coder/websocket":   {"signal/ws"},
	"github.com/pires":             {"netio/stream/entry"},
	"github.com/caddyserver":       {"netio/stream/acme"},
	"github.com/golang-jwt":        {"signal/token"},
	"golang.org/x/net/bpf":         {"netio/steer"},
}

func TestLibrariesHaveTheirOneUser(t *testing.T) {
	for _, p := range allPackages(t) {
		if strings.HasPrefix(p.short(), "bench/") {
			continue
		}
		for _, to := range p.Imports {
			for library, users := range libraries {
				if (to == library || strings.HasPrefix(to, library+"/")) && !slices.Contains(users, p.short()) {
					t.Errorf("%s imports %s: only %s may", p.short(), to, fmt.Sprint(users))
				}
			}
		}
	}
}
