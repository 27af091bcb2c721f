package calls

import (
	"slices"
	"strings"
	"syscall"
	"testing"

	"tsubame/bench/bot"
	"tsubame/bench/harness"
	"tsubame/netio/mmsg/netns"
)

// offered joins a bot and returns the addresses that it was offered.
func (s *space) offered() (b *bot.Bot, addresses []string) {
	s.t.Helper()
	cfg := s.peer(bot.SendRecv)
	cfg.Arrange = func(paths []bot.Path) []bot.Path {
		for _, p := range paths {
			addresses = append(addresses, p.Remote.Addr().String())
		}
		return paths
	}
	b = s.join(cfg)
	slices.Sort(addresses)
	return b, addresses
}

// An interface gets another address and loses the first, as with a new lease: after SIGHUP
// newcomers are offered what there is, and those of before can still be reached.
//
// Row OPS-06.
func TestAddressesAreAdvertisedAnewAfterSIGHUP(t *testing.T) {
	t.Parallel()
	s := &space{serverSide: netns.New(t), clientSide: netns.New(t)}
	s.serverSide.Join("server0", s.clientSide, "client0")
	s.serverSide.IP("addr add " + server4 + "/24 dev server0")
	s.clientSide.IP("addr add " + client4 + "/24 dev client0")
	s.world = startWith(t, harness.Options{
		Config: map[string]string{"shards": "2"}, Wrap: []string{"ip", "netns", "exec", s.serverSide.Name()},
	})
	reload := func() {
		before := len(s.Logs())
		if err := s.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the addresses in the log", func() (bool, any) {
			logs := s.Logs()
			return slices.ContainsFunc(logs[before:], func(l harness.Line) bool { return l.Msg == "addresses advertised" }), logs
		})
	}
	first, got := s.offered()
	if !slices.Equal(got, []string{server4}) {
		t.Fatalf("offered %v", got)
	}
	s.serverSide.IP("addr add " + second4 + "/24 dev server0")
	reload()
	second, got := s.offered()
	if !slices.Equal(got, []string{server4, second4}) {
		t.Fatalf("with a second address: offered %v", got)
	}
	requireFrames(t, 10, among(first, second)...)

	leave(t, first)
	leave(t, second)
	s.serverSide.IP("addr flush dev server0 scope global")
	s.serverSide.IP("addr add " + second4 + "/24 dev server0")
	reload()
	cfg := s.peer(bot.RecvOnly)
	cfg.URL = strings.Replace(cfg.URL, server4, second4, 1)
	var only []string
	cfg.Arrange = func(paths []bot.Path) []bot.Path {
		for _, p := range paths {
			only = append(only, p.Remote.Addr().String())
		}
		return paths
	}
	s.join(cfg)
	if !slices.Equal(only, []string{second4}) {
		t.Fatalf("without the first address: offered %v", only)
	}
}
