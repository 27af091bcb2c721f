package report

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var keepPage = flag.String("page", "", "write the example page to this `file`, to look at it")

func TestUnitsAreWrittenWithThreeDigits(t *testing.T) {
	for got, want := range map[string]string{
		Time(0):                                  "0 us",
		Time(999):                                "999 ns",
		Time(1000):                               "1.00 us",
		Time(12345):                              "12.3 us",
		Time(-12345):                             "-12.3 us",
		Time(999_600):                            "1.00 ms",
		Time(123 * time.Millisecond):             "123 ms",
		Time(90 * time.Second):                   "90.0 s",
		Time(25*time.Minute + 40*time.Second):    "26 min",
		Size(0):                                  "0 B",
		Size(1023):                               "1023 B",
		Size(1536):                               "1.50 KiB",
		Size(24 << 30):                           "24.0 GiB",
		Size(5 << 50):                            "5,120 TiB",
		BitRate(999):                             "999 bit/s",
		BitRate(1_234_000):                       "1.23 Mbit/s",
		Count(0):                                 "0",
		Count(999):                               "999",
		Count(1000):                              "1,000",
		Count(1234567):                           "1,234,567",
		Percent(0.254):                           "25.4 %",
		Percent(1.5):                             "150 %",
		Percent(share(1, 0)):                     "0 %",
		digits(perSecond(5, -1)):                 "0",
		roundTime(50 * time.Microsecond):         "50 us",
		roundTime(200):                           "200 ns",
		roundTime(2 * time.Second):               "2 s",
		shortCount(1500) + " " + shortCount(2e6): "1.5 k 2 M",
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestProgressLine(t *testing.T) {
	s := Sample{At: 12 * time.Second, Span: 2 * time.Second, Phase: Measuring, Connected: 1000, Failed: 3, Sent: 200, Forwarded: 2_000_000,
		Bytes: 2_000_000_000, Lost: 5, ServerCPU: time.Second, MachineCPU: 3 * time.Second, ServerPSS: 64 << 20}
	want := "  12 s measure  peers 1,000 (3 failed)  in 100/s  out 1,000,000/s  8.00 Gbit/s  lost 5" +
		"  server 50.0 % of a core, 500 ns a packet  busy 150 %  64.0 MiB"
	if got := s.Line(); got != want {
		t.Errorf("\n%q, want\n%q", got, want)
	}
	if got, want := (&Sample{Phase: Joining}).Line(), "   0 s join     peers 0  in 0/s  out 0/s  0 bit/s  lost 0"; got != want {
		t.Errorf("\n%q, want\n%q", got, want)
	}
}

func TestEndTable(t *testing.T) {
	var b strings.Builder
	if err := example().WriteText(&b); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"conference-4x8, 40.0 s measured from 2026-11-21 12:34:56 UTC on\n2 x Example CPU @ 2.00GHz, 24.0 GiB, Linux 6.18.5, go1.26.8, commit 0123456789\n",
		"  connected                        32  of 32\n",
		"  forwarded                 1,487,300  37,183 a second, 208 Mbit/s\n",
		"  lost by the server                2  of 1,487,360 expected\n",
		"  a forwarded packet          1.41 us  of server CPU\n",
		"  a connection               1.31 MiB  of PSS above idle\n",
		"  machine busy                 45.0 %  of one core, 2 are there\n",
		"time from connect to  count",
		"forwarding latency  ",
		"problems\n  room 3, client 2: the WebSocket <closed>\n",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("%q is missing in\n%s", want, b.String())
		}
	}
}

func TestWhatWasNotMeasuredIsLeftOut(t *testing.T) {
	var b strings.Builder
	if err := (&Result{Name: "storm", Peers: 5, Connected: 4, Failed: 1, Failures: []Failure{{"no check was answered", 1}}}).WriteText(&b); err != nil {
		t.Fatal(err)
	}
	for _, not := range []string{"packets", "cost", "latency", "memory", "NaN", "Inf"} {
		if strings.Contains(b.String(), not) {
			t.Errorf("%q is in\n%s", not, b.String())
		}
	}
	if !strings.Contains(b.String(), "  failed                            1\n                                    1  no check was answered\n") {
		t.Errorf("no failed peer, or no cause, in\n%s", b.String())
	}
}

