package harness

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
)

// Root returns the directory of go.mod, so that a test finds files of the
// repository whatever package it runs in.
var Root = sync.OnceValues(func() (string, error) {
	out, err := exec.Command("go", "env", "GOMOD").Output()
	if err != nil {
		return "", fmt.Errorf("harness: go env GOMOD: %w", err)
	}
	mod := strings.TrimSpace(string(out))
	if mod == "" || mod == os.DevNull {
		return "", fmt.Errorf("harness: not inside the module")
	}
	return filepath.Dir(mod), nil
})

// Binary builds the server as `make build` does and returns its path. It builds
// once a process; Go's build cache makes the builds of other test processes
// short, and the rename makes them harmless: each of them replaces a complete
// file by a complete file.
var Binary = sync.OnceValues(func() (string, error) {
	root, err := Root()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(root, "bin", "test")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	fresh := filepath.Join(dir, fmt.Sprintf("tsubame-%d", os.Getpid()))
	defer os.Remove(fresh)
	build := exec.Command("go", "build", "-trimpath", "-o", fresh, "./cmd/tsubame")
	build.Dir = root
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("harness: go build ./cmd/tsubame: %w\n%s", err, out)
	}
	binary := filepath.Join(dir, "tsubame")
	if err := os.Rename(fresh, binary); err != nil {
		return "", err
	}
	return binary, nil
})
