package house

import (
	"path"
	"strings"
	"testing"
)

// minDoc is about one sentence: enough to say what a package is for.
const minDoc = 80

func TestEveryPackageSaysWhatItIsForInOnePlace(t *testing.T) {
	docs := make(map[string][]goFile)
	seen := make(map[string]string) // folder to package name
	for _, f := range goFiles(t) {
		if f.isTest() {
			continue
		}
		seen[f.dir()] = f.ast.Name.Name
		if f.ast.Doc != nil {
			docs[f.dir()] = append(docs[f.dir()], f)
		}
	}
	if len(seen) == 0 {
		t.Fatal("no package was found")
	}
	for dir, name := range seen {
		if len(docs[dir]) != 1 {
			t.Errorf("%s: %d files have a package comment, want 1", dir, len(docs[dir]))
			continue
		}
		text := docs[dir][0].ast.Doc.Text()
		want := "Package " + name + " "
		if name == "main" {
			want = "Command " + path.Base(dir) + " "
		}
		if !strings.HasPrefix(text, want) {
			t.Errorf("%s: the package comment does not begin with %q: %.60q", dir, want, text)
		}
		if len(text) < minDoc {
			t.Errorf("%s: the package comment says little: %q", dir, text)
		}
	}
}
