// Command tsubame is the server: it reads flags and the configuration, wires the media
// plane, signaling and the page together, and sees them out again on a signal. It is the
// only place that knows everything; what it wires knows nothing of it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"os/signal"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"

	"tsubame/configs"
)

func main() {
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

// subcommands are what the first argument can be instead of a flag. Each returns the exit code.
var subcommands = map[string]func(args []string, stdout, stderr io.Writer) int{
	"check-config": checkCommand,
	"print-config": printCommand,
	"token":        tokenCommand,
}

// run returns the exit code: 0 after an orderly end, 1 when the start or the end failed,
// 2 for a wrong command line.
func run(args []string, stdout, stderr io.Writer) int {
	if len(args) > 0 {
		if command, ok := subcommands[args[0]]; ok {
			return command(args[1:], stdout, stderr)
		}
	}
	flags := flag.NewFlagSet("tsubame", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Usage = func() {
		names := slices.Sorted(maps.Keys(subcommands))
		fmt.Fprintf(stderr, "tsubame [flags]: the server\ntsubame COMMAND: one of %s\n", strings.Join(names, ", "))
		flags.PrintDefaults()
	}
	file := flags.String("c", "", "configuration `file`; without it the defaults and the environment hold")
	dev := flags.Bool("dev", false, "development: loopback addresses are advertised too (key: dev)")
	showVersion := flags.Bool("version", false, "print the version and exit")
	if code, ok := parseFlags(flags, args); !ok {
		return code
	}
	if *showVersion {
		fmt.Fprintln(stdout, "tsubame", buildVersion())
		return 0
	}
	if flags.NArg() > 0 {
		fmt.Fprintf(stderr, "tsubame: unexpected argument %q; the configuration goes behind -c\n", flags.Arg(0))
		return 2
	}
	source := settingsSource{file: *file, dev: *dev, environ: os.Environ}
	loaded, err := source.read()
	if err != nil {
		reportFaults(stderr, err)
		return 1
	}
	return serve(loaded, source, stderr)
}

// parseFlags reads the flags. Not ok: the process ends with the code.
func parseFlags(flags *flag.FlagSet, args []string) (code int, ok bool) {
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return 0, false
	case err != nil:
		return 2, false
	}
	return 0, true
}

// serve runs the server until a signal ends it, and returns the exit code.
func serve(loaded *configs.Loaded, source settingsSource, stderr io.Writer) int {
	cfg, level := loaded.Config, new(slog.LevelVar)
	level.Set(logLevel(cfg.Log))
	files, log, err := openLogFiles(cfg, newLogger(cfg.Log, level, stderr), level)
	if err != nil {
		fmt.Fprintf(stderr, "tsubame: %v\n", err)
		return 1
	}
	defer closeLogFiles(files, log)
	logWarnings(log, loaded)

	signal.Ignore(syscall.SIGPIPE) // whoever reads our log may go away; calls stay
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGUSR1)
	defer signal.Stop(signals)

	s, err := start(cfg, files, log)
	if err != nil {
		log.Error("cannot start", "err", err)
		fmt.Fprintf(stderr, "tsubame: %v\n", err)
		return 1
	}
	s.ready()
	page, _ := s.page()
	if err := s.app.invite(stderr, page); err != nil {
		log.Error("development", "err", err)
	}
	settings := reloader{source: source, running: cfg, log: log, targets: []reloadable{levelSetter{level}, s, s.app}}
	for {
		select {
		case err := <-s.failed:
			log.Error("signaling server failed", "err", err)
			s.shutdown("signaling server failed", signals)
			return 1
		case sig := <-signals:
			switch sig {
			case syscall.SIGUSR1:
				files.Reopen()
				s.logCounters()
			case syscall.SIGHUP:
				files.Reopen()
				settings.reload()
				s.reload()
			default:
				return s.shutdown(sig.String(), signals)
			}
		}
	}
}

// shutdown drains within the configured bound; a second signal cuts it short.
func (s *server) shutdown(why string, signals <-chan os.Signal) int {
	s.log.Info("stopping", "signal", why, "within", s.cfg.Server.ShutdownTimeout.String())
	ctx, cancel := context.WithTimeout(context.Background(), s.cfg.Server.ShutdownTimeout)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- s.stop(ctx) }()
	for {
		select {
		case err := <-done:
			if err != nil {
				s.log.Error("stopped with connections left", "err", err)
				return 1
			}
			s.log.Info("stopped")
			return 0
		case again := <-signals:
			if again == syscall.SIGTERM || again == syscall.SIGINT {
				s.log.Warn("stopped at once by a second signal", "signal", again.String())
				return 1
			}
		}
	}
}

func newLogger(c configs.Log, level slog.Leveler, w io.Writer) *slog.Logger {
	opts := &slog.HandlerOptions{Level: level}
	if c.Format == "json" {
		return slog.New(slog.NewJSONHandler(w, opts))
	}
	return slog.New(slog.NewTextHandler(w, opts))
}

// logLevel returns the level by its name.
func logLevel(c configs.Log) slog.Level {
	var level slog.Level
	if err := level.UnmarshalText([]byte(c.Level)); err != nil {
		return slog.LevelInfo
	}
	return level
}

// version is set by the Makefile.
var version string

// buildVersion is what the Makefile said, or the commit as Go stamped it.
func buildVersion() string {
	if version != "" {
		return version
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			return s.Value
		}
	}
	return info.Main.Version
}