func TestColumnsAreAligned(t *testing.T) {
	var b strings.Builder
	writeAligned(&b, [][]string{{"title", "a"}, {"µ long name", "12"}, {"x", "1,234"}})
	if want := "title              a\n  µ long name     12\n  x            1,234\n"; b.String() != want {
		t.Errorf("\n%q, want\n%q", b.String(), want)
	}
}

func TestLossOfClientsIsNotTheServers(t *testing.T) {
	for _, c := range []struct{ lost, client, want uint64 }{{0, 0, 0}, {5, 2, 3}, {2, 5, 0}} {
		if got := (&Result{Lost: c.lost, ClientLoss: c.client}).ServerLost(); got != c.want {
			t.Errorf("%+v: %d", c, got)
		}
	}
}

func TestLossOfLinksIsNotCalledTheServers(t *testing.T) {
	r := example()
	r.Lossy = true
	var text, page strings.Builder
	if err := errors.Join(r.WriteText(&text), WriteHTML(&page, nil, []*Result{r})); err != nil {
		t.Fatal(err)
	}
	for _, s := range []string{text.String(), page.String(), r.Markdown()} {
		if strings.Contains(s, "by the server") || !strings.Contains(s, "lost, links included") {
			t.Errorf("%s", s)
		}
	}
}

func TestJSONHoldsTheWholeResult(t *testing.T) {
	var b bytes.Buffer
	want := example()
	if err := WriteJSON(&b, []*Result{want}); err != nil {
		t.Fatal(err)
	}
	var back []*Result
	if err := json.Unmarshal(b.Bytes(), &back); err != nil {
		t.Fatal(err)
	}
	if len(back) != 1 || back[0].FrameLast.P999 != want.FrameLast.P999 || len(back[0].Samples) != 50 || back[0].Machine != want.Machine {
		t.Errorf("%+v", back)
	}
	b.Reset()
	if err := WriteJSON(&b, nil); err != nil || strings.TrimSpace(b.String()) != "[]" {
		t.Errorf("%q, %v", b.String(), err)
	}
}

func TestPageIsWellFormedAndStandsAlone(t *testing.T) {
	var b bytes.Buffer
	if err := WriteHTML(&b, exampleTable(), []*Result{example(), {Name: "<empty>"}}); err != nil {
		t.Fatal(err)
	}
	text := b.String()
	if *keepPage != "" {
		if err := os.WriteFile(*keepPage, b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	decoder := xml.NewDecoder(strings.NewReader(strings.TrimPrefix(text, "<!DOCTYPE html>")))
	decoder.Strict = false
	decoder.AutoClose = []string{"meta"}
	for {
		if _, err := decoder.Token(); err == io.EOF {
			break
		} else if err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
	}
	for _, bad := range []string{"NaN", "Inf", "ZgotmplZ", "http://", "https://", "<script", "<empty>", "%!"} {
		if strings.Contains(text, bad) {
			t.Errorf("%q is in the page", bad)
		}
	}
	if n := strings.Count(text, "<svg"); n != 7 {
		t.Errorf("%d plots", n)
	}
	for _, want := range []string{"Forwarding latency", "NOT reached", "610 ns at the end", "&lt;empty&gt;", "last of a frame: p99"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in the page", want)
		}
	}
}

func TestTicksAreRoundAndReachTheTop(t *testing.T) {
	for _, c := range []struct {
		top  float64
		last float64
		n    int
	}{{0, 1, 5}, {1, 1, 5}, {7, 8, 5}, {95, 100, 5}, {9999, 10000, 5}, {41, 60, 4}} {
		all := ticks(c.top, 4)
		if len(all) != c.n || all[len(all)-1] != c.last {
			t.Errorf("%v: %v", c.top, all)
		}
	}
}

func TestLongRunsAreThinnedWithoutLosingPeaks(t *testing.T) {
	l := line{name: "x"}
	for i := range 10_000 {
		l.x = append(l.x, float64(i))
		l.y = append(l.y, 0)
	}
	l.y[5003] = 10
	x := scale{0, 10_000, 0, 600, false}
	y := scale{0, 10, 100, 0, false}
	s := drawn(0, l, x, y)
	if n := strings.Count(s.Path, "L") + 1; n > maxPoints {
		t.Errorf("%d points", n)
	}
	if !strings.Contains(s.Path, "L300.2 0.0") {
		t.Error("the peak is gone")
	}
}

func TestStandardTable(t *testing.T) {
	table := exampleTable()
	if table.Missed() != 2 {
		t.Errorf("%d missed", table.Missed())
	}
	var b strings.Builder
	if err := table.WriteText(&b); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"row           what                    reach      measured                machine busy  took    verdict\n",
		"video-fanout  video, 1 x 64, 1,100 B  <= 1.0 us  0.91 us (0.88 to 0.97)  121 %         41.0 s  reached\n",
		"\nthe bare loop: 500 ns a packet at the start, 610 ns at the end\n\nrow",
		"\nstorm: the server ended\n",
		"\n1 reached, 1 not reached, 1 not measured\n",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("%q is missing in\n%s", want, b.String())
		}
	}
	markdown := table.Markdown()
	for _, want := range []string{
		"## 2026-11-21 12:34 UTC: standard set\n\n2 x Example CPU",
		"| conf-4x8 | conference, 4 x 8 | <= 1.5 us | 1.71 us | 80 % |  | NOT reached |\n",
		"\n\nthe bare loop: 500 ns a packet at the start, 610 ns at the end.\n\n| row",
		"\n- `storm`: the server ended\n",
	} {
		if !strings.Contains(markdown, want) {
			t.Errorf("%q is missing in\n%s", want, markdown)
		}
	}
}

