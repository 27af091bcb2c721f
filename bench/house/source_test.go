package house

import (
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// root is the repository, two folders above this package.
const root = "../.."

// module is the path in go.mod; every package of ours begins with it.
const module = "tsubame/"

// goPackage is what `go list` says of one package.
type goPackage struct {
	ImportPath   string
	Imports      []string
	TestImports  []string
	XTestImports []string
}

// short is the path without the module.
func (p goPackage) short() string { return strings.TrimPrefix(p.ImportPath, module) }

// packages lists every package, those with the browser tests too. -e keeps a
// package that does not build from hiding the others: the build says what is wrong.
var packages = sync.OnceValues(func() ([]goPackage, error) {
	cmd := exec.Command("go", "list", "-e", "-tags", "browser", "-json=ImportPath,Imports,TestImports,XTestImports", "./...")
	cmd.Dir = root
	out, err := cmd.Output()
	if err != nil {
		return nil, err
	}
	var all []goPackage
	for decoder := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p goPackage
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			return all, nil
		} else if err != nil {
			return nil, err
		}
		all = append(all, p)
	}
})

func allPackages(t *testing.T) []goPackage {
	t.Helper()
	all, err := packages()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	if len(all) == 0 {
		t.Fatal("go list knows no package")
	}
	return all
}

// repositoryFiles are the files that git tracks or would track.
var repositoryFiles = sync.OnceValues(func() ([]string, error) {
	cmd := exec.Command("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
	cmd.Dir = root
	out, err := cmd.Output()
	if err != nil {
		return nil, err
	}
	var files []string
	for name := range strings.SplitSeq(strings.TrimRight(string(out), "\x00"), "\x00") {
		if _, err := os.Stat(filepath.Join(root, name)); err == nil { // deleted, but not yet committed
			files = append(files, name)
		}
	}
	return files, nil
})

func allFiles(t *testing.T) []string {
	t.Helper()
	files, err := repositoryFiles()
	if err != nil {
		t.Fatalf("git ls-files: %v", err)
	}
	if len(files) == 0 {
		t.Fatal("git knows no file")
	}
	return files
}

func readFile(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(root, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// goFile is one parsed source file; name is its path in the repository.
type goFile struct {
	name string
	set  *token.FileSet
	ast  *ast.File
}

func (f goFile) dir() string  { return path.Dir(f.name) }
func (f goFile) isTest() bool { return strings.HasSuffix(f.name, "_test.go") }

func (f goFile) at(p token.Pos) int { return f.set.Position(p).Line }

var parsedFiles = sync.OnceValues(func() ([]goFile, error) {
	names, err := repositoryFiles()
	if err != nil {
		return nil, err
	}
	set := token.NewFileSet()
	var files []goFile
	for _, name := range names {
		if path.Ext(name) != ".go" {
			continue
		}
		tree, err := parser.ParseFile(set, filepath.Join(root, name), nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		files = append(files, goFile{name, set, tree})
	}
	return files, nil
})

func goFiles(t *testing.T) []goFile {
	t.Helper()
	files, err := parsedFiles()
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// imports maps the names by which a file uses its imports to their paths.
func (f goFile) imports() map[string]string {
	names := make(map[string]string)
	for _, spec := range f.ast.Imports {
		p := strings.Trim(spec.Path.Value, `"`)
		name := path.Base(p)
		if spec.Name != nil {
			name = spec.Name.Name
		}
		names[name] = p
	}
	return names
}
