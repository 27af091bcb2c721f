package report

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"
)

// Line is the progress of a run as one line of text, without a line break.
func (s *Sample) Line() string {
	span := s.span()
	var b strings.Builder
	fmt.Fprintf(&b, "%4.0f s %-7s  peers %s", s.At.Seconds(), s.Phase, Count(uint64(s.Connected)))
	if s.Failed > 0 {
		fmt.Fprintf(&b, " (%s failed)", Count(uint64(s.Failed)))
	}
	fmt.Fprintf(&b, "  in %s/s  out %s/s  %s  lost %s",
		Count(uint64(perSecond(s.Sent, span))), Count(uint64(perSecond(s.Forwarded, span))),
		BitRate(8*perSecond(s.Bytes, span)), Count(s.Lost))
	if s.ServerCPU > 0 {
		fmt.Fprintf(&b, "  server %s of a core", Percent(share(s.ServerCPU, span)))
		if s.Forwarded > 0 {
			fmt.Fprintf(&b, ", %s a packet", Time(s.ServerCPU/time.Duration(s.Forwarded)))
		}
	}
	if s.MachineCPU > 0 {
		fmt.Fprintf(&b, "  busy %s", Percent(share(s.MachineCPU, span)))
	}
	if s.ServerPSS > 0 {
		fmt.Fprintf(&b, "  %s", Size(s.ServerPSS))
	}
	return b.String()
}

func (s *Sample) span() time.Duration {
	if s.Span > 0 {
		return s.Span
	}
	return time.Second
}

// ServerLost returns how many packets the server has to answer for: what is missing in the
// end, but for what the clients' own sockets dropped.
func (r *Result) ServerLost() uint64 {
	if r.Lost < r.ClientLoss {
		return 0
	}
	return r.Lost - r.ClientLoss
}

// lossName says whose loss it is.
func (r *Result) lossName() string {
	if r.Lossy {
		return "lost, links included"
	}
	return "lost by the server"
}

// PerPeer returns the server's memory above idle for each connected peer, in bytes; 0 if it
// was not measured.
func (r *Result) PerPeer() uint64 {
	if r.Connected == 0 || r.ServerPSS <= r.IdlePSS {
		return 0
	}
	return (r.ServerPSS - r.IdlePSS) / uint64(r.Connected)
}

// fact is one line of a table.
type fact struct{ name, value, note string }

type section struct {
	title string
	facts []fact
}

// sections is everything the tables say, in their order. What was not measured is left out.
func (r *Result) sections() []section {
	d := r.Duration
	peers := section{"peers", []fact{{"connected", Count(uint64(r.Connected)), "of " + Count(uint64(r.Peers))}}}
	if r.Failed > 0 {
		peers.facts = append(peers.facts, fact{"failed", Count(uint64(r.Failed)), ""})
	}
	for _, f := range r.Failures {
		peers.facts = append(peers.facts, fact{"", Count(uint64(f.Count)), f.Cause})
	}
	if r.JoinTime > 0 {
		peers.facts = append(peers.facts, fact{"joined in", Time(r.JoinTime), digits(perSecond(uint64(r.Connected), r.JoinTime)) + " a second"})
	}
	packets := section{"packets", []fact{
		{"from publishers", Count(r.Sent), digits(perSecond(r.Sent, d)) + " a second"},
		{"forwarded", Count(r.Forwarded), fmt.Sprintf("%s a second, %s", digits(perSecond(r.Forwarded, d)), BitRate(8*perSecond(r.Bytes, d)))},
	}}
	whole := []fact{
		{r.lossName(), Count(r.ServerLost()), fmt.Sprintf("of %s expected", Count(r.Expected))},
		{"dropped by clients", Count(r.ClientLoss), "in the sockets of this program"},
		{"recovered by RTX", Count(r.Recovered), ""},
		{"duplicated", Count(r.Duplicated), ""},
		{"repeated by RTX", Count(r.Repeated), "probes of the bandwidth"},
	}
	if !r.Interrupted { // only the end tells what is lost from what is under way
		packets.facts = append(packets.facts, whole...)
	}
	if r.Padded > 0 {
		packets.facts = append(packets.facts, fact{"padded", Count(r.Padded), digits(float64(r.PadBytes)/float64(r.Padded)) + " bytes each"})
	}
	cost := section{title: "cost"}
	if r.ServerCPU > 0 {
		cost.facts = append(cost.facts, fact{"server CPU", Percent(share(r.ServerCPU, d)), "of one core"})
		if r.Forwarded > 0 {
			cost.facts = append(cost.facts, fact{"a forwarded packet", Time(r.PerPacket()), "of server CPU"})
		}
	}
	if r.JoinCPU > 0 && r.Connected > 0 {
		cost.facts = append(cost.facts, fact{"a join", Time(r.JoinCPU / time.Duration(r.Connected)), "of server CPU"})
	}
	if r.ServerPSS > 0 {
		cost.facts = append(cost.facts, fact{"server memory", Size(r.ServerPSS), "PSS, " + Size(r.IdlePSS) + " when idle"})
		if r.PerPeer() > 0 {
			cost.facts = append(cost.facts, fact{"a connection", Size(r.PerPeer()), "of PSS above idle"})
		}
	}
	if r.ClientCPU > 0 {
		cost.facts = append(cost.facts, fact{"this program's CPU", Percent(share(r.ClientCPU, d)), "of one core"})
	}
	if r.MachineCPU > 0 {
		note := "of one core"
		if r.Machine.CPUs > 1 {
			note = fmt.Sprintf("of one core, %d are there", r.Machine.CPUs)
		}
		cost.facts = append(cost.facts, fact{"machine busy", Percent(share(r.MachineCPU, d)), note})
	}
	all := []section{peers}
	if r.Sent+r.Forwarded+r.Expected > 0 {
		all = append(all, packets)
	}
	if len(cost.facts) > 0 {
		all = append(all, cost)
	}
	return all
}

