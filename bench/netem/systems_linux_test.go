//go:build browser

package netem

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"testing"

	"tsubame/bench/harness"
	"tsubame/bench/harness/process"
)

// system is a way in which the publisher's media reach the viewer.
type system interface {
	name() string
	// publish has the publisher join, and view the viewer. Their media may need a while yet.
	publish(tb *tab) error
	view(tb *tab) error
	// estimate is what the server believes to fit through the viewer's link, bit/s; 0: it does
	// not say.
	estimate() float64
}

// js is a value as JavaScript has it.
func js(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(b)
}

// tsubame is the server of this repository, with the official SDK at both ends.
type tsubame struct {
	w      *world
	title  string
	server *process.Process
	ids    [2]string
	debug  string
}

const debugPort = 6060

func startTsubame(t *testing.T, w *world, title string, config map[string]string) *tsubame {
	t.Helper()
	all := map[string]string{
		"ipv4_address": serverAddress, "debug_listen": fmt.Sprint("127.0.0.1:", debugPort), "log_level": "debug",
	}
	maps.Copy(all, config)
	binary := os.Getenv("NETEM_SERVER") // another build, to compare with
	if binary == "" {
		var err error
		if binary, err = harness.Binary(); err != nil {
			t.Fatal(err)
		}
	}
	s, err := process.Start(t.Context(), process.Options{
		Binary: binary, Dir: t.TempDir(), Config: all, Wrap: []string{"ip", "netns", "exec", w.server.Name()},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	})
	return &tsubame{w: w, title: title, server: s, debug: fmt.Sprintf("http://127.0.0.1:%d", debugPort)}
}

func (s *tsubame) name() string { return s.title }

func (s *tsubame) join(tb *tab, end int, role string) (err error) {
	s.ids[end], err = eval[string](tb, fmt.Sprintf("rig.joinTsubame(%s)", js(map[string]any{
		"url": fmt.Sprintf("ws://%s:%d/signaling", sideAddress(end), s.server.SignalingPort()), "channel": "netem", "role": role,
		"options": map[string]any{"videoCodecType": "VP8", "videoBitRate": 5000},
	})))
	return err
}

func (s *tsubame) publish(tb *tab) error { return s.join(tb, publisher, "sendonly") }
func (s *tsubame) view(tb *tab) error    { return s.join(tb, viewer, "recvonly") }

// estimate asks the server, which looks at its connections once a second.
func (s *tsubame) estimate() float64 {
	var all []struct {
		Target float64
	}
	if err := s.w.get(s.debug+"/debug/connections?connection_id="+s.ids[viewer], &all); err != nil || len(all) != 1 {
		return 0
	}
	return all[0].Target
}

// direct is the same two browsers without any server, through both links in series.
type direct struct {
	publisher *tab
}

func (d *direct) name() string { return directly }

func (d *direct) publish(tb *tab) error {
	d.publisher = tb
	return tb.do("rig.devices()")
}

func (d *direct) view(tb *tab) error {
	offer, err := eval[string](d.publisher, "rig.offerDirectly()")
	if err != nil {
		return err
	}
	answer, err := eval[string](tb, fmt.Sprintf("rig.answerDirectly(%s)", js(offer)))
	if err != nil {
		return err
	}
	return d.publisher.do(fmt.Sprintf("rig.acceptDirectly(%s)", js(answer)))
}

func (d *direct) estimate() float64 { return 0 }

// startSystem starts what a name of a system says.
func startSystem(t *testing.T, w *world, name string) system {
	t.Helper()
	switch name {
	case plain:
		return startTsubame(t, w, name, nil)
	case withRED:
		return startTsubame(t, w, name, map[string]string{"opus_red": "true"})
	case withCache:
		return startTsubame(t, w, name, map[string]string{"keyframe_cache": "16777216", "keyframe_cache_age": "1 min"})
	case directly:
		return &direct{}
	case byJanus:
		return startJanus(t, w)
	}
	t.Fatalf("no system is called %q", name)
	return nil
}

// The systems' names.
const (
	plain     = "tsubame"
	withRED   = "tsubame+red"
	withCache = "tsubame+cache"
	directly  = "direct"
	byJanus   = "Janus"
)
