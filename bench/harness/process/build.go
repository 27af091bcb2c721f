package process

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Root returns the directory of go.mod that the working directory is in.
func Root(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "env", "GOMOD").Output()
	if err != nil {
		return "", fmt.Errorf("process: go env GOMOD: %w", err)
	}
	mod := strings.TrimSpace(string(out))
	if mod == "" || mod == os.DevNull {
		return "", errors.New("process: not inside the work tree that the server is built from")
	}
	return filepath.Dir(mod), nil
}

// Build builds the server of the work tree root as `make build` does, as the file binary under
// root, and returns its path. The go command's cache makes later builds short, and the rename
// makes them harmless to each other: each replaces a complete file by a complete file.
func Build(ctx context.Context, root, binary string) (string, error) {
	binary = filepath.Join(root, binary)
	if err := os.MkdirAll(filepath.Dir(binary), 0o755); err != nil {
		return "", fmt.Errorf("process: %w", err)
	}
	fresh := fmt.Sprintf("%s-%d", binary, os.Getpid())
	defer os.Remove(fresh)
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", fresh, "./cmd/tsubame")
	build.Dir = root
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("process: go build ./cmd/tsubame: %w\n%s", err, out)
	}
	if err := os.Rename(fresh, binary); err != nil {
		return "", fmt.Errorf("process: %w", err)
	}
	return binary, nil
}
