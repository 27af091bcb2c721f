package report

import (
	_ "embed" // the page's template
	"fmt"
	"html/template"
	"io"
)

//go:embed page.html
var pageText string

var page = template.Must(template.New("page").Parse(pageText))

// pageData is what the template sees.
type pageData struct {
	Title   string
	Table   *pageTable
	Results []pageResult
}

type pageTable struct {
	Head    []string
	Rows    []pageRow
	Summary string
	Machine string
	Speed   string
}

type pageRow struct {
	Cells   []string
	Verdict string // "good", "bad" or ""
	Text    string
	Notes   []string
}

type pageResult struct {
	ID       string
	Name     string
	Started  string
	Duration string
	Machine  string
	Tiles    []pageFact
	Sections []pageSection
	Tables   [][][]string
	Charts   []*chart
	Problems []string
}

type pageFact struct{ Name, Value, Note string }

type pageSection struct {
	Title string
	Facts []pageFact
}

// WriteHTML writes one page with everything in it: the table of a standard set, if table is not
// nil, and each result with its plots. The page loads nothing from elsewhere.
func WriteHTML(w io.Writer, table *Table, results []*Result) error {
	data := pageData{Title: "tsubame-bench"}
	if table != nil {
		data.Title = table.Title
		data.Table = pageOf(table)
	}
	for i, r := range results {
		if table == nil && i == 0 {
			data.Title = r.Name
		}
		data.Results = append(data.Results, r.page(i))
	}
	if err := page.Execute(w, data); err != nil {
		return fmt.Errorf("report: HTML: %w", err)
	}
	return nil
}

func pageOf(t *Table) *pageTable {
	p := &pageTable{Head: tableHead, Summary: t.summary(), Machine: t.Machine.String(), Speed: t.Speed}
	for i := range t.Rows {
		r := &t.Rows[i]
		cells := r.cells()
		row := pageRow{Cells: cells[:len(cells)-1], Text: string(r.Verdict), Notes: r.Notes}
		switch r.Verdict {
		case Reached:
			row.Verdict = "good"
		case NotReached, NotMeasured:
			row.Verdict = "bad"
		}
		p.Rows = append(p.Rows, row)
	}
	return p
}

func (r *Result) page(i int) pageResult {
	p := pageResult{
		ID: fmt.Sprintf("run-%d", i+1), Name: r.title(), Duration: Time(r.Duration),
		Started: r.Started.UTC().Format("2006-01-02 15:04:05 UTC"), Machine: r.Machine.String(),
		Tiles: r.tiles(), Problems: r.Problems, Charts: r.charts(),
	}
	for _, s := range r.sections() {
		section := pageSection{Title: s.title}
		for _, f := range s.facts {
			section.Facts = append(section.Facts, pageFact{f.name, f.value, f.note})
		}
		p.Sections = append(p.Sections, section)
	}
	for _, rows := range [][][]string{
		distributionRows("time from connect to", r.joins()),
		distributionRows("forwarding latency", r.latencies()),
	} {
		if rows != nil {
			p.Tables = append(p.Tables, rows)
		}
	}
	return p
}

// tiles are the few numbers that one looks for first.
func (r *Result) tiles() []pageFact {
	tiles := []pageFact{{"peers", Count(uint64(r.Connected)), "of " + Count(uint64(r.Peers))}}
	if r.Forwarded > 0 {
		tiles = append(tiles, pageFact{"forwarded", digits(perSecond(r.Forwarded, r.Duration)) + "/s", "packets"})
		if !r.Interrupted {
			tiles = append(tiles, pageFact{r.lossName(), Count(r.ServerLost()), "of " + Count(r.Expected)})
		}
	}
	if r.ServerCPU > 0 {
		tiles = append(tiles, pageFact{"server CPU", Percent(share(r.ServerCPU, r.Duration)), "of one core"})
		if r.Forwarded > 0 {
			tiles = append(tiles, pageFact{"a packet", Time(r.PerPacket()), "of server CPU"})
		}
	}
	if r.FrameLast.Count > 0 {
		tiles = append(tiles, pageFact{"latency p99", Time(r.FrameLast.P99), "last of a frame"})
	}
	if r.PerPeer() > 0 {
		tiles = append(tiles, pageFact{"a connection", Size(r.PerPeer()), "of server memory"})
	}
	return tiles
}

