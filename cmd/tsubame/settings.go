package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"

	"tsubame/configs"
	"tsubame/signal/token"
)

// settingsSource is where the configuration comes from, at the start and at every reload.
type settingsSource struct {
	file    string          // empty: none
	environ func() []string // as os.Environ
	dev     bool            // the flag, over all else
}

func (s settingsSource) read() (*configs.Loaded, error) {
	environ := s.environ()
	if s.dev {
		const dev = "TSUBAME_DEV="
		environ = slices.DeleteFunc(slices.Clone(environ), func(v string) bool { return strings.HasPrefix(v, dev) })
		environ = append(environ, dev+"true")
	}
	return configs.Read(s.file, environ, checkTokenKey)
}

func checkTokenKey(k configs.TokenKey) error {
	_, err := token.LoadKey(k.ID, k.Alg, k.File)
	return err
}

// reportFaults writes what keeps a configuration from being used, a line for each fault.
func reportFaults(w io.Writer, err error) {
	var faults *configs.Faults
	if !errors.As(err, &faults) {
		fmt.Fprintf(w, "tsubame: configuration: %v\n", err)
		return
	}
	for _, f := range faults.List {
		fmt.Fprintf(w, "tsubame: %v\n", f)
	}
	if faults.More > 0 {
		fmt.Fprintf(w, "tsubame: and %d more\n", faults.More)
	}
}

func logWarnings(log *slog.Logger, loaded *configs.Loaded) {
	for _, w := range loaded.Warnings {
		log.Warn("configuration", "warning", w.String())
	}
	if loaded.MoreWarnings > 0 {
		log.Warn("configuration", "more_warnings", loaded.MoreWarnings)
	}
}
