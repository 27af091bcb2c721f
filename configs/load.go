package configs

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"unicode/utf8"
)

// MaxFile is the largest configuration file, in bytes.
const MaxFile = 1 << 20

// Loaded is a configuration, and where it comes from.
type Loaded struct {
	Config       Config
	Warnings     []Finding
	MoreWarnings int // beyond those in Warnings

	origins map[string]Origin
}

// Origin returns where the value of a key comes from.
func (l *Loaded) Origin(key string) Origin { return l.origins[key] }

// Load reads the file at path over the defaults, as Parse does.
func Load(path string) (Config, []Finding, error) {
	data, err := readFile(path, MaxFile)
	if err != nil {
		return Config{}, nil, err
	}
	return Parse(path, data)
}

// Read reads what a server starts with: the file at path, if it is not empty, over the defaults,
// the environment, as os.Environ returns it, over the file, and then it looks into the files of
// certificates and keys that are named. What is wrong with a key of tokens, its file included, says
// tokenKey. An error is of type *Faults, but for a configuration file that cannot be read.
func Read(path string, environ []string, tokenKey func(TokenKey) error) (*Loaded, error) {
	r := newReader()
	if path != "" {
		data, err := readFile(path, MaxFile)
		if err != nil {
			return nil, err
		}
		r.file(path, data)
	}
	r.environment(environ)
	r.contents(tokenKey)
	return r.end()
}

// prefix begins the names of the variables.
const prefix = "TSUBAME_"

// environment takes up the variables TSUBAME_ and the key in upper case.
func (r *reader) environment(environ []string) {
	seen := map[string]Origin{}
	for _, variable := range slices.Sorted(slices.Values(environ)) {
		name, text, _ := strings.Cut(variable, "=")
		key, ok := strings.CutPrefix(name, prefix)
		if !ok {
			continue
		}
		where, key := Origin{Variable: name}, strings.ToLower(key)
		// None of it could stand in a file.
		if strings.ContainsAny(text, "\n\r") || !utf8.ValidString(text) {
			r.faults.add(Finding{where, key, "has a line break, or is not UTF-8"})
			continue
		}
		if serviceLink(key, text) {
			r.warnings.add(Finding{where, key, "passed over: it looks like what Kubernetes says of a service of that name"})
			continue
		}
		r.value(where, key, strings.TrimSpace(text), seen)
	}
}

// serviceLink reports whether a variable is none of the operator's: for a service called
// tsubame-signaling Kubernetes gives every container TSUBAME_SIGNALING_PORT=tcp://10.0.0.1:5000.
func serviceLink(key, text string) bool {
	return strings.HasSuffix(key, "_port") && (strings.HasPrefix(text, "tcp://") || strings.HasPrefix(text, "udp://"))
}

// readFile reads a file of at most max bytes. Whatever it is, a pipe too, no more is read.
func readFile(path string, max int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, max+1))
	if err != nil {
		return nil, err
	}
	if int64(len(data)) > max {
		return nil, fmt.Errorf("%s is larger than %d bytes", path, max)
	}
	if len(data) == 0 {
		if info, err := f.Stat(); err == nil && info.IsDir() {
			return nil, errors.New(path + " is a folder")
		}
	}
	return data, nil
}