// charts are the plots of a run; what was not measured has none.
func (r *Result) charts() []*chart {
	rate := func(v float64) string { return shortCount(v) }
	percent := func(v float64) string { return fmt.Sprintf("%.4g %%", v) }
	bytes := func(v float64) string { return fmt.Sprintf("%.4g MiB", v) }
	all := []*chart{
		cumulative("Time from connect", "share of the peers that were as far", r.joins()),
		cumulative("Forwarding latency", "share of the packets that took no longer", r.latencies()),
		overTime("Packets a second", "", r.Samples, r.lines(
			extract{"forwarded", func(s *Sample) float64 { return perSecond(s.Forwarded, s.span()) }},
			extract{"from publishers", func(s *Sample) float64 { return perSecond(s.Sent, s.span()) }}), 1, rate),
		overTime("CPU", "percent of one core", r.Samples, r.lines(
			extract{"server", func(s *Sample) float64 { return 100 * share(s.ServerCPU, s.span()) }},
			extract{"this program", func(s *Sample) float64 { return 100 * share(s.ClientCPU, s.span()) }},
			extract{"machine busy", func(s *Sample) float64 { return 100 * share(s.MachineCPU, s.span()) }}), 10, percent),
		overTime("Gaps in what viewers got", "packets a second, retransmissions not awaited", r.Samples, r.lossLines(), 1, rate),
		overTime("Server memory", "PSS", r.Samples, r.memoryLines(), 1, bytes),
		overTime("Peers", "", r.Samples, r.lines(
			extract{"connected", func(s *Sample) float64 { return float64(s.Connected) }},
			extract{"failed", func(s *Sample) float64 { return float64(s.Failed) }}), 1, rate),
	}
	var some []*chart
	for _, c := range all {
		if c != nil {
			some = append(some, c)
		}
	}
	return some
}

type extract struct {
	name string
	of   func(*Sample) float64
}

// lines picks series out of the samples; those that are 0 throughout are left out.
func (r *Result) lines(series ...extract) []line {
	return linesOf(r.Samples, series...)
}

func linesOf(samples []Sample, series ...extract) []line {
	var all []line
	for _, e := range series {
		l := line{name: e.name}
		some := false
		for i := range samples {
			v := e.of(&samples[i])
			some = some || v > 0
			l.x = append(l.x, samples[i].At.Seconds())
			l.y = append(l.y, v)
		}
		if some {
			all = append(all, l)
		}
	}
	return all
}

// lossLines shows loss even where there was none: that is what one wants to see.
func (r *Result) lossLines() []line {
	l := line{name: "gaps"}
	for i := range r.Samples {
		s := &r.Samples[i]
		l.x = append(l.x, s.At.Seconds())
		l.y = append(l.y, perSecond(s.Lost, s.span()))
	}
	return []line{l}
}

// memoryLines has the samples in which memory was read; none if these are fewer than two.
func (r *Result) memoryLines() []line {
	var some []Sample
	for _, s := range r.Samples {
		if s.ServerPSS > 0 {
			some = append(some, s)
		}
	}
	if len(some) < 2 {
		return nil
	}
	return linesOf(some, extract{"PSS", func(s *Sample) float64 { return float64(s.ServerPSS) / (1 << 20) }})
}

// shortCount writes the number at an axis: 0, 250, 1.5 k, 2 M.
func shortCount(v float64) string {
	switch {
	case v >= 1e6:
		return fmt.Sprintf("%.4g M", v/1e6)
	case v >= 1e3:
		return fmt.Sprintf("%.4g k", v/1e3)
	}
	return fmt.Sprintf("%.4g", v)
}
