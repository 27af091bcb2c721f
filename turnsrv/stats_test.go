package turnsrv

import (
	"net/netip"
	"testing"

	"github.com/pion/stun/v3"
)

func TestBookCountsRequestsAndTheirAnswers(t *testing.T) {
	c := newWorld(t).connect(1)
	c.allocate() // and the challenge before it, which is nobody's
	c.refused(int(stun.CodeAllocMismatch), stun.MethodAllocate, overUDP)
	c.must(stun.MethodCreatePermission, peerAt(ours4))
	c.refused(int(stun.CodeForbidden), stun.MethodCreatePermission, toPeer(netip.MustParseAddrPort("192.0.2.99:3478")))
	c.must(stun.MethodChannelBind, peerAt(ours4), channelNumber(0x4000))
	c.refused(int(stun.CodeBadRequest), stun.MethodChannelBind, peerAt(ours4), channelNumber(0x3fff))
	c.must(stun.MethodRefresh, lifetime(600))
	c.must(stun.MethodRefresh, lifetime(0))
	c.refused(int(stun.CodeAllocMismatch), stun.MethodRefresh, lifetime(0))
	want := Stats{
		AllocateRequest: 2, AllocateSuccess: 1, AllocateError: 1,
		CreatePermissionRequest: 2, CreatePermissionSuccess: 1, CreatePermissionError: 1,
		ChannelBindRequest: 2, ChannelBindSuccess: 1, ChannelBindError: 1,
		RefreshRequest: 3, RefreshSuccess: 2, RefreshError: 1,
	}
	if got := c.book().Stats(); got != want {
		t.Errorf("counted %v, want %v", got, want)
	}
}

func TestWrongPasswordCountsForNobody(t *testing.T) {
	c := newWorld(t).connect(1)
	c.allocate()
	before := c.book().Stats()
	c.password = "wrong"
	c.refused(int(stun.CodeUnauthorized), stun.MethodRefresh, lifetime(600))
	if got := c.book().Stats(); got != before {
		t.Errorf("counted %v, before that %v", got, before)
	}
}

func TestRelayedDataIsCountedInBatchesAndAllOfItInTheEnd(t *testing.T) {
	w := newWorld(t)
	c := w.connect(1)
	c.allocate()
	c.must(stun.MethodChannelBind, peerAt(ours4), channelNumber(0x4000))
	data := channelData(0x4000, "data")
	for range tallyEvery + 7 {
		if _, _, ok := w.s.ChannelData(c.k, data); !ok {
			t.Fatal("not relayed")
		}
	}
	if n := c.book().Stats()[ChannelDataSent]; n != tallyEvery {
		t.Errorf("%d counted after %d", n, tallyEvery+7)
	}
	for range 3 {
		if r := c.indicate(peerAt(ours4), "data"); r.Outcome != Data {
			t.Fatal("not relayed")
		}
	}
	w.s.End(1, 7)
	if s := c.book().Stats(); s[ChannelDataSent] != tallyEvery+7 || s[SendIndication] != 3 {
		t.Errorf("at the end %d on channels and %d indications, want %d and 3", s[ChannelDataSent], s[SendIndication], tallyEvery+7)
	}
}

func TestWhatIsNotRelayedIsNotCounted(t *testing.T) {
	w := newWorld(t)
	c := w.connect(1)
	c.allocate()
	for range 2 * tallyEvery {
		w.s.ChannelData(c.k, channelData(0x4000, "no channel is bound"))
		c.indicate(peerAt(ours4), "no permission")
	}
	w.s.End(1, 7)
	if s := c.book().Stats(); s[ChannelDataSent] != 0 || s[SendIndication] != 0 {
		t.Errorf("%d and %d counted, none was relayed", s[ChannelDataSent], s[SendIndication])
	}
}
