// Package attack makes the traffic of those who mean the server ill: random datagrams, STUN
// with wrong credentials or none that are due, records and media from strangers, bombs of
// RTCP and JSON, thousands of sockets that say nothing. It only makes and sends: whether the
// server survives is for the test that runs it beside a real call.
//
// It sends to loopback addresses only and refuses all others, and every rate has a ceiling,
// MaxRate. Those who measure use 20,000 datagrams a second (50,000 where a row asks for a
// million packets): with one system call a datagram that takes a tenth to a fifth of one CPU
// in the sender and about as much in the server, on a machine whose two CPUs also run a
// browser that encodes and decodes two pictures. More would starve the browser, and the test
// would measure the generator instead of the server; a call disturbed at this rate already
// tells of a lock, a queue or an allocation on the way of a packet that is to be dropped. Each
// sender paces itself by the clock and forgets what it could not send in time, so that it
// never makes up for a pause by a burst.
//
// A Flood, a Crowd and Pace are used by one goroutine; they may start others, which have
// ended when they return or are closed. Functions that build a datagram return memory that is the
// caller's, but for those called Next, whose result is valid until the next call.
package attack
