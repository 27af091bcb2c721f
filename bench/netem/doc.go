// Package netem is an impairment box between two network namespaces, for kernels without netem
// (and it is checked against netem where there is one), and, in its tests, a matrix of impaired
// networks with real Chromium at both ends: through the server, directly, and through other
// SFUs. `make netem` runs the matrix and adds its results to bench/RESULTS.md; a short form is
// part of the browser tests. What the tests do not link never changes a packet on its own: a Box
// does to them what its Links say, and rewrites ports where it is told to be a NAT.
//
// A Box has one goroutine, on a thread of its own; its methods may be called from any other. What
// they return is a copy.
package netem
