package calls

import (
	"testing"

	"tsubame/bench/bot"
	"tsubame/media/param"
)

// The same with a network that loses: every datagram may be hit, checks, handshakes and reports
// too, in both directions. Voice has no retransmission: of it a share is lost for good.
func TestLossInTheNetworkIsRepaired(t *testing.T) {
	t.Parallel()
	requireNft(t)
	s := newSpace(t, nil)
	s.lose(10)
	a, b := s.join(s.peer(bot.SendRecv)), s.join(s.peer(bot.SendRecv))
	for _, f := range among(a, b) {
		requireRecovered(t, 250, f)
		if v := f.stream(param.Audio); v.Frames < 100 || v.BadPayload != 0 || v.Duplicates != 0 {
			t.Errorf("voice of %v: %+v", f, v)
		}
	}
	if dropped := s.dropped(); dropped < 100 {
		t.Errorf("the network has lost %d datagrams: nothing was shown", dropped)
	}
}
