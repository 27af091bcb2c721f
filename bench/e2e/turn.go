package e2e

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"math/big"
	mathrand "math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"tsubame/bench/load"
	"tsubame/bench/report"
)

// Of TURN by UDP against the direct way.
const (
	turnRatio   = 1.1
	turnMallocs = 0.001 // a packet: what is read as none, as in the row "allocations"
)

// turnWays are the ways in the order of the row's notes.
var turnWays = []load.TURN{load.Direct, load.TURNUDP, load.TURNTCP, load.TURNTLS}

// turnOrder is the direct way and UDP by turns, so many times, and then the streams once, whose
// costs are those of the parts of a run.
func turnOrder(rounds int) []load.TURN {
	var all []load.TURN
	for range rounds {
		all = append(all, load.Direct, load.TURNUDP)
	}
	return append(all, load.TURNTCP, load.TURNTLS)
}

// wayName is what tables call a way.
func wayName(way load.TURN) string {
	if way == load.Direct {
		return "direct"
	}
	return string(way)
}

// turn loads one server with the fan-out of the first row again and again, directly and through
// UDP by turns, so that what is compared is one process within minutes; then by the streams, and
// once more through UDP, for what that allocates.
func turn(ctx context.Context, l *lab, r *report.Row) (err error) {
	config, done, err := turnConfig()
	if err != nil {
		return err
	}
	defer done()
	s, err := l.start(ctx, config)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Stop()) }()
	each := make(map[load.TURN][]time.Duration)
	results := make(map[load.TURN][]*report.Result)
	shed, dropped := make(map[load.TURN]uint64), uint64(0)
	for _, way := range turnOrder(pick(l, parts, parts-2)) {
		sc := turnScenario(l, fmt.Sprintf("%s-%s-%d", r.Key, wayName(way), len(results[way])+1), way)
		l.shed = 0 // the server counts on from one load to the next
		out, err := l.against(ctx, s, job{scenario: sc})
		if err != nil {
			return err
		}
		shed[way] += out.last["drop_feedback"] - dropped
		dropped = out.last["drop_feedback"]
		results[way] = append(results[way], out.Result)
		if sc.TURN == load.TURNTCP || sc.TURN == load.TURNTLS {
			each[way] = costs(out.Result)
		} else if out.Forwarded > 0 {
			each[way] = append(each[way], out.PerPacket())
		}
	}
	for _, way := range turnWays {
		if shed[way] > 0 {
			r.Notes = append(r.Notes, fmt.Sprintf("%s: %s of feedback were dropped", wayName(way), report.Count(shed[way])))
		}
	}
	made, words, err := l.turnAllocations(ctx, s, r)
	if err != nil {
		return err
	}
	return l.turnVerdict(r, each, results, made, words)
}

// turnScenario is the fan-out of the row "video-fanout" by one way.
func turnScenario(l *lab, name string, way load.TURN) load.Scenario {
	sc := base(l, name)
	sc.Clients, sc.Audio, sc.PayloadSize, sc.PacketRate, sc.FrameRate, sc.Profile = pick(l, 65, 17), false, 1100, 600, 30, "gcm"
	sc.Calm = min(sc.Calm, 5*time.Second) // of many loads
	sc.Duration, sc.TURN = pick(l, 10*time.Second, 3*time.Second), way
	return sc
}

// turnAllocations returns what a packet through TURN by UDP allocates, in words too.
func (l *lab) turnAllocations(ctx context.Context, s target, r *report.Row) (each float64, words string, err error) {
	sc := turnScenario(l, r.Key+"-allocations", load.TURNUDP)
	sc.Warmup = pick(l, 12*time.Second, time.Second) // as in the row "allocations"
	sc.Silence = sc.Duration
	l.shed = 0
	out, err := l.against(ctx, s, job{scenario: sc, counted: true})
	if err != nil {
		return 0, "", err
	}
	with, err := out.media.rates()
	if err != nil {
		return 0, "", fmt.Errorf("with media: %w", err)
	}
	without, err := out.silent.rates()
	if err != nil {
		return 0, "", fmt.Errorf("in silence: %w", err)
	}
	if out.Forwarded == 0 || out.Duration <= 0 {
		return 0, "", errors.New("nothing was forwarded")
	}
	each = max(0, with.mallocs-without.mallocs) / (float64(out.Forwarded) / out.Duration.Seconds())
	return each, fmt.Sprintf("allocations through UDP: %.0f a second of the whole process with media, %.0f with the same clients in silence", with.mallocs, without.mallocs), nil
}

