package edge

import (
	"time"

	"tsubame/media/bwe"
)

// Network is what one connection last said of its network, with its report about once a second:
// rates in bit/s, shares from 0 to 1. What was never measured is 0.
type Network struct {
	Index, Serial uint32 // name the connection in this process
	ChannelID     string // as Conn.SetName said
	ConnectionID  string
	Reports       uint64 // how many reports there were

	// What the peer is sent.
	Sent     uint64        // RTP, retransmissions and probes included
	Target   uint64        // what the way to the peer takes, by estimate; 0: nothing is estimated
	Acked    uint64        // what arrived lately
	State    bwe.State     // of the delay on that way
	Loss     float64       // what the peer lost lately
	RTT      time.Duration // smoothed
	Queue    time.Duration // the longest that a packet had to wait in the pacer since the last report
	Queued   uint64        // the most packets that waited there
	Unstable uint8         // 0, stable, to 3

	Feedbacks   uint64 // transport-wide feedback of the peer
	Probes      uint64 // clusters sent, and
	Probed      uint64 // those that gave a rate
	NACKs, PLIs uint64 // packets and key frames that the peer asked for
	Subscribed  uint64 // tracks that it is to be sent
	Published   uint64 // tracks it sends

	// What the peer sends.
	Received            uint64
	ReceivedLoss        float64 // of the worst of its tracks
	NACKsSent, PLIsSent uint64  // packets and key frames that it was asked for
}

// name is what signaling calls a connection.
type name struct{ channel, connection string }

// SetName says what signaling calls the connection and its channel, for Plane.Networks.
func (c *Conn) SetName(channelID, connectionID string) {
	c.name.Store(&name{channelID, connectionID})
}

// Networks calls f for every connection that is there, with what it last said. It waits for
// nobody and disturbs none; the figures of one connection may be of two of its reports.
func (p *Plane) Networks(f func(Network)) {
	for i := range p.slots {
		if c := p.slots[i].conn.Load(); c != nil && !c.dead.Load() {
			f(c.networkNow())
		}
	}
}

func (c *Conn) networkNow() Network {
	m := &c.network
	n := Network{
		Index: c.index, Serial: c.serial, Reports: m.Reports.Load(),
		Sent: m.Sent.Load(), Target: m.Target.Load(), Acked: m.Acked.Load(), State: bwe.State(m.State.Load()),
		Loss: float64(m.Loss.Load()) / 256, RTT: time.Duration(m.RTT.Load()) * time.Microsecond,
		Queue: time.Duration(m.Queue.Load()) * time.Microsecond, Queued: m.Queued.Load(),
		Unstable:  uint8(m.Unstable.Load()),
		Feedbacks: m.Feedbacks.Load(), Probes: m.Probes.Load(), Probed: m.Probed.Load(),
		NACKs: m.NACKs.Load(), PLIs: m.PLIs.Load(), Subscribed: m.Subscribed.Load(), Published: m.Published.Load(),
		Received: m.Received.Load(), ReceivedLoss: float64(m.ReceivedLoss.Load()) / 256,
		NACKsSent: m.NACKsSent.Load(), PLIsSent: m.PLIsSent.Load(),
	}
	if name := c.name.Load(); name != nil {
		n.ChannelID, n.ConnectionID = name.channel, name.connection
	}
	return n
}