func TestPartialResultIsWhatTheSamplesSayAndSaysSo(t *testing.T) {
	whole := example()
	whole.Samples[19].Failures = []Failure{{"no path", 1}}
	r := Partial("x", whole.Started, 40, whole.Samples[:20])
	if len(r.Failures) != 1 || r.Failures[0] != whole.Samples[19].Failures[0] {
		t.Errorf("failures %v", r.Failures)
	}
	var forwarded uint64
	for _, s := range whole.Samples[9:20] {
		forwarded += s.Forwarded
	}
	if r.Duration != 11*time.Second || r.Forwarded != forwarded || r.Connected != 32 || r.Peers != 40 || r.PerPacket() != 1410 {
		t.Errorf("%v, %d, %d, %v", r.Duration, r.Forwarded, r.Connected, r.PerPacket())
	}
	var b strings.Builder
	if err := r.WriteText(&b); err != nil {
		t.Fatal(err)
	}
	if err := WriteHTML(&b, nil, []*Result{r}); err != nil {
		t.Fatal(err)
	}
	text := b.String() + r.Markdown()
	if strings.Contains(text, "lost by the server") || strings.Count(text, "x, ended early") < 3 {
		t.Errorf("%s", text)
	}
	if r := Partial("x", whole.Started, 40, nil); r.Connected != 0 || !r.Interrupted {
		t.Errorf("%+v", r)
	}
}

func TestNotesOfATableStayOneLineOfMarkdown(t *testing.T) {
	table := &Table{Rows: []Row{{Key: "k", Verdict: NotMeasured, Notes: []string{"it ended:\n# not a title\nx"}}}}
	if text := table.Markdown(); !strings.Contains(text, "\n- `k`: it ended: # not a title x\n") {
		t.Errorf("%s", text)
	}
}

func TestMemoryReadNowAndThenHasThePhasesOfTheWholeRun(t *testing.T) {
	r := example()
	for i := range r.Samples {
		if i%5 != 0 || r.Samples[i].Phase == Measuring {
			r.Samples[i].ServerPSS = 0
		}
	}
	for _, c := range r.charts() {
		if c.Title == "Server memory" {
			if len(c.Spans) != 3 || strings.Count(c.Series[0].Path, "L") != 1 {
				t.Errorf("%+v", c)
			}
			return
		}
	}
	t.Error("no plot of memory")
}

func TestResultsAreAppended(t *testing.T) {
	file := filepath.Join(t.TempDir(), "RESULTS.md")
	for _, text := range []string{exampleTable().Markdown(), example().Markdown()} {
		if err := AppendResults(file, text); err != nil {
			t.Fatal(err)
		}
	}
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	text := string(b)
	if strings.Count(text, "# Results\n") != 1 || strings.Count(text, "\n## ") != 2 ||
		strings.Index(text, "standard set") > strings.Index(text, "conference-4x8") {
		t.Errorf("%s", text)
	}
	if err := AppendResults(filepath.Join(file, "x"), "y"); err == nil {
		t.Error("a file below a file")
	}
}
