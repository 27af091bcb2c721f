package house

import (
	"fmt"
	"go/ast"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// parsers lists every function that reads bytes from the network or from a file,
// with the fuzz target of the same package that feeds it. A function is written as
// in Go's documentation: package.Func or package.Type.Method.
var parsers = map[string]string{
	"configs.Parse":                       "FuzzParse",
	"media/codec.Peek":                    "FuzzVP8",
	"media/codec.ParseRED":                "FuzzRED",
	"media/dtls.Endpoint.Feed":            "FuzzHandshake",
	"media/ice.Codec.Parse":               "FuzzParse",
	"media/ice.DecodeIndex":               "FuzzDecodeIndex",
	"media/rtcp.NewReader":                "FuzzReader",
	"media/rtp.Parse":                     "FuzzView",
	"media/rtp.ParseHeader":               "FuzzView",
	"media/rtx.ParsePayload":              "FuzzParsePayload",
	"media/srtp.Session.OpenRTCP":         "FuzzOpenRTCP",
	"media/srtp.Session.OpenRTP":          "FuzzOpenRTP",
	"netio/mmsg.parseControl":             "FuzzParseControl",
	"netio/stream.Deframer.Peek":          "FuzzDeframer",
	"netio/stream/entry.ParseProxyHeader": "FuzzParseProxyHeader",
	"signal/offer.State.Answer":           "FuzzParseAnswer",
	"signal/sora.Decode":                  "FuzzDecode",
	"signal/sora.DecodeAnswer":            "FuzzReadAnswer",
	"signal/token.ParseKey":               "FuzzParseKey",
	"signal/token.ParseSigningKey":        "FuzzParseKey",
	"signal/webhook.ParseAuthAnswer":      "FuzzAuthAnswer",
	"signal/webhook.ParseGrants":          "FuzzAuthAnswer",
	"signal/webhook.ParseSessionAnswer":   "FuzzSessionAnswer",
}

// notParsers have such a name, but what they read is our own or was parsed before.
var notParsers = map[string]string{
	"media/conn.Conn.HandleRTCP": "opens with media/srtp and reads with media/rtcp",
	"media/conn.Conn.HandleRTP":  "opens with media/srtp and reads with media/rtp and media/codec",
}

// parserName is how functions that read bytes are called here.
var parserName = regexp.MustCompile(`^(Parse|Decode|Unmarshal|Peek|Open|Feed|NewReader|Handle(RTP|RTCP|STUN|DTLS|Datagram))`)

// qualified is the name of a function in Go's documentation.
func qualified(f goFile, d *ast.FuncDecl) string {
	if d.Recv == nil {
		return f.dir() + "." + d.Name.Name
	}
	receiver := d.Recv.List[0].Type
	if star, ok := receiver.(*ast.StarExpr); ok {
		receiver = star.X
	}
	if index, ok := receiver.(*ast.IndexExpr); ok {
		receiver = index.X
	}
	return fmt.Sprintf("%s.%s.%s", f.dir(), receiver, d.Name.Name)
}

// takesBytes reports whether a parameter is a []byte.
func takesBytes(d *ast.FuncDecl) bool {
	for _, p := range d.Type.Params.List {
		if a, ok := p.Type.(*ast.ArrayType); ok && a.Len == nil {
			if e, ok := a.Elt.(*ast.Ident); ok && e.Name == "byte" {
				return true
			}
		}
	}
	return false
}

// eachFunc calls f for all functions of the server (not of bench), tests or not.
func eachFunc(t *testing.T, tests bool, visit func(goFile, *ast.FuncDecl)) {
	t.Helper()
	for _, f := range goFiles(t) {
		if f.isTest() != tests || strings.HasPrefix(f.name, "bench/") {
			continue
		}
		for _, d := range f.ast.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok {
				visit(f, fn)
			}
		}
	}
}

func TestEveryParserIsListed(t *testing.T) {
	exists := make(map[string]bool)
	eachFunc(t, false, func(f goFile, d *ast.FuncDecl) {
		name := qualified(f, d)
		exists[name] = true
		if !d.Name.IsExported() || !parserName.MatchString(d.Name.Name) || !takesBytes(d) {
			return
		}
		if parsers[name] == "" && notParsers[name] == "" {
			t.Errorf("%s:%d: %s reads bytes: name its fuzz target in the list of parsers", f.name, f.at(d.Pos()), name)
		}
	})
	for name := range parsers {
		if !exists[name] {
			t.Errorf("the list of parsers has %s, which is not there", name)
		}
	}
	for name := range notParsers {
		if !exists[name] {
			t.Errorf("the list of functions that are no parsers has %s, which is not there", name)
		}
	}
}

func TestEveryParserHasItsFuzzTarget(t *testing.T) {
	mentions := make(map[string][]string) // "package.FuzzX" to the names in its file
	eachFunc(t, true, func(f goFile, d *ast.FuncDecl) {
		if !strings.HasPrefix(d.Name.Name, "Fuzz") || d.Recv != nil {
			return
		}
		var names []string
		ast.Inspect(f.ast, func(n ast.Node) bool {
			if id, ok := n.(*ast.Ident); ok {
				names = append(names, id.Name)
			}
			return true
		})
		mentions[f.dir()+"."+d.Name.Name] = names
	})
	for name, fuzz := range parsers {
		dir, function, _ := strings.Cut(name[strings.LastIndex(name, "/")+1:], ".")
		dir = name[:strings.LastIndex(name, "/")+1] + dir
		function = function[strings.LastIndex(function, ".")+1:]
		names, ok := mentions[dir+"."+fuzz]
		if !ok {
			t.Errorf("%s: there is no %s in %s", name, fuzz, dir)
			continue
		}
		if !slices.Contains(names, function) {
			t.Errorf("%s: the file of %s never calls %s", name, fuzz, function)
		}
	}
}