// named is a distribution with what it is of.
type named struct {
	name string
	dist *Distribution
}

func (r *Result) joins() []named {
	return measured(named{"connected", &r.Join}, named{"first packet", &r.Media}, named{"first key frame", &r.KeyFrame})
}

func (r *Result) latencies() []named {
	return measured(named{"audio", &r.Audio}, named{"first of a frame", &r.FrameFirst}, named{"last of a frame", &r.FrameLast})
}

func measured(all ...named) []named {
	var some []named
	for _, n := range all {
		if n.dist.Count > 0 {
			some = append(some, n)
		}
	}
	return some
}

// distributionRows is a table with a heading; nil if there is nothing to show.
func distributionRows(title string, all []named) [][]string {
	if len(all) == 0 {
		return nil
	}
	rows := [][]string{{title, "count", "p50", "p95", "p99", "p99.9", "max"}}
	for _, n := range all {
		d := n.dist
		rows = append(rows, []string{n.name, Count(d.Count), Time(d.P50), Time(d.P95), Time(d.P99), Time(d.P999), Time(d.Max)})
	}
	return rows
}

// WriteText writes the end table of a run.
func (r *Result) WriteText(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s, %s measured from %s on\n%s\n", r.title(), Time(r.Duration), r.Started.UTC().Format("2006-01-02 15:04:05 UTC"), r.Machine)
	for _, s := range r.sections() {
		fmt.Fprintf(&b, "\n%s\n", s.title)
		for _, f := range s.facts {
			fmt.Fprintln(&b, strings.TrimRight(fmt.Sprintf("  %-20s %14s  %s", f.name, f.value, f.note), " "))
		}
	}
	for _, rows := range [][][]string{
		distributionRows("time from connect to", r.joins()),
		distributionRows("forwarding latency", r.latencies()),
	} {
		if rows != nil {
			b.WriteByte('\n')
			writeAligned(&b, rows)
		}
	}
	if len(r.Problems) > 0 {
		b.WriteString("\nproblems\n")
		for _, p := range r.Problems {
			fmt.Fprintf(&b, "  %s\n", p)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// writeAligned writes rows in columns: the first to the left, the others to the right. All
// rows but the first are indented.
func writeAligned(b *strings.Builder, rows [][]string) {
	width := make([]int, len(rows[0]))
	for i, row := range rows {
		for j, cell := range row {
			n := utf8.RuneCountInString(cell)
			if i > 0 && j == 0 {
				n += 2
			}
			width[j] = max(width[j], n)
		}
	}
	for i, row := range rows {
		for j, cell := range row {
			switch {
			case j > 0:
				fmt.Fprintf(b, "  %*s", width[j], cell)
			case i > 0:
				fmt.Fprintf(b, "  %-*s", width[j]-2, cell)
			default:
				fmt.Fprintf(b, "%-*s", width[j], cell)
			}
		}
		b.WriteByte('\n')
	}
}

// String describes the machine in one line.
func (m Machine) String() string {
	parts := []string{}
	if m.CPU != "" {
		parts = append(parts, fmt.Sprintf("%d x %s", m.CPUs, m.CPU))
	}
	if m.Memory > 0 {
		parts = append(parts, Size(m.Memory))
	}
	for _, s := range []string{m.Kernel, m.Go} {
		if s != "" {
			parts = append(parts, s)
		}
	}
	if m.Commit != "" {
		parts = append(parts, "commit "+m.Commit)
	}
	return strings.Join(parts, ", ")
}

// WriteJSON writes results as an array, indented. Times are in nanoseconds.
func WriteJSON(w io.Writer, results []*Result) error {
	if results == nil {
		results = []*Result{}
	}
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(results)
}
