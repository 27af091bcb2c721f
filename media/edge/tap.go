package edge

import (
	"tsubame/media/param"
	"tsubame/media/router"
)

// OpenTap attaches a tap, which serves one track in its life: it gets every packet from now
// on. It is fed by the shard of the publisher. The reader knows by tap.Left when the track
// has ended, or that it was not there.
func (p *Plane) OpenTap(id param.TrackID, tap *router.Tap) {
	tap.SetFeeder(p.tracks.Owner(id.Index))
	p.tellTap(opTap, id, tap)
}

// CloseTap takes a tap off its track; tap.Left tells when that has happened.
func (p *Plane) CloseTap(id param.TrackID, tap *router.Tap) {
	tap.Close()
	p.tellTap(opUntap, id, tap)
}

// tellTap brings a command to the shard that feeds the tap: the one that was asked to, even
// if the track's index has another owner by now.
func (p *Plane) tellTap(op op, id param.TrackID, tap *router.Tap) {
	if !p.shards[tap.Feeder()].push(control{cmd: command{op: op, track: id, tap: tap}}) {
		tap.Detach()
	}
}

// ownCommand does what is asked of the shard itself.
func (s *shard) ownCommand(cmd command) {
	if cmd.op == opAddresses {
		s.setAddresses(cmd.addresses, cmd.earlier)
		return
	}
	s.tapCommand(cmd)
}

func (s *shard) tapCommand(cmd command) {
	sink := router.Sink{Tap: cmd.tap}
	if cmd.op == opUntap {
		s.settle(s.env.Fanout.Remove(cmd.track, sink))
		cmd.tap.Detach()
		return
	}
	_, ok, res := s.env.Fanout.Add(cmd.track, sink)
	s.settle(res)
	if !ok {
		cmd.tap.Detach()
	}
}
