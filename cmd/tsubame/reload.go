package main

import (
	"errors"
	"log/slog"

	"tsubame/configs"
)

// reloadable is a part of the server that follows some keys while it runs. Reconfigure is called on
// every SIGHUP whose configuration can be used, also if no key has changed: the files that keys
// name may have. What differs from the configuration of the call before is only what the reference
// file says can change. It is called by one goroutine, and returns soon.
type reloadable interface{ Reconfigure(configs.Config) }

// reloader takes changes of the configuration up. It is for one goroutine.
type reloader struct {
	source  settingsSource
	running configs.Config // what the server follows
	targets []reloadable
	log     *slog.Logger
}

// reload reads the configuration again. One with anything wrong in it changes nothing.
func (r *reloader) reload() {
	loaded, err := r.source.read()
	if err != nil {
		r.refuse(err)
		return
	}
	merged, err := configs.Merge(r.running, loaded.Config)
	if err != nil {
		r.refuse(err)
		return
	}
	changes := configs.Diff(r.running, loaded.Config)
	r.running = merged
	for _, t := range r.targets {
		t.Reconfigure(merged)
	}
	logWarnings(r.log, loaded)
	for _, c := range changes {
		if c.Reload {
			r.log.Info("reload: changed", "key", c.Key, "old", c.Old, "new", c.New)
		} else {
			r.log.Warn("reload: this key needs a restart", "key", c.Key, "running", c.Old, "new", c.New)
		}
	}
	r.log.Info("configuration read again", "changes", len(changes))
}

// refuse says why nothing changes.
func (r *reloader) refuse(err error) {
	const text = "reload: the configuration stays as it was"
	var faults *configs.Faults
	if !errors.As(err, &faults) {
		r.log.Error(text, "err", err)
		return
	}
	for _, f := range faults.List {
		r.log.Error(text, "err", f.String())
	}
	if faults.More > 0 {
		r.log.Error(text, "more", faults.More)
	}
}

// levelSetter follows log_level.
type levelSetter struct{ level *slog.LevelVar }

func (l levelSetter) Reconfigure(c configs.Config) { l.level.Set(logLevel(c.Log)) }

// Reconfigure implements reloadable. What clients are told of the addresses is decided anew after
// it, by reload.
func (s *server) Reconfigure(c configs.Config) {
	c.Media.Shards = s.cfg.Media.Shards // as many as there are
	s.cfg = c
	s.registry.Reconfigure(s.channelConfig())
}
