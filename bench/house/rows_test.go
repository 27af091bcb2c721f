package house

import (
	"cmp"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go/ast"
)

var update = flag.Bool("update", false, "write ROWS.md anew")

const rowsFile = "bench/ROWS.md"

// threats are the rows of the list of threats and faults that this server must
// answer for now, in a few words each. Rows beyond these appear in the table when a
// test names them.
var threats = map[string]string{
	"ICE-01":  "random bytes of every length and first byte",
	"ICE-02":  "flood of checks with an unknown ufrag",
	"ICE-03":  "known ufrag, wrong integrity",
	"ICE-04":  "malformed STUN: lengths, attributes, fingerprint",
	"ICE-05":  "responses and indications nobody asked for",
	"ICE-06":  "reflection towards a forged source",
	"ICE-07":  "guessing ufrags",
	"ICE-08":  "one ufrag from thousands of addresses",
	"ICE-09":  "rapid renomination, flapping addresses",
	"ICE-10":  "media or DTLS from an address without a check",
	"ICE-11":  "peer vanishes: consent",
	"ICE-12":  "storm of ICE restarts",
	"ICE-13":  "ICE-TCP: silence, one byte a second, lying lengths, idle sockets",
	"ICE-14":  "ICE-TCP peer that stops reading",
	"TURN-01": "relay to loopback, private, link-local and other networks",
	"TURN-02": "IPv4 addresses in IPv6 spellings",
	"TURN-03": "relay to somebody else's media",
	"TURN-04": "flood of Allocates without credentials",
	"TURN-05": "replayed, forged, expired nonces",
	"TURN-06": "one credential, many allocations",
	"TURN-07": "ten thousand permissions and channels, numbers out of range",
	"TURN-08": "credentials after their connection's end, or of another",
	"TURN-09": "TURN over TCP: slow, half-open, lying lengths",
	"TURN-10": "Refresh with lifetimes of all kinds, and for another 5-tuple",
	"TURN-11": "mobility tickets",
	"TURN-12": "forged, huge, missing PROXY headers",
	"TURN-13": "floods of ClientHellos, odd names and protocols, certificates that change",
	"TURN-14": "other protocols on the one port",
	"DTLS-01": "somebody else's ClientHello first",
	"DTLS-02": "records from strangers, records of later epochs",
	"DTLS-03": "half-open handshakes by the thousand",
	"DTLS-04": "bombs of fragments",
	"DTLS-05": "wrong, missing, several or weak fingerprints",
	"DTLS-06": "certificate without proof of possession",
	"DTLS-07": "downgrade of cipher or profile",
	"DTLS-08": "key exchange of suites that were not offered",
	"DTLS-09": "storm of alerts, close_notify then media, renegotiation",
	"DTLS-10": "replay of one flight to draw ours",
	"RTP-01":  "RTP or RTCP with a guessed SSRC and no key",
	"RTP-02":  "malformed packets with valid authentication",
	"RTP-03":  "replay, sequence wrap with loss, guessed roll-over",
	"RTP-04":  "a new SSRC in every packet",
	"RTP-05":  "jumps of timestamp and sequence number",
	"RTP-06":  "participant who floods at line rate",
	"RTP-07":  "abuse of NACK",
	"RTP-08":  "storm of key frame requests",
	"RTP-09":  "publisher without key frames, or deaf to requests for them",
	"RTP-11":  "bombs of RTCP",
	"RTP-12":  "header extensions: collisions, two-byte forms, faked levels",
	"RTP-13":  "malformed payload descriptors of every codec",
	"RTP-17":  "RTX for unknown, of RTX, too short",
	"SIG-01":  "silence, one byte a second, endless handshake headers",
	"SIG-02":  "broken and endless WebSocket frames",
	"SIG-03":  "compression bomb",
	"SIG-04":  "broken, deep and huge JSON, wrong types for every field",
	"SIG-05":  "messages out of order for the state",
	"SIG-06":  "SDP bombs",
	"SIG-07":  "storm of renegotiation, recycled sections, flipped directions",
	"SIG-08":  "thousands of connects a second, connect and drop",
	"SIG-09":  "WebSocket from a page of somebody else",
	"SIG-10":  "metadata of the maximum size in a channel of 1,000",
	"SIG-11":  "ids with separators, control characters, look-alikes",
	"SIG-12":  "duplicate connection ids, resumption of somebody else's session",
	"SIG-13":  "client that never pongs, pongs late or unasked",
	"SIG-14":  "slow reader in a busy channel",
	"OPS-05":  "socket buffer overflow, refusals by firewall and network",
	"OPS-06":  "changing and several addresses, IPv6 off",
	"OPS-07":  "SIGTERM once and twice, SIGHUP, SIGKILL during start-up",
}

const rowsPreamble = `# Which test shows which row

Rows of the list of threats and faults, and the tests that show how the server takes them. A test says
so itself, in a comment directly above it (` + "`// Row ICE-04.`" + `); ` + "`go test ./bench/house -run Rows -update`" + `
writes this table from those comments. A row without a test says why.

| row | threat | tests |
|---|---|---|
`

