package edge

import (
	"testing"
	"time"

	"tsubame/media/rtcp"
	"tsubame/netio/mmsg"
)

// control seals a compound of the peer's.
func (p *peer) compound(compound []byte) []byte {
	var slot [mmsg.SlotSize]byte
	n, err := p.session.SealRTCP(slot[:], copy(slot[:], compound))
	if err != nil {
		p.r.t.Fatal(err)
	}
	return append([]byte(nil), slot[:n]...)
}

func (p *Plane) networksByIndex() map[uint32]Network {
	all := map[uint32]Network{}
	p.Networks(func(n Network) { all[n.Index] = n })
	return all
}

func TestConnectionsSayHowTheirNetworkIs(t *testing.T) {
	c := newCall(t, 2, []int{0, 1}, nil)
	c.viewers[1].c.SetName("sora", "ABC")
	for i := range 300 {
		c.frame(i == 0)
		c.advance(10 * time.Millisecond)
		if i%50 == 25 {
			nack := rtcp.AppendNACK(nil, 1, 5000, []uint16{1, 2})
			c.deliver(1, c.viewers[1].key, c.viewers[1].compound(rtcp.AppendPLI(nack, 1, 5000)))
		}
		c.take()
	}
	c.frame(false)
	c.advance(time.Second) // until after the next report
	all := c.p.networksByIndex()
	if len(all) != 3 {
		t.Fatalf("%d connections", len(all))
	}
	pub, quiet, asking := all[c.pub.c.index], all[c.viewers[0].c.index], all[c.viewers[1].c.index]
	if pub.Published != 1 || pub.Received == 0 || pub.Reports < 3 || pub.Sent != 0 {
		t.Errorf("the publisher: %+v", pub)
	}
	if quiet.Subscribed != 1 || quiet.Sent == 0 || quiet.Reports < 3 || quiet.NACKs+quiet.PLIs != 0 || quiet.ConnectionID != "" {
		t.Errorf("the first viewer: %+v", quiet)
	}
	if asking.NACKs != 12 || asking.PLIs != 6 || asking.ChannelID != "sora" || asking.ConnectionID != "ABC" {
		t.Errorf("the second viewer: %+v", asking)
	}
	c.viewers[1].c.Close()
	c.settle()
	if n := len(c.p.networksByIndex()); n != 2 {
		t.Errorf("%d connections after one was closed", n)
	}
	c.finish()
}
