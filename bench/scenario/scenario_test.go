package scenario

import (
	"strings"
	"testing"
	"time"

	"tsubame/bench/load"
	"tsubame/bench/source"
	"tsubame/media/param"
)

// build reads settings as "name=value".
func build(words ...string) (Scenario, error) {
	var all []Assignment
	for _, w := range words {
		name, value, _ := strings.Cut(w, "=")
		all = append(all, Assignment{name, value, "--" + name})
	}
	return Build("", all)
}

func TestEverySettingReachesItsField(t *testing.T) {
	trace, clip := source.Traces()[0], source.Clips()[0]
	checks := map[string]func(*Scenario) bool{
		"name=x":                    func(s *Scenario) bool { return s.Name == "x" },
		"url=wss://h:1/s":           func(s *Scenario) bool { return s.URL == "wss://h:1/s" },
		"pid=7":                     func(s *Scenario) bool { return s.PID == 7 },
		"rooms=12":                  func(s *Scenario) bool { return s.Rooms == 12 },
		"clients=8":                 func(s *Scenario) bool { return s.Clients == 8 },
		"role=broadcast":            func(s *Scenario) bool { return s.Role == load.Broadcast },
		"audio=false":               func(s *Scenario) bool { return !s.Audio },
		"video=false":               func(s *Scenario) bool { return !s.Video },
		"codec=av1":                 func(s *Scenario) bool { return s.Codec == param.AV1 },
		"bitrate=1.5M":              func(s *Scenario) bool { return s.Bitrate == 1_500_000 },
		"fps=20":                    func(s *Scenario) bool { return s.FrameRate == 20 },
		"trace=" + trace:            func(s *Scenario) bool { return s.Trace == trace },
		"clip=" + clip:              func(s *Scenario) bool { return s.Clip == clip },
		"payload=100 packet-rate=5": func(s *Scenario) bool { return s.PayloadSize == 100 && s.PacketRate == 5 },
		"packet-rate=5 payload=100": func(s *Scenario) bool { return s.PacketRate == 5 },
		"join-rate=500":             func(s *Scenario) bool { return s.JoinRate == 500 },
		"warmup=1s":                 func(s *Scenario) bool { return s.Warmup == time.Second },
		"duration=2m":               func(s *Scenario) bool { return s.Duration == 2*time.Minute },
		"churn=30s":                 func(s *Scenario) bool { return s.Churn == 30*time.Second },
		"poll=1ms":                  func(s *Scenario) bool { return s.Poll == time.Millisecond },
		"loss=2%":                   func(s *Scenario) bool { return s.Link.Loss == 0.02 && s.Lossy() },
		"delay=50ms":                func(s *Scenario) bool { return s.Link.Delay == 50*time.Millisecond && !s.Lossy() },
		"jitter=5ms":                func(s *Scenario) bool { return s.Link.Jitter == 5*time.Millisecond && s.Impair(1, 2) != nil },
		"rate=800k":                 func(s *Scenario) bool { return s.Link.Rate == 800_000 && s.Lossy() },
		"latency=true":              func(s *Scenario) bool { return s.Latency },
		"storm=true":                func(s *Scenario) bool { return s.Storm },
		"notify=true":               func(s *Scenario) bool { return s.Notify },
		"shards=2":                  func(s *Scenario) bool { return s.Shards == 2 },
		"turn=udp":                  func(s *Scenario) bool { return s.TURN == load.TURNUDP },
		"insecure=true turn=tls":    func(s *Scenario) bool { return s.Insecure && s.TURN == load.TURNTLS },
		"profile=gcm":               func(s *Scenario) bool { return s.Profile == "gcm" },
	}
	tested := make(map[string]bool)
	for words, holds := range checks {
		all := strings.Fields(words)
		s, err := build(all...)
		if err != nil || !holds(&s) {
			t.Errorf("%s: %+v, %v", words, s.Scenario, err)
		}
		name, _, _ := strings.Cut(all[0], "=")
		tested[name] = true
	}
	for _, s := range Settings() {
		if !tested[s.Name] {
			t.Errorf("%s has no case", s.Name)
		}
		if s.Help == "" {
			t.Errorf("%s has no help", s.Name)
		}
	}
}

func TestTracesBringTheirCodec(t *testing.T) {
	if s, err := build("trace=av1-camera-0.4mbps"); err != nil || s.Codec != param.AV1 {
		t.Errorf("%v, %v", s.Codec, err)
	}
	if _, err := build("trace=av1-camera-0.4mbps", "codec=VP8"); err == nil || !strings.Contains(err.Error(), "is AV1, and codec is VP8") {
		t.Errorf("%v", err)
	}
}

