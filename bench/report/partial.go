package report

import "time"

// Partial makes the result of a run that was ended before its time out of the samples that it
// had until then. It has what was measured up to the last sample, and neither losses, which
// only the end tells from what is under way, nor distributions, nor memory, of which the samples do
// not know how much there was without peers.
func Partial(name string, started time.Time, peers int, samples []Sample) *Result {
	r := &Result{Name: name, Started: started, Peers: peers, Samples: samples, Interrupted: true}
	for i := range samples {
		s := &samples[i]
		r.Connected, r.Failed, r.Failures = s.Connected, s.Failed, s.Failures
		if s.Phase != Measuring {
			continue
		}
		r.Duration += s.span()
		r.Sent += s.Sent
		r.Forwarded += s.Forwarded
		r.Bytes += s.Bytes
		r.ServerCPU += s.ServerCPU
		r.MachineCPU += s.MachineCPU
		r.ClientCPU += s.ClientCPU
	}
	return r
}

// title is the run's name, with a warning where the run is not whole.
func (r *Result) title() string {
	if !r.Interrupted {
		return r.Name
	}
	return r.Name + ", ended early"
}
