package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"

	"tsubame/configs"
	"tsubame/signal/hooks"
	"tsubame/signal/journal"
	"tsubame/signal/sora"
	"tsubame/signal/token"
)

// openLogFiles opens the log files and returns a logger that writes to the first of them what it
// writes to log, too. Without log_dir there are none. What keeps lines out of the files is said
// on log only: the files cannot tell.
func openLogFiles(c configs.Config, log *slog.Logger, level slog.Leveler) (*journal.Journal, *slog.Logger, error) {
	j, err := journal.Open(journal.Config{
		Dir: c.LogFiles.Dir, MaxBytes: c.LogFiles.MaxBytes, Keep: c.LogFiles.Keep,
		Version: buildVersion(), Node: c.Server.NodeName,
		Report: func(err error) { log.Error("log files", "err", err) },
	})
	if err != nil || c.LogFiles.Dir == "" {
		return j, log, err
	}
	return j, slog.New(slog.NewMultiHandler(log.Handler(), j.Handler(slog.HandlerOptions{Level: level}))), nil
}

// closeLogFiles writes what waits, for as long as a disk that works takes.
func closeLogFiles(j *journal.Journal, log *slog.Logger) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if err := j.Close(ctx); err != nil {
		log.Error("log files", "err", err)
	}
}

// application is what stands between the server and the application that it serves: webhooks, and
// the tokens that spare a webhook.
type application struct {
	*hooks.Hooks
	dev *devKey // nil: not for development
	log *slog.Logger
}

// devKey is made for one process, beside the keys of the configuration.
type devKey struct {
	token.Key
	secret string
}

func newDevKey() (*devKey, error) {
	files, err := token.NewKeyFiles("HS256")
	if err != nil {
		return nil, err
	}
	key, err := token.ParseSigningKey("dev", files.Signing)
	return &devKey{key, strings.TrimSpace(string(files.Signing))}, err
}

// openApplication reads the keys and begins to deliver.
func openApplication(c configs.Config, j *journal.Journal, log *slog.Logger) (*application, error) {
	a := &application{log: log}
	var err error
	if c.Server.Dev && c.Webhooks.AuthURL == "" { // else tokens are the application's, in a form of its own
		if a.dev, err = newDevKey(); err != nil {
			return nil, fmt.Errorf("a key for development: %w", err)
		}
	}
	tokens, err := a.verifier(c.Tokens)
	if err != nil {
		return nil, err
	}
	var lines hooks.Journal
	if c.LogFiles.Dir != "" {
		lines = j
	}
	a.Hooks, err = hooks.New(hooks.Config{
		Webhooks: c.Webhooks, Exporter: c.Exporter, Tokens: tokens, RequireToken: c.Tokens.Require,
		Version: serverVersion(), Label: c.Server.Label, NodeName: c.Server.NodeName,
		Journal: lines, StateDir: c.LogFiles.Dir, MaxAsking: c.Signaling.MaxJoining, Log: log,
	})
	if err != nil {
		return nil, fmt.Errorf("webhooks: %w", err)
	}
	return a, nil
}

// verifier returns what checks tokens; nil: there are no keys to check them with.
func (a *application) verifier(c configs.Tokens) (*token.Verifier, error) {
	var keys []token.Key
	if a.dev != nil {
		keys = append(keys, a.dev.Key)
	}
	for _, k := range c.Keys {
		key, err := token.LoadKey(k.ID, k.Alg, k.File)
		if err != nil {
			return nil, fmt.Errorf("token_keys: %w", err)
		}
		keys = append(keys, key)
	}
	if len(keys) == 0 {
		return nil, nil
	}
	v, err := token.New(keys)
	if err != nil {
		return nil, fmt.Errorf("token_keys: %w", err)
	}
	return v, nil
}

// Reconfigure implements reloadable.
func (a *application) Reconfigure(c configs.Config) {
	if err := a.Hooks.Reconfigure(c.Webhooks); err != nil {
		a.log.Error("reload: webhooks stay as they were", "err", err)
	}
	if err := a.ReconfigureExporter(c.Exporter); err != nil {
		a.log.Error("reload: the statistics exporter stays as it was", "err", err)
	}
	tokens, err := a.verifier(c.Tokens)
	if err != nil {
		a.log.Error("reload: the keys of tokens stay as they were", "err", err)
		return
	}
	a.SetTokens(tokens, c.Tokens.Require)
}

// close delivers what waits, within what ctx leaves.
func (a *application) close(ctx context.Context) error {
	if a == nil {
		return nil
	}
	return a.Hooks.Close(ctx)
}

// What the token that --dev shows is for.
const (
	devChannel = "tsubame"
	devTime    = 24 * time.Hour
)

// invite shows on w what lets somebody join: for development only, and in no log file.
func (a *application) invite(w io.Writer, page string) error {
	if a.dev == nil {
		return nil
	}
	now := time.Now()
	text, _, err := a.dev.Sign(token.Grant{
		Channels: []string{devChannel}, Roles: []sora.Role{sora.SendRecv, sora.SendOnly, sora.RecvOnly}, Issued: now, Ends: now.Add(devTime),
	})
	if err != nil {
		return fmt.Errorf("a token for development: %w", err)
	}
	_, err = fmt.Fprintf(w, "\nFor development, until this server ends:\n  key    %s (%s, key id %s)\n  token  %s\n         channel %s, any role, %v\n  join   %s\n\n",
		a.dev.secret, a.dev.Alg, a.dev.ID, text, devChannel, devTime, token.DevURL(page, devChannel, sora.SendRecv, text)+"&auto=1")
	return err
}
