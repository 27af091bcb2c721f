package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"tsubame/signal/sora"
	"tsubame/signal/token"
)

// tokenCommand is `tsubame token`: it prints a token, or makes a key for tokens. It
// returns the exit code: 0, 1 when that failed, 2 for a wrong command line.
func tokenCommand(args []string, stdout, stderr io.Writer) int {
	o, flags := tokenFlags(stderr)
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return 0
		}
		return 2
	}
	if err := o.check(flags); err != nil {
		fmt.Fprintf(stderr, "tsubame token: %v; see tsubame token --help\n", err)
		return 2
	}
	act := o.sign
	if o.newKey != "" {
		act = o.makeKey
	}
	if err := act(stdout, stderr); err != nil {
		fmt.Fprintf(stderr, "tsubame token: %v\n", err)
		return 1
	}
	return 0
}

// tokenOptions is the command line.
type tokenOptions struct {
	key, kid    string
	grant       token.Grant
	validFor    time.Duration
	newKey, alg string
}

func tokenFlags(stderr io.Writer) (*tokenOptions, *flag.FlagSet) {
	o := new(tokenOptions)
	flags := flag.NewFlagSet("tsubame token", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Usage = func() {
		fmt.Fprint(stderr, "A token to join with:  tsubame token --channel ID --role ROLE --key FILE [--valid-for 24h]\n"+
			"A key to sign with:    tsubame token --new-key FILE [--alg ES256]\n\n")
		flags.PrintDefaults()
	}
	flags.Func("channel", "channel `id`, or a prefix with * behind it; may be given several times", func(s string) error {
		if s == "" {
			return errors.New("empty")
		}
		o.grant.Channels = append(o.grant.Channels, s)
		return nil
	})
	flags.Func("role", "`role`: sendrecv, sendonly or recvonly; may be given several times", o.addRole)
	flags.DurationVar(&o.validFor, "valid-for", 24*time.Hour, "`time` from now, or from --not-before on, until it ends")
	flags.Func("not-before", "`time` at which it begins, as in 2026-12-31T18:00:00Z", func(s string) (err error) {
		o.grant.Begins, err = time.Parse(time.RFC3339, s)
		return err
	})
	flags.StringVar(&o.key, "key", "", "`file` with the key to sign with: a private key (PEM) for ES256 or RS256, a secret for HS256")
	flags.StringVar(&o.kid, "kid", "", "`name` of the key in token_keys; not needed where it is the only one of its algorithm")
	flags.StringVar(&o.grant.ClientID, "client-id", "", "client `id` that the client gets, whatever it says")
	flags.Func("claim", "`name=JSON`: what an auth webhook would answer, as video_bit_rate=1500; may be given several times", o.addClaim)
	flags.StringVar(&o.newKey, "new-key", "", "make a key in `file` (and, for ES256, its public key in file.pub) instead of a token")
	flags.StringVar(&o.alg, "alg", token.ES256, "`algorithm` of the new key: ES256 or HS256")
	return o, flags
}

func (o *tokenOptions) addRole(s string) error {
	for _, role := range []sora.Role{sora.SendRecv, sora.SendOnly, sora.RecvOnly} {
		if role.String() == s {
			o.grant.Roles = append(o.grant.Roles, role)
			return nil
		}
	}
	return errors.New("none of sendrecv, sendonly, recvonly")
}

func (o *tokenOptions) addClaim(s string) error {
	name, value, ok := strings.Cut(s, "=")
	if !ok || name == "" {
		return errors.New("not name=JSON")
	}
	if !json.Valid([]byte(value)) {
		return errors.New(`the value is not JSON; a string has its quotation marks: name='"text"'`)
	}
	o.grant.Claims = append(o.grant.Claims, token.Claim{Name: name, Value: json.RawMessage(value)})
	return nil
}

// check finds what does not go together.
func (o *tokenOptions) check(flags *flag.FlagSet) error {
	given := make(map[string]bool)
	flags.Visit(func(f *flag.Flag) { given[f.Name] = true })
	switch {
	case flags.NArg() > 0:
		return fmt.Errorf("unexpected argument %q", flags.Arg(0))
	case o.newKey != "" && len(given) > 1 && !(len(given) == 2 && given["alg"]):
		return errors.New("--new-key goes with --alg only")
	case o.newKey != "":
		return nil
	case given["alg"]:
		return errors.New("--alg goes with --new-key only: a key has its algorithm")
	case o.key == "":
		return errors.New("--key is missing")
	case len(o.grant.Channels) == 0:
		return errors.New("--channel is missing")
	case len(o.grant.Roles) == 0:
		return errors.New("--role is missing")
	case o.validFor < time.Second:
		return errors.New("--valid-for is less than a second")
	}
	return nil
}

func (o *tokenOptions) sign(stdout, stderr io.Writer) error {
	key, err := token.LoadSigningKey(o.kid, o.key)
	if err != nil {
		return err
	}
	g := o.grant
	g.Issued = time.Now()
	g.Ends = g.Issued.Add(o.validFor)
	if !g.Begins.IsZero() {
		g.Ends = g.Begins.Add(o.validFor)
	}
	text, warnings, err := key.Sign(g)
	if err != nil {
		return err
	}
	for _, w := range warnings {
		fmt.Fprintf(stderr, "tsubame token: warning: %s\n", w)
	}
	_, err = fmt.Fprintln(stdout, text)
	return err
}

// makeKey writes the files of a new key, and prints the line of the configuration for it.
func (o *tokenOptions) makeKey(stdout, stderr io.Writer) error {
	files, err := token.NewKeyFiles(o.alg)
	if err != nil {
		return err
	}
	if err := writeNew(o.newKey, files.Signing, 0o600); err != nil {
		return err
	}
	verify := o.newKey
	if files.Public != nil {
		verify += ".pub"
		if err := writeNew(verify, files.Public, 0o644); err != nil {
			os.Remove(o.newKey) // it was made just now, and nobody has its other half
			return err
		}
	}
	if absolute, err := filepath.Abs(verify); err == nil {
		verify = absolute
	}
	fmt.Fprintf(stderr, "%s signs tokens: tsubame token --key %s. The server needs this line:\n", o.newKey, o.newKey)
	_, err = fmt.Fprintf(stdout, "token_keys = main:%s:%s\n", o.alg, verify)
	return err
}

// writeNew makes a file that must not exist: a key that is overwritten makes every token
// that it has signed void.
func writeNew(file string, data []byte, mode os.FileMode) error {
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	err = errors.Join(err, f.Sync(), f.Close())
	if err != nil {
		os.Remove(file)
	}
	return err
}
