// Package netem is an impairment box between two network namespaces, for kernels without netem
// (and it is checked against netem where there is one), and, in its tests, a matrix of impaired
// networks with real Chromium at both ends: through the server, directly, and through
// Janus. `make netem` runs the matrix and adds its results to bench/RESULTS.md; a short form is a
// suite of `make test`. A Box does to packets what its Links say, rewrites ports where it is told
// to be a NAT, and changes nothing else.
//
// A Box has one goroutine, on a thread of its own; its methods may be called from any other. What
// they return is a copy.
package netem
