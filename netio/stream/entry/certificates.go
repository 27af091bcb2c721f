package entry

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// certificates are the pairs of the files and those that GetCertificate supplies. Files are
// looked at when a handshake asks, at most once in an interval, by one goroutine, while the
// others go on with what there is.
type certificates struct {
	log      *slog.Logger
	counts   *counters
	interval time.Duration
	get      func(*tls.ClientHelloInfo) (*tls.Certificate, error)
	names    map[string]bool // that get has certificates for
	pairs    []*pair         // guarded by looking, but for what current points at
	looking  sync.Mutex
	next     atomic.Int64 // Unix time in ns before which nobody looks
	current  atomic.Pointer[certificateSet]
}

// pair is one certificate and where it is from.
type pair struct {
	files       CertificateFiles
	seen        [2]os.FileInfo // when it was read last, well or not
	certificate *tls.Certificate
}

// certificateSet does not change once it is published.
type certificateSet struct {
	all    []*tls.Certificate
	byName map[string][]*tls.Certificate // lower case; "*.example.com" for wildcards
}

func loadCertificates(cfg Config, counts *counters) (*certificates, error) {
	c := &certificates{
		log: cfg.Log, counts: counts, interval: cfg.ReloadInterval,
		get: cfg.GetCertificate, names: make(map[string]bool),
	}
	for _, name := range cfg.Names {
		c.names[strings.ToLower(name)] = true
	}
	for _, f := range cfg.Certificates {
		c.pairs = append(c.pairs, &pair{files: f})
	}
	return c, c.reload(true)
}

// reload reads pairs whose files have changed, or all.
func (c *certificates) reload(all bool) error {
	c.looking.Lock()
	defer c.looking.Unlock()
	return c.look(all)
}

// look is reload with the mutex held.
func (c *certificates) look(all bool) error {
	var errs []error
	changed := c.current.Load() == nil
	for _, p := range c.pairs {
		now, err := p.stat()
		if err == nil && !all && sameFiles(now, p.seen) {
			continue
		}
		if err != nil && !all && p.seen == [2]os.FileInfo{} {
			continue // said already
		}
		p.seen = now
		if err == nil {
			err = p.read()
		}
		if err != nil {
			c.counts.inc(reloadErrors)
			errs = append(errs, err)
			continue
		}
		c.counts.inc(reloads)
		c.log.Info("certificate", "file", p.files.Certificate, "names", p.certificate.Leaf.DNSNames, "expires", p.certificate.Leaf.NotAfter)
		changed = true
	}
	if changed {
		c.current.Store(newCertificateSet(c.pairs))
	}
	return errors.Join(errs...)
}

// stat returns what the files are now. If one is missing it returns nothing, so that it is
// news when it is back.
func (p *pair) stat() (now [2]os.FileInfo, err error) {
	for i, name := range []string{p.files.Certificate, p.files.Key} {
		if now[i], err = os.Stat(name); err != nil {
			return [2]os.FileInfo{}, err
		}
	}
	return now, nil
}

func sameFiles(a, b [2]os.FileInfo) bool {
	for i := range a {
		if b[i] == nil || !os.SameFile(a[i], b[i]) || a[i].Size() != b[i].Size() || !a[i].ModTime().Equal(b[i].ModTime()) {
			return false
		}
	}
	return true
}

// read replaces the certificate if the files are good.
func (p *pair) read() error {
	read, err := tls.LoadX509KeyPair(p.files.Certificate, p.files.Key)
	if err != nil {
		return fmt.Errorf("certificate %s with key %s: %w", p.files.Certificate, p.files.Key, err)
	}
	p.certificate = &read
	return nil
}

func newCertificateSet(pairs []*pair) *certificateSet {
	s := &certificateSet{byName: make(map[string][]*tls.Certificate)}
	for _, p := range pairs {
		if p.certificate == nil {
			continue
		}
		s.all = append(s.all, p.certificate)
		for _, name := range p.certificate.Leaf.DNSNames {
			name = strings.ToLower(name)
			s.byName[name] = append(s.byName[name], p.certificate)
		}
	}
	return s
}

// of returns the certificates for a name. A wildcard stands for one label (RFC 9525 section
// 6.3), and an exact name goes before it.
func (s *certificateSet) of(name string) []*tls.Certificate {
	if name == "" {
		return s.all
	}
	if exact := s.byName[name]; len(exact) > 0 {
		return exact
	}
	if _, parent, ok := strings.Cut(name, "."); ok && parent != "" {
		return s.byName["*."+parent]
	}
	return nil
}

// Knows reports whether TLS for a name is ended here: it is in a certificate or among
// Config.Names.
func (e *Entry) Knows(name string) bool { return e.certs.knows(strings.ToLower(name)) }

// knows reports whether a name, in lower case, is ours. No name is: who knows nothing but our
// address has come to us.
func (c *certificates) knows(name string) bool {
	if len(name) > maxName {
		return false
	}
	c.refresh()
	return name == "" || c.names[name] || len(c.current.Load().of(name)) > 0
}

// refresh looks at the files if it is time and nobody else does.
func (c *certificates) refresh() {
	now := time.Now().UnixNano()
	if now < c.next.Load() || !c.looking.TryLock() {
		return
	}
	defer c.looking.Unlock()
	c.next.Store(now + int64(c.interval))
	if err := c.look(false); err != nil {
		c.log.Error("certificates: the ones before stay", "err", err)
	}
}

// choose is tls.Config.GetCertificate.
func (c *certificates) choose(info *tls.ClientHelloInfo) (*tls.Certificate, error) {
	name := strings.ToLower(info.ServerName)
	list := c.current.Load().of(name)
	challenge := slices.Contains(info.SupportedProtos, alpnACME)
	if c.get != nil && (challenge || len(list) == 0) {
		return c.get(info)
	}
	for _, one := range list {
		if info.SupportsCertificate(one) == nil {
			return one, nil
		}
	}
	if len(list) > 0 {
		return list[0], nil // crypto/tls says what does not fit
	}
	return nil, nil // unrecognized_name
}
