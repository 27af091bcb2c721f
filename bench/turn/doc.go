// Package turn is the suite of TURN, of TCP and of the one port for everything through the real
// server: it starts the binary by package harness, gets one-time credentials by signaling as
// every client does, and then is one of four clients: pion/turn, pion/ice with nothing but
// relayed candidates, coturn's turnutils_uclient, or bytes made by hand for what no library would
// send. Calls go through relays by a bridge that a bot takes for the server.
//
// Nothing links it and nothing but its tests is in it. Every test leaves the server as it found
// it: connections, allocations, streams and buffers are counted when the last client has gone.
package turn
