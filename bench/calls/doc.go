// Package calls is the suite of calls between bots through the real server: it starts the
// binary by package harness, calls it with the peers of package bot, and looks at what
// arrives, at the server's counters and at its process. Nothing links it and nothing but its
// tests is in it. Every test leaves the server as it found it: connections, tracks, buffers
// and handshakes are counted when the last bot has gone.
package calls
