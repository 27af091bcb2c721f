package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// unknown stands for a coverage that could not be measured.
const unknown = -1.0

// coverage replays the whole corpus of a target (seeds, testdata and what the engine
// has found so far) in a binary that counts, and returns the share of statements
// that were run, in percent, of all functions of the package that the target enters.
func coverage(t target) (float64, error) {
	dir, err := os.MkdirTemp("", "fuzzer")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	source, err := goOutput("list", "-f", "{{.Dir}}", t.Package)
	if err != nil {
		return 0, err
	}
	cache, err := goOutput("env", "GOCACHE")
	if err != nil {
		return 0, err
	}
	corpus := filepath.Join("testdata", "fuzz", t.Name)
	for _, from := range []string{filepath.Join(source, corpus), filepath.Join(cache, "fuzz", t.Package, t.Name)} {
		if err := copyFiles(filepath.Join(dir, corpus), from); err != nil {
			return 0, err
		}
	}
	binary := filepath.Join(dir, "replay")
	if _, err := goOutput("test", "-c", "-cover", "-covermode", "set", "-o", binary, t.Package); err != nil {
		return 0, err
	}
	profile := filepath.Join(dir, "profile")
	replay := exec.Command(binary, "-test.run", "^"+t.Name+"$", "-test.coverprofile", profile)
	replay.Dir = dir // the binary looks for testdata where it runs
	if out, err := replay.CombinedOutput(); err != nil {
		return 0, fmt.Errorf("replay: %w\n%s", err, out)
	}
	text, err := os.ReadFile(profile)
	if err != nil {
		return 0, err
	}
	return enteredShare(string(text), func(name string) ([]span, error) {
		return functions(filepath.Join(source, filepath.Base(name)))
	})
}

func goOutput(args ...string) (string, error) {
	cmd := exec.Command("go", args...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("go %s: %w", args[0], err)
	}
	return strings.TrimSpace(string(out)), nil
}

// copyFiles copies the files of a folder that may not exist.
func copyFiles(to, from string) error {
	entries, err := os.ReadDir(from)
	if os.IsNotExist(err) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := os.MkdirAll(to, 0o755); err != nil {
		return err
	}
	for _, e := range entries {
		b, err := os.ReadFile(filepath.Join(from, e.Name()))
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(to, e.Name()), b, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// span is the range of lines of one function.
type span struct{ first, last int }

func functions(file string) ([]span, error) {
	set := token.NewFileSet()
	f, err := parser.ParseFile(set, file, nil, parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	var spans []span
	for _, d := range f.Decls {
		if fn, ok := d.(*ast.FuncDecl); ok && fn.Body != nil {
			spans = append(spans, span{set.Position(fn.Pos()).Line, set.Position(fn.End()).Line})
		}
	}
	return spans, nil
}

// enteredShare reads a coverage profile and sums over the functions in which at
// least one statement was run.
func enteredShare(profile string, functionsOf func(file string) ([]span, error)) (float64, error) {
	type function struct {
		file string
		span
	}
	type sum struct{ run, all int }
	sums := make(map[function]*sum)
	spans := make(map[string][]span)
	for line := range strings.Lines(profile) {
		if strings.HasPrefix(line, "mode:") {
			continue
		}
		file, rest, ok := strings.Cut(line, ".go:")
		var first, firstColumn, last, lastColumn, statements, count int
		if ok {
			_, err := fmt.Sscanf(rest, "%d.%d,%d.%d %d %d", &first, &firstColumn, &last, &lastColumn, &statements, &count)
			ok = err == nil
		}
		if !ok {
			return 0, fmt.Errorf("profile: %q", line)
		}
		file += ".go"
		if _, known := spans[file]; !known {
			found, err := functionsOf(file)
			if err != nil {
				return 0, err
			}
			spans[file] = found
		}
		for _, s := range spans[file] {
			if first < s.first || last > s.last {
				continue
			}
			key := function{file, s}
			if sums[key] == nil {
				sums[key] = &sum{}
			}
			sums[key].all += statements
			if count > 0 {
				sums[key].run += statements
			}
		}
	}
	var total sum
	for _, s := range sums {
		if s.run > 0 {
			total.run += s.run
			total.all += s.all
		}
	}
	if total.all == 0 {
		return unknown, nil
	}
	return 100 * float64(total.run) / float64(total.all), nil
}