// turnVerdict fills in the row. Only the direct way and UDP decide; the streams stand beside.
func (l *lab) turnVerdict(r *report.Row, costs map[load.TURN][]time.Duration, results map[load.TURN][]*report.Result, made float64, words string) error {
	medians := make(map[load.TURN]time.Duration)
	var all []*report.Result
	for _, way := range turnWays {
		m, text, err := l.cost(costs[way])
		if err != nil {
			return fmt.Errorf("%s: %w", wayName(way), err)
		}
		medians[way] = m
		all = append(all, results[way]...)
		r.Notes = append(r.Notes, fmt.Sprintf("%s: %s, %.2f x direct, the machine busy for %s", wayName(way), text, ratio(m, medians[load.Direct]), busy(results[way]...)))
	}
	r.Notes = append(r.Notes, words)
	x := ratio(medians[load.TURNUDP], medians[load.Direct])
	r.Got = fmt.Sprintf("UDP %s, %.2f x direct %s, %.5f allocations a packet; TCP %s, TLS %s", report.Time(medians[load.TURNUDP]), x,
		report.Time(medians[load.Direct]), made, report.Time(medians[load.TURNTCP]), report.Time(medians[load.TURNTLS]))
	r.Busy = busy(all...)
	good := healthy(r, append(results[load.Direct], results[load.TURNUDP]...)...)
	for _, way := range []load.TURN{load.TURNTCP, load.TURNTLS} {
		var one report.Row
		healthy(&one, results[way]...)
		for _, note := range one.Notes {
			r.Notes = append(r.Notes, wayName(way)+": "+note)
		}
	}
	r.Verdict = verdict(good && x > 0 && x <= turnRatio && made <= turnMallocs)
	return nil
}

// turnConfig is of a server that has every way and a profiler. done removes its files.
func turnConfig() (config map[string]string, done func(), err error) {
	dir, err := os.MkdirTemp("", "tsubame-bench-turn-")
	if err != nil {
		return nil, nil, fmt.Errorf("e2e: %w", err)
	}
	done = func() { _ = os.RemoveAll(dir) }
	debug, err := freeAddress()
	if err == nil {
		var port string
		if port, err = freeTCPPort(); err == nil {
			chain, key := filepath.Join(dir, "chain.pem"), filepath.Join(dir, "key.pem")
			config = map[string]string{
				"ice_transport_policy": "relay", // for clients to be told of TURN over UDP
				"debug_listen":         debug, "turn": "true", "turn_tcp": "true", "turn_tls": "true", "turn_tls_fqdn": "localhost",
				"tls_port": port, "turn_tls_port": port, "tls_certificate_file": chain, "tls_private_key_file": key,
			}
			maps.Copy(config, quiet)
			err = certify(chain, key)
		}
	}
	if err != nil {
		done()
		return nil, nil, err
	}
	return config, done, nil
}

// freeTCPPort returns a port that nobody listened on a moment ago, from below those that systems
// give to clients, of whom there will be many.
func freeTCPPort() (string, error) {
	const low, high, tries = 12_000, 20_000, 100
	for range tries {
		port := low + mathrand.IntN(high-low)
		if l, err := net.Listen("tcp", fmt.Sprint(":", port)); err == nil {
			return strconv.Itoa(port), l.Close()
		}
	}
	return "", errors.New("e2e: no free TCP port")
}

// certify makes a certificate for localhost that nobody trusts.
func certify(chain, key string) error {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "localhost"}, DNSNames: []string{"localhost"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), KeyUsage: x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		return err
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return err
	}
	return errors.Join(
		os.WriteFile(chain, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600),
		os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}), 0o600))
}
