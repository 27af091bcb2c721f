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
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"tsubame/configs"
)

func main() {
	os.Exit(run(os.Args[1:], os.Stderr))
}

// run returns the exit code: 0 after an orderly end, 1 when the start or the end failed,
// 2 for a wrong command line.
func run(args []string, stderr io.Writer) int {
	flags := flag.NewFlagSet("tsubame", flag.ContinueOnError)
	flags.SetOutput(stderr)
	file := flags.String("c", "", "configuration `file`; without it the defaults hold")
	dev := flags.Bool("dev", false, "development: loopback addresses are advertised too (key: dev)")
	showVersion := flags.Bool("version", false, "print the version and exit")
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return 0
		}
		return 2
	}
	if *showVersion {
		fmt.Println("tsubame", buildVersion())
		return 0
	}
	if flags.NArg() > 0 {
		fmt.Fprintf(stderr, "tsubame: unexpected argument %q; the configuration goes behind -c\n", flags.Arg(0))
		return 2
	}
	cfg, warnings, err := load(*file)
	if err != nil {
		fmt.Fprintf(stderr, "tsubame: %v\n", err)
		return 1
	}
	cfg.Server.Dev = cfg.Server.Dev || *dev
	log := newLogger(cfg.Log, stderr)
	for _, w := range warnings {
		log.Warn("configuration", "warning", w)
	}

	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGUSR1)
	defer signal.Stop(signals)

	s, err := start(cfg, log)
	if err != nil {
		log.Error("cannot start", "err", err)
		fmt.Fprintf(stderr, "tsubame: %v\n", err)
		return 1
	}
	s.ready()
	for {
		select {
		case err := <-s.failed:
			log.Error("signaling server failed", "err", err)
			s.stop(context.Background())
			return 1
		case sig := <-signals:
			switch sig {
			case syscall.SIGUSR1:
				s.logCounters()
			case syscall.SIGHUP:
				s.reload()
			default:
				return s.shutdown(sig, signals)
			}
		}
	}
}

// shutdown drains within the configured bound; a second signal cuts it short.
func (s *server) shutdown(sig os.Signal, signals <-chan os.Signal) int {
	s.log.Info("stopping", "signal", sig.String(), "within", s.cfg.Server.ShutdownTimeout.String())
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

func load(file string) (configs.Config, []string, error) {
	if file == "" {
		return configs.Defaults(), nil, nil
	}
	cfg, warnings, err := configs.Load(file)
	if err != nil {
		return cfg, nil, fmt.Errorf("configuration: %w", err)
	}
	texts := make([]string, len(warnings))
	for i, w := range warnings {
		texts[i] = w.String()
	}
	return cfg, texts, nil
}

func newLogger(c configs.Log, w io.Writer) *slog.Logger {
	var level slog.Level
	if err := level.UnmarshalText([]byte(c.Level)); err != nil {
		level = slog.LevelInfo
	}
	opts := &slog.HandlerOptions{Level: level}
	if c.Format == "json" {
		return slog.New(slog.NewJSONHandler(w, opts))
	}
	return slog.New(slog.NewTextHandler(w, opts))
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
