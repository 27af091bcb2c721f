package acme

import (
	"context"
	"log/slog"
	"maps"
	"slices"

	"go.uber.org/zap/zapcore"
)

// events turns certmagic's into log lines.
type events struct{ log *slog.Logger }

// The events that an operator has to know of. There are others at every handshake.
const (
	obtained = "cert_obtained"
	failed   = "cert_failed"
)

func isNews(event string) bool { return event == obtained || event == failed }

func (e events) on(_ context.Context, event string, data map[string]any) error {
	switch event {
	case obtained:
		e.log.Info("ACME: certificate obtained", "domain", data["identifier"], "renewal", data["renewal"])
	case failed:
		e.log.Error("ACME: no certificate", "domain", data["identifier"], "renewal", data["renewal"], "err", data["error"])
	}
	return nil
}

// core takes certmagic's warnings and errors into our log: what fails in the background is told
// nowhere else.
type core struct {
	log    *slog.Logger
	fields []zapcore.Field
}

// Enabled implements zapcore.LevelEnabler.
func (core) Enabled(l zapcore.Level) bool { return l >= zapcore.WarnLevel }

// With implements zapcore.Core.
func (c core) With(fields []zapcore.Field) zapcore.Core {
	return core{c.log, slices.Concat(c.fields, fields)}
}

// Check implements zapcore.Core.
func (c core) Check(e zapcore.Entry, to *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if c.Enabled(e.Level) {
		return to.AddCore(e, c)
	}
	return to
}

// Write implements zapcore.Core.
func (c core) Write(e zapcore.Entry, fields []zapcore.Field) error {
	m := zapcore.NewMapObjectEncoder()
	for _, f := range slices.Concat(c.fields, fields) {
		f.AddTo(m)
	}
	args := make([]any, 0, 2*len(m.Fields))
	for _, name := range slices.Sorted(maps.Keys(m.Fields)) {
		args = append(args, name, m.Fields[name])
	}
	level := slog.LevelWarn
	if e.Level > zapcore.WarnLevel {
		level = slog.LevelError
	}
	c.log.Log(context.Background(), level, "ACME: "+e.Message, args...)
	return nil
}

// Sync implements zapcore.Core.
func (core) Sync() error { return nil }
