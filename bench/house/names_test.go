package house

import (
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"strings"
	"testing"
)

// The data plane is driven by bytes and a `now` that is passed in, and owned by one
// thread: it reads no clock, takes no lock, passes nothing through channels, and
// knows addresses as values. These packages and files are its edges.
var edges = map[string]string{
	"netio/stream":   "goroutines of TCP and TLS",
	"media/dtls":     "handshakes, in goroutines of their own",
	"media/sctp":     "DataChannels, in goroutines of their own",
	"media/record":   "recording writers behind a bounded queue",
	"media/forward":  "forwarding behind a bounded queue",
	"netio/clock.go": "reads the clock once an iteration",
}

// exceptions are single names in single files.
var exceptions = map[string]map[string]string{
	"netio/balance.go": { // a goroutine of the control plane
		"chan": "it ends on request", "time.NewTicker": "it looks five times a second", "time.Sleep": "it waits for a thread",
	},
	"netio/packet/arena.go": {"sync.Mutex": "the depot, touched once a magazine and never once a packet"},
	"netio/ring/mpsc.go":    {"time.Sleep": "back-off of a control goroutine that waits for room, never of a shard"},
	"media/edge/plane.go": {
		"time.NewTimer": "the end of the process waits for the connections, on a control goroutine",
		"chan":          "the same wait ends with its context",
	},
}

// forbidden names, by import path.
var forbidden = map[string][]string{
	"time": {"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "Tick", "NewTimer", "NewTicker"},
	"sync": {"Mutex", "RWMutex", "Cond", "Map"},
	"net":  {"Addr", "IPAddr", "UDPAddr", "TCPAddr", "Conn", "PacketConn", "UDPConn"},
}

func isDataPlane(f goFile) bool {
	top, _, _ := strings.Cut(f.name, "/")
	if f.isTest() || !slices.Contains([]string{"netio", "turnsrv", "media"}, top) {
		return false
	}
	for edge := range edges {
		if f.name == edge || strings.HasPrefix(f.name, edge+"/") {
			return false
		}
	}
	// Helpers of tests, named after the package that they help.
	return !strings.HasSuffix(f.dir(), "test")
}

// use is one forbidden thing in a file.
type use struct {
	line int
	what string
}

func forbiddenUses(f goFile) []use {
	var uses []use
	imports := f.imports()
	ast.Inspect(f.ast, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.SelectorExpr:
			if x, ok := n.X.(*ast.Ident); ok {
				if p := imports[x.Name]; slices.Contains(forbidden[p], n.Sel.Name) {
					uses = append(uses, use{f.at(n.Pos()), p + "." + n.Sel.Name})
				}
			}
		case *ast.ChanType:
			uses = append(uses, use{f.at(n.Pos()), "chan"})
		case *ast.SendStmt, *ast.SelectStmt:
			uses = append(uses, use{f.at(n.Pos()), "chan"})
		case *ast.UnaryExpr:
			if n.Op == token.ARROW {
				uses = append(uses, use{f.at(n.Pos()), "chan"})
			}
		}
		return true
	})
	return uses
}

func TestDataPlaneReadsNoClockTakesNoLockAndUsesNoChannel(t *testing.T) {
	checked := 0
	unused := make(map[string]bool)
	for file, names := range exceptions {
		for name := range names {
			unused[file+" "+name] = true
		}
	}
	for _, f := range goFiles(t) {
		if !isDataPlane(f) {
			continue
		}
		checked++
		for _, u := range forbiddenUses(f) {
			if _, ok := exceptions[f.name][u.what]; ok {
				delete(unused, f.name+" "+u.what)
				continue
			}
			t.Errorf("%s:%d uses %s", f.name, u.line, u.what)
		}
	}
	if checked == 0 {
		t.Fatal("no file of the data plane was found")
	}
	for exception := range unused {
		t.Errorf("the exception %s is used no more: take it out", exception)
	}
}

func TestRuleOfNames(t *testing.T) {
	for source, want := range map[string]string{
		`import "time"; var a = time.Now()`:                                    "time.Now",
		`import clock "time"; var a = clock.Now()`:                             "time.Now",
		`import "sync"; type T struct{ mu sync.RWMutex }`:                      "sync.RWMutex",
		`type T struct{ c chan int }`:                                          "chan",
		`func f(c C) { c <- 1 }`:                                               "chan",
		`func f(c C) { <-c }`:                                                  "chan",
		`import "net"; func f(a net.Addr) {}`:                                  "net.Addr",
		`import "time"; const d = 3 * time.Second`:                             "",
		`import "net/netip"; func f(a netip.Addr) {}`:                          "",
		`type now struct{ Now int }; func f(time now) int { return time.Now }`: "",
	} {
		set := token.NewFileSet()
		tree, err := parser.ParseFile(set, "x.go", "package x\n"+source, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		if uses := forbiddenUses(goFile{"netio/x.go", set, tree}); len(uses) > 0 {
			got = uses[0].what
		}
		if got != want {
			t.Errorf("%s: %q, want %q", source, got, want)
		}
	}
}
