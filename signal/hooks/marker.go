package hooks

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
)

// markerName is of the file that is there while the server runs. One that is there at the
// start says that the sessions of the last run have vanished.
const markerName = "tsubame.running"

// mark leaves the marker in dir; found says that there was one.
func mark(dir string) (found bool, err error) {
	name := filepath.Join(dir, markerName)
	if _, err := os.Stat(name); err == nil {
		found = true
	} else if !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return found, err
	}
	return found, os.WriteFile(name, []byte(strconv.Itoa(os.Getpid())+"\n"), 0o644)
}

// unmark takes it away at an orderly end.
func unmark(dir string) error { return os.Remove(filepath.Join(dir, markerName)) }
