package house

import (
	"bytes"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// topLevel is everything that may stand at the top of the repository beside what
// begins with a dot.
var topLevel = []string{
	"bench", "cmd", "configs", "media", "netio", "signal", "turnsrv",
	"go.mod", "go.sum", "Makefile", "README.md", "ARCHITECTURE.md", "CHANGELOG.md",
	"CONTRIBUTING.md", "SECURITY.md", "LICENSE", "Dockerfile",
}

// maxLines is what a newcomer reads in one sitting.
const maxLines = 700

func TestTopLevelHoldsWhatWasAgreed(t *testing.T) {
	for _, name := range allFiles(t) {
		top, _, _ := strings.Cut(name, "/")
		if !strings.HasPrefix(top, ".") && !slices.Contains(topLevel, top) {
			t.Errorf("%s: %s is not one of %v", name, top, topLevel)
		}
	}
}

func TestFilesCanBeReadInOneSitting(t *testing.T) {
	for _, name := range allFiles(t) {
		switch path.Ext(name) {
		case ".go", ".js", ".mjs", ".css", ".html", ".sh":
			if n := strings.Count(readFile(t, name), "\n"); n > maxLines {
				t.Errorf("%s has %d lines, more than %d", name, n, maxLines)
			}
		}
	}
}

// unwanted are words that mean that something is not finished, that a test does not
// test, or that the text is about one machine. They are put together from parts so
// that this file does not contain them.
var unwanted = []struct {
	re    *regexp.Regexp
	where func(name string) bool
	why   string
}{
	{regexp.MustCompile(`\b(TO` + `DO|FIX` + `ME|X` + `XX)\b`), isText, "finish it, or say in the README that it is missing"},
	{regexp.MustCompile(`\bt\.Sk` + `ip(Now|f)?\(`), isGo, "a test that is left out shows nothing"},
	{regexp.MustCompile(`\btime\.Sl` + `eep\(`), isTestFile, "wait for a condition"},
	{regexp.MustCompile(`(^|[^A-Za-z0-9_.\-/])/(wo` + `rk|fa` + `rm)/`), isText, "a path of one machine"},
	{regexp.MustCompile(`registry\.np` + `mjs|proxy\.gol` + `ang\.org|deb\.deb` + `ian\.org`), isText, "the host of a package registry"},
}

func isText(name string) bool {
	return slices.Contains([]string{".go", ".js", ".md", ".sh", ".json", ".html", ".css", ".conf", ""}, path.Ext(name)) &&
		!strings.Contains(name, "/testdata/")
}
func isGo(name string) bool       { return path.Ext(name) == ".go" }
func isTestFile(name string) bool { return strings.HasSuffix(name, "_test.go") }

func TestNothingIsLeftUnfinishedOrSkipped(t *testing.T) {
	for _, name := range allFiles(t) {
		if !isText(name) {
			continue
		}
		text := []byte(readFile(t, name))
		for _, u := range unwanted {
			if !u.where(name) {
				continue
			}
			if at := u.re.FindIndex(text); at != nil {
				t.Errorf("%s:%d: %q: %s", name, 1+bytes.Count(text[:at[0]], []byte("\n")), text[at[0]:at[1]], u.why)
			}
		}
	}
}
