// Package turnsrv is reserved for the built-in TURN server (RFC 8656): a state machine on
// the shard that owns the client's flow, without sockets, goroutines or clocks of its own.
// It holds no code yet: the server does not speak TURN, a ChannelData message is counted as
// drop_unknown, and offers carry an empty iceServers list.
package turnsrv