var (
	rowMention = regexp.MustCompile(`\bRows? ([A-Z]+-\d\d(?:(?:, | and )[A-Z]+-\d\d)*)`)
	rowID      = regexp.MustCompile(`[A-Z]+-\d\d`)
	rowFamily  = regexp.MustCompile(`^(TURN|ICE|DTLS|RTP|SCTP|SIG|HTTP|AUTH|ROOM|REC|FWD|ING|CL|OPS|SOAK)-`)
)

// rowsNamed collects the tests of each row, and reports comments that name a row
// without standing above a test: those would be lost.
func rowsNamed(t *testing.T) map[string][]string {
	t.Helper()
	named := make(map[string][]string)
	for _, f := range goFiles(t) {
		if !f.isTest() || f.dir() == "bench/house" {
			continue
		}
		above := make(map[*ast.CommentGroup]string)
		for _, d := range f.ast.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if ok && fn.Doc != nil && fn.Recv == nil && regexp.MustCompile(`^(Test|Fuzz|Benchmark)`).MatchString(fn.Name.Name) {
				above[fn.Doc] = fn.Name.Name
			}
		}
		for _, group := range f.ast.Comments {
			for _, m := range rowMention.FindAllStringSubmatch(group.Text(), -1) {
				name, ok := above[group]
				if !ok {
					t.Errorf("%s:%d: %q stands above no test", f.name, f.at(group.Pos()), m[0])
					continue
				}
				for _, id := range rowID.FindAllString(m[1], -1) {
					if threats[id] == "" && !rowFamily.MatchString(id) {
						t.Errorf("%s:%d: there is no row %s", f.name, f.at(group.Pos()), id)
					}
					if test := f.dir() + " " + name; !slices.Contains(named[id], test) {
						named[id] = append(named[id], test)
					}
				}
			}
		}
	}
	return named
}

// notDone reads the reasons that stand in the table now.
func notDone(text string) map[string]string {
	reasons := make(map[string]string)
	for line := range strings.Lines(text) {
		cells := strings.Split(line, "|")
		if len(cells) == 5 {
			if reason, ok := strings.CutPrefix(strings.TrimSpace(cells[3]), "not done: "); ok {
				reasons[strings.TrimSpace(cells[1])] = reason
			}
		}
	}
	return reasons
}

func rowsTable(named map[string][]string, reasons map[string]string) string {
	ids := slices.Collect(maps.Keys(threats))
	for id := range named {
		if threats[id] == "" {
			ids = append(ids, id)
		}
	}
	families := []string{"ICE", "DTLS", "RTP", "SIG", "OPS"}
	slices.SortFunc(ids, func(a, b string) int {
		family := func(id string) int {
			i := slices.Index(families, strings.Split(id, "-")[0])
			if i < 0 {
				return len(families)
			}
			return i
		}
		return cmp.Or(cmp.Compare(family(a), family(b)), cmp.Compare(a, b))
	})
	var b strings.Builder
	b.WriteString(rowsPreamble)
	for _, id := range ids {
		var tests string
		if len(named[id]) > 0 {
			tests = testsCell(named[id])
		} else {
			tests = "not done: " + reasons[id]
		}
		fmt.Fprintf(&b, "| %s | %s | %s |\n", id, threats[id], tests)
	}
	return b.String()
}

// testsCell groups tests by package: "media/ice: TestA, TestB; media/edge: TestC".
func testsCell(tests []string) string {
	byPackage := make(map[string][]string)
	for _, test := range tests {
		dir, name, _ := strings.Cut(test, " ")
		byPackage[dir] = append(byPackage[dir], name)
	}
	var cells []string
	for _, dir := range slices.Sorted(maps.Keys(byPackage)) {
		slices.Sort(byPackage[dir])
		cells = append(cells, dir+": "+strings.Join(byPackage[dir], ", "))
	}
	return strings.Join(cells, "; ")
}

func TestRowsNameTheirTests(t *testing.T) {
	file := filepath.Join(root, rowsFile)
	old, err := os.ReadFile(file)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	reasons := notDone(string(old))
	named := rowsNamed(t)
	want := rowsTable(named, reasons)
	if *update {
		if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if string(old) != want {
		t.Errorf("bench/ROWS.md is not what the tests say. Write it anew:\n  go test ./bench/house -run Rows -update")
	}
	for id := range threats {
		if len(named[id]) == 0 && len(reasons[id]) < 10 {
			t.Errorf("%s: no test names this row, and bench/ROWS.md does not say why (\"not done: reason\")", id)
		}
	}
}

func TestReasonsSurviveWritingTheTable(t *testing.T) {
	named := map[string][]string{"ICE-04": {"media/ice TestB", "media/ice TestA", "media/edge TestC"}, "HTTP-04": {"signal/sora TestD"}}
	text := rowsTable(named, map[string]string{"ICE-01": "needs the edge", "ICE-04": "old"})
	for _, want := range []string{
		"| ICE-01 | " + threats["ICE-01"] + " | not done: needs the edge |\n",
		"| ICE-04 | " + threats["ICE-04"] + " | media/edge: TestC; media/ice: TestA, TestB |\n",
		"| HTTP-04 |  | signal/sora: TestD |\n",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no line %q in\n%s", want, text)
		}
	}
	if reasons := notDone(text); reasons["ICE-01"] != "needs the edge" || reasons["ICE-04"] != "" {
		t.Errorf("read back: %v", reasons)
	}
}