func TestNoLinkIsMadeWithoutImpairment(t *testing.T) {
	if s, err := build(); err != nil || s.Impair != nil {
		t.Errorf("%v", err)
	}
}

func TestWrongValuesAndContradictionsAreSaidInWords(t *testing.T) {
	for words, want := range map[string]string{
		"rooms=0":                                "--rooms: 0 is not in 1 to 131072",
		"rooms=x":                                "is not a whole number",
		"audio=yes":                              "neither true nor false",
		"duration=10":                            "is no time such as",
		"duration=25h":                           "is not in 0 to 24h",
		"bitrate=fast":                           "is no bit rate",
		"bitrate=NaN":                            "is no bit rate",
		"bitrate=5":                              "is not in 1k to 1000M",
		"loss=101":                               "is not in 0 to 100",
		"loss=NaN":                               "is not in 0 to 100",
		"url=http://x/":                          "is no address such as",
		"role=sendrec":                           `did you mean "sendrecv"?`,
		"role=publisher":                         "is none of sendrecv",
		"codec=vp7":                              `did you mean "VP8"?`,
		"profile=aes":                            "is none of gcm, cm",
		"trace=none-of-these-at-all-x":           "is none of ",
		"client=8":                               `--client: there is no such setting; did you mean "clients"?`,
		"qwertyuiop=1":                           "--qwertyuiop: there is no such setting",
		"audio=false video=false":                "neither audio nor video",
		"payload=100":                            "go together",
		"packet-rate=100":                        "go together",
		"payload=100 packet-rate=5 bitrate=1M":   "leave bitrate out",
		"trace=" + source.Traces()[0] + " fps=5": "leave fps out",
		"clip=" + source.Clips()[0] + " bitrate=1M":                  "leave bitrate out",
		"clip=" + source.Clips()[0] + " trace=" + source.Traces()[0]: "give one",
		"clip=" + source.Clips()[0] + " payload=100 packet-rate=5":   "leave trace and clip out",
		"clip=" + source.Clips()[0] + " video=false":                 "needs video",
		"role=broadcast clients=1":                                   "at least 2",
		"storm=true churn=1s":                                        "leave churn out",
		"storm=true latency=true":                                    "leave latency out",
		"storm=true duration=1s":                                     "leave duration out",
		"delay=2m":                                                   "scenario run: ",
		"turn=tcp delay=10ms":                                        "a stream is not impaired",
		"turn=udp insecure=true":                                     "leave insecure out",
		"turn=tsl":                                                   "is none of udp, tcp, tls",
	} {
		if _, err := build(strings.Fields(words)...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", words, err, want)
		}
	}
}

func TestFileHoldsSeveralScenarios(t *testing.T) {
	all, err := ParseFile("f", "# all\nurl = ws://h:2/s\n duration = 20s\n\n[small]\nclients = 4\n[ large ]\nclients = 400\nrole = broadcast\nduration = 1m\n",
		[]Assignment{{"pid", "9", "--pid"}})
	if err != nil || len(all) != 2 {
		t.Fatalf("%d, %v", len(all), err)
	}
	a, b := all[0], all[1]
	if a.Name != "small" || a.Clients != 4 || a.Duration != 20*time.Second || a.URL != "ws://h:2/s" || a.PID != 9 || a.Role != load.SendRecv {
		t.Errorf("%+v", a.Scenario)
	}
	if b.Name != "large" || b.Clients != 400 || b.Duration != time.Minute || b.Role != load.Broadcast || b.PID != 9 {
		t.Errorf("%+v", b.Scenario)
	}
}

func TestFileWithoutSectionsIsOneScenario(t *testing.T) {
	all, err := ParseFile("f", "name = x\nrooms = 3", nil)
	if err != nil || len(all) != 1 || all[0].Rooms != 3 || all[0].Name != "x" {
		t.Errorf("%+v, %v", all, err)
	}
}

func TestFaultsOfAFileNameTheirLine(t *testing.T) {
	for text, want := range map[string]string{
		"rooms = 1\nrooms = 2":            "f:2: rooms stands in line 1 already",
		"[a]\nroms = 1":                   `f:2: roms: there is no such setting; did you mean "rooms"?`,
		"rooms":                           "f:1: want key = value",
		"= 1":                             "f:1: want key = value",
		"[a":                              "f:1: want [name]",
		"[]":                              "f:1: want [name]",
		"[a]\n[a]":                        `f:2: a second scenario "a"`,
		"[a]\nrooms = 0":                  "f:2: rooms: 0 is not in",
		"[a]\naudio = false\nvideo=false": "scenario a: neither",
		strings.Repeat("#\n", MaxFile):    "larger than",
	} {
		if _, err := ParseFile("f", text, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40q: %v, want %q", text, err, want)
		}
	}
}
