package channel

import (
	"context"
	"time"

	"tsubame/signal/session"
	"tsubame/signal/sora"
	"tsubame/signal/webhook"
)

// authenticate asks the application about the session's client. The question counts until it
// is answered, though the client may have gone long before: those who come and go would
// otherwise ask without end.
func (p *Peer) authenticate(a session.Authenticate) {
	r := p.registry
	a.Request.Counts = r.countsOf(p.channelID)
	var ctx context.Context
	ctx, p.cancel = context.WithCancel(context.Background())
	r.mu.Lock()
	r.asking++
	r.mu.Unlock()
	r.config().Hooks.Authenticate(ctx, a.Request, a.Token, func(v Verdict) {
		r.mu.Lock()
		r.asking--
		r.mu.Unlock()
		if v.Answer == nil {
			p.mustPost(session.Denied{Reason: v.Reason, Detail: v.Detail})
			return
		}
		p.mustPost(session.Authenticated{Answer: v.Answer})
	})
}

// endAuthentication lets go of the question, answered or not: a session of hours has no use for its
// context.
func (p *Peer) endAuthentication() {
	if p.cancel != nil {
		p.cancel()
		p.cancel = nil
	}
}

// tellFailed tells the application of a session that ends without having been announced.
func (p *Peer) tellFailed(end session.Close) {
	if p.told {
		return
	}
	p.told = true
	m := p.machine.Member()
	p.registry.failed(&m, end, statsOf(p.conn))
}

// settleWait is how long the last count of a connection is waited for: a shard has it within a
// few milliseconds, unless it is in trouble. Then what it last said has to do.
const settleWait = 200 * time.Millisecond

// settle closes media before others hear that the session has ended, so that what is told of the
// connection is all that it has done: while it lives, its counts are up to a second old.
func (p *Peer) settle() {
	if _, ok := p.conn.(Counted); !ok || p.registry.config().Hooks == nil {
		return
	}
	p.conn.Close() // closing it once more is nothing
	timer := time.NewTimer(settleWait)
	defer timer.Stop()
	select {
	case <-p.gone:
	case <-timer.C:
	}
}

// report passes the client's statistics on to whoever wants them.
func (p *Peer) report(stats []byte) {
	m := p.machine.Member()
	if !m.WantsStats && !p.registry.config().StatsWanted {
		return
	}
	p.registry.config().Hooks.Stats(&webhook.StatsEvent{
		Common: webhook.Common{Type: webhook.ConnectionRTCStats}, Role: m.Role, ChannelID: m.ChannelID, SessionID: p.machine.SessionID(),
		ClientID: m.ClientID, BundleID: m.BundleID, ConnectionID: m.ConnectionID, RTCStats: stats,
	}, m.StatsExporter)
}

// logSent logs a message to the client, but for pings: there would be little else in the log.
func (p *Peer) logSent(message []byte) {
	if p.registry.LogsSignaling() && !sora.IsPing(message) {
		p.registry.logSignaling(ToClient, p.channelID, p.connectionID, message)
	}
}
