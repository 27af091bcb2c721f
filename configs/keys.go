package configs

import (
	"maps"
	"reflect"
	"slices"
	"strings"
)

// key is one key of the file. Its text forms are the source of the defaults, so that the
// reference file and the code cannot say different things in different syntax.
type key struct {
	name    string
	alias   string                  // another name of it; empty: none
	def     string                  // default as in the file; empty: none, the key is absent
	reload  bool                    // it can change while the server runs
	idle    string                  // why it has no effect; empty: it has
	content func(data []byte) error // what is wrong with the file that it names; nil: nothing is looked at

	set func(c *Config, text string) error
	get func(c *Config) (text string, ok bool) // not ok: it is absent
	// copy takes the value over from another configuration.
	copy func(to, from *Config)
	// hide returns the text without what is secret in it; nil: nothing is.
	hide func(text string) string
}

// keys lists every key in the order of the reference file.
var keys = slices.Concat(processKeys, signalingKeys, mediaKeys, turnKeys, portKeys, webhookKeys, exporterKeys,
	joinKeys, debugKeys, idleKeys)

// byName finds a key by each of its names.
var byName = func() map[string]*key {
	m := make(map[string]*key, len(keys))
	for i := range keys {
		k := &keys[i]
		m[k.name] = k
		if k.alias != "" {
			m[k.alias] = k
		}
	}
	return m
}()

// setting is a key that is kept in a field.
func setting[T any](name, def string, as kind[T], field func(*Config) *T) key {
	return key{
		name: name, def: def,
		set: func(c *Config, text string) error {
			value, err := as.parse(text)
			if err == nil {
				*field(c) = value
			}
			return err
		},
		get: func(c *Config) (string, bool) {
			value := field(c)
			if def == "" && reflect.ValueOf(*value).IsZero() {
				return "", false
			}
			return as.format(*value), true
		},
		copy: func(to, from *Config) { *field(to) = *field(from) },
	}
}

// fixed is a key of which only one value exists.
func fixed(name, only string) key {
	as := oneOf(only)
	return key{
		name: name, def: only,
		set:  func(_ *Config, text string) error { _, err := as.parse(text); return err },
		get:  func(*Config) (string, bool) { return only, true },
		copy: func(_, _ *Config) {},
	}
}

// idle is a key without anything behind it. Its value is checked, and kept as text where it is not
// the one, if there is one, that says that nothing of the kind is wanted.
func idle[T any](name, nothing string, as kind[T], why string) key {
	return key{
		name: name, def: nothing, idle: why,
		set: func(c *Config, text string) error {
			if _, err := as.parse(text); err != nil {
				return err
			}
			// Others may hold the map: they keep what they have.
			c.Idle = maps.Clone(c.Idle)
			if text == nothing {
				delete(c.Idle, name)
				return nil
			}
			if c.Idle == nil {
				c.Idle = map[string]string{}
			}
			c.Idle[name] = text
			return nil
		},
		get: func(c *Config) (string, bool) {
			if text, ok := c.Idle[name]; ok {
				return text, true
			}
			return nothing, nothing != ""
		},
		copy: func(to, from *Config) { to.Idle = from.Idle },
	}
}

func (k key) live() key                            { k.reload = true; return k }
func (k key) alsoCalled(name string) key           { k.alias = name; return k }
func (k key) without(feature string) key           { k.idle = notYet(feature); return k }
func (k key) holds(content func([]byte) error) key { k.content = content; return k }

// secret says that nobody may see the value.
func (k key) secret() key {
	k.hide = func(string) string { return hidden }
	return k
}

// holdsPassword says that nobody may see what goes before the host in the URL.
func (k key) holdsPassword() key {
	k.hide = func(text string) string {
		scheme, rest, _ := strings.Cut(text, "://")
		authority := rest
		if end := strings.IndexAny(rest, "/?"); end >= 0 {
			authority = rest[:end]
		}
		at := strings.LastIndexByte(authority, '@')
		if at < 0 {
			return text
		}
		return scheme + "://" + hidden + rest[at:]
	}
	return k
}

// hidden is what is shown of a secret.
const hidden = "***"

// shown is the value as anybody may see it. Not ok: it is absent.
func (k *key) shown(c *Config) (text string, ok bool) {
	text, ok = k.get(c)
	if ok && k.hide != nil {
		text = k.hide(text)
	}
	return text, ok
}

// nearest returns the known key with the smallest edit distance, if it is small for the
// length of the name. Two letters that have changed places make a distance of 2.
func nearest(name string) string {
	best, bestDistance := "", 1+len(name)/3
	if len(name) > 3 {
		bestDistance = max(bestDistance, 3)
	}
	if len(name) > 2*maxKey {
		return ""
	}
	for i := range keys {
		if d := distance(name, keys[i].name); d < bestDistance {
			best, bestDistance = keys[i].name, d
		}
	}
	return best
}

// maxKey bounds the work of distance; the longest key has 48 characters.
const maxKey = 64

// distance counts the single-byte insertions, deletions and substitutions between a and b
// (Levenshtein), one row of the table at a time.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
