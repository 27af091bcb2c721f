package edge

import (
	"errors"
	"reflect"
	"strconv"
	"strings"

	"tsubame/media/conn"
	"tsubame/media/dtls"
	"tsubame/media/ice"
	"tsubame/media/router"
	"tsubame/netio/count"
	"tsubame/netio/mmsg"
	"tsubame/turnsrv"
)

// Counters are what one shard counts. Names are fixed; nothing a peer sends becomes one.
type Counters struct {
	Conn   conn.Counters
	Window router.WindowCounters

	Connections      count.Word // gauge: owned by this shard
	Adopted          count.Word
	Established      count.Word
	Handshakes       count.Word
	HandshakesFailed count.Word
	BadFingerprints  count.Word
	PathSwitches     count.Word
	ConsentLost      count.Word // connections whose peer had not checked for param.ConsentTimeout
	ConsentRegained  count.Word // of those, the ones that a check brought back
	Roamed           count.Word // datagrams that landed here for another shard
	Foreign          count.Word // gauge: paths remembered for other shards
	STUNReplies      count.Word
	STUNErrors       count.Word
	Runs             count.Word // runs routed, and
	RunPackets       count.Word // the packets in them
	TracksReaped     count.Word
	MediaDepth       count.Word // gauge: entries left in the media lane after a drain
	PublishRefused   count.Word
	SubscribeRefused count.Word

	TurnUDP Traffic    // through TURN over UDP; what goes out is conn's to count
	TurnTCP Traffic    // over TCP,
	TurnTLS Traffic    // over TLS
	IceTCP  Traffic    // ICE over TCP or TLS, without TURN
	Streams count.Word // gauge: streams at home here

	DropStreamVideo   count.Word // datagrams that a stream had no room for
	DropStreamAudio   count.Word
	DropStreamControl count.Word
	DropStreamGone    count.Word // datagrams for a stream that is no more
	DropRingStream    count.Word // datagrams for another shard's stream, when its media lane was full
	DropForeignRelay  count.Word // checks that came through another connection's allocation

	DropUnknown     count.Word // first byte of no protocol of ours
	DropSTUN        count.Word // malformed
	DropSTUNType    count.Word // a response or indication that nobody asked for, another method
	DropUfrag       count.Word // a user fragment that we did not give out
	DropIntegrity   count.Word // MESSAGE-INTEGRITY that does not verify
	DropPaths       count.Word // more paths than we remember
	DropPath        count.Word // DTLS or media by a path without a valid check
	DropHandshakes  count.Word // more handshakes than may run
	DropRecords     count.Word // records that the endpoint had no room for
	DropRingMedia   count.Word // packets for which another shard's media lane had no room
	DropRingForward count.Word // datagrams of roamed flows, the same
	DropFeedback    count.Word // feedback and NACKs that were not even decrypted: the shard is behind
	DropTrack       count.Word // packets of a track that had ended meanwhile
}

// Traffic is what went over one kind of carrier: TURN messages and what they carried, framing
// included.
type Traffic struct {
	In, InBytes, Out, OutBytes count.Word
}

func (t *Traffic) in(n int) {
	t.In.Inc()
	t.InBytes.Add(uint64(n))
}

func (t *Traffic) out(n int) {
	t.Out.Inc()
	t.OutBytes.Add(uint64(n))
}

func (c *Counters) stunError(err error) {
	if errors.Is(err, ice.ErrNotRequest) {
		c.DropSTUNType.Inc()
		return
	}
	c.DropSTUN.Inc()
}

// Counters returns the sums over all shards, by name, with those of the sockets (net_), of
// the arena (buffers_), of the handshakes (dtls_) and of the TURN servers (turn_).
func (p *Plane) Counters() map[string]uint64 {
	sum := make(map[string]uint64)
	for i, s := range p.shards {
		addWords(sum, "", reflect.ValueOf(&s.count).Elem())
		t := &s.turn.Counters
		for r := range t.Reasons {
			sum["turn_"+turnsrv.Reason(r).String()] += t.Reasons[r].Load()
		}
		sum["turn_channel_data"] += t.ChannelData.Load()
		sum["turn_allocations"] += t.Allocations.Load()
		sum["turn_evicted"] += t.Evicted.Load()
		if p.group != nil {
			stats := p.group.Stats(i)
			addWords(sum, "net_", reflect.ValueOf(&stats).Elem())
		}
	}
	handshakes := p.dtls.Stats()
	addWords(sum, "dtls_", reflect.ValueOf(&handshakes).Elem())
	sum["buffers_out"] = uint64(p.arena.Outstanding())
	sum["connections_free"] = uint64(p.free.Free())
	sum["streams_free"] = uint64(p.streams.free.Free())
	sum["tracks_free"] = uint64(p.tracks.Free())
	return sum
}

// labels name the elements of the sockets' counters by reason; the histograms' elements are
// named by the power of two that they begin at.
var labels = map[string]func(int) string{
	"RxDropped": func(i int) string { return mmsg.RxReason(i).String() },
	"TxErrors":  func(i int) string { return mmsg.TxReason(i).String() },
	"GSOErrors": func(i int) string { return mmsg.GSOReason(i).String() },
	"TxDropped": func(i int) string { return mmsg.Class(i).String() },
	"Dropped":   func(i int) string { return dtls.DropNames[i] },
}

// addWords adds up the words and numbers of a struct under snake-case names.
func addWords(sum map[string]uint64, prefix string, v reflect.Value) {
	for i := range v.NumField() {
		f, name := v.Field(i), v.Type().Field(i).Name
		if !v.Type().Field(i).IsExported() {
			continue
		}
		switch {
		case f.CanUint():
			sum[prefix+snake(name)] += f.Uint()
		case f.CanInt(): // a level, never negative
			sum[prefix+snake(name)] += uint64(f.Int())
		case f.Kind() == reflect.Array && f.Type().Elem().Kind() == reflect.Uint64:
			label := labels[name]
			for j := range f.Len() {
				at := strconv.Itoa(j)
				if label != nil {
					at = label(j)
				}
				sum[prefix+snake(name)+"_"+at] += f.Index(j).Uint()
			}
		case f.Kind() == reflect.Struct:
			switch w := f.Addr().Interface().(type) {
			case *count.Word:
				sum[prefix+snake(name)] += w.Load()
			case *Traffic:
				addWords(sum, prefix+snake(name)+"_", f)
			default:
				addWords(sum, prefix, f)
			}
		}
	}
}

// snake turns DropTxFull into drop_tx_full and RTPIn into rtp_in.
func snake(s string) string {
	var b strings.Builder
	upper := func(i int) bool { return i < len(s) && s[i] >= 'A' && s[i] <= 'Z' }
	for i := range len(s) {
		if upper(i) && i > 0 && (!upper(i-1) || (i+1 < len(s) && !upper(i+1))) {
			b.WriteByte('_')
		}
		b.WriteByte(s[i] | 0x20*bit(upper(i)))
	}
	return b.String()
}

func bit(b bool) byte {
	if b {
		return 1
	}
	return 0
}
