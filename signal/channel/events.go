package channel

import (
	"time"

	"tsubame/signal/session"
	"tsubame/signal/sora"
	"tsubame/signal/webhook"
)

// connectionEvent returns what the application is told of a member.
func (a *actor) connectionEvent(kind string, m *member, now time.Time) *webhook.ConnectionEvent {
	stats := statsOf(m.peer.conn)
	return &webhook.ConnectionEvent{
		Common: webhook.Common{Type: kind}, Role: m.Role, ChannelID: a.id, SessionID: a.session.id,
		ClientID: m.ClientID, BundleID: m.BundleID, ConnectionID: m.ConnectionID, EventMetadata: m.EventMetadata,
		Media: m.Media, Minutes: int(now.Sub(m.since) / time.Minute), Counts: a.countsNow(),
		TURNTransportType: m.peer.transportType(), Created: m.since, ICE: stats.ICE,
		ReceivedBytes: stats.Received.Bytes, SentBytes: stats.Sent.Bytes,
	}
}

// tellEnd tells the application that an established member has left, why, and what it has done
// meanwhile. The counts are without it.
func (a *actor) tellEnd(m *member, end *session.Close) {
	hooks := a.registry.config().Hooks
	if hooks == nil {
		return
	}
	now, s := time.Now(), &a.session
	a.remember(m, now)
	e := a.connectionEvent(webhook.ConnectionDestroyed, m, now)
	e.Destroyed, e.Reason = now, end.Reason
	if end.Reason == session.ReasonDisconnect {
		e.TypeDisconnectReason = end.Detail
	}
	l := &webhook.ConnectionLog{
		Timestamp: now, Created: m.since, Destroyed: now, ChannelID: a.id, SessionID: s.id, ClientID: m.ClientID, BundleID: m.BundleID,
		ConnectionID: m.ConnectionID, Role: m.Role, TURNTransportType: e.TURNTransportType, RecordingBlock: m.RecordingBlock,
		StatsExporter: m.StatsExporter, DestroyedReason: end.Reason, SignalingTerminateReason: end.Reason,
		Media: m.Media, Client: m.Client, LocalStats: statsOf(m.peer.conn),
	}
	if e.TypeDisconnectReason != "" {
		l.SignalingTerminateReason = e.TypeDisconnectReason // why the client ended it
	}
	hooks.Connection(e)
	hooks.Ended(l)
}

// failed tells the application that a session has ended before it was established.
func (r *Registry) failed(m *session.Member, end session.Close, stats webhook.LocalStats) {
	if r.config().Hooks == nil || m.ChannelID == "" && !r.config().LegacySignalingError {
		return
	}
	e := &webhook.ConnectionEvent{
		Common: webhook.Common{Type: webhook.ConnectionFailed}, Role: m.Role, ChannelID: m.ChannelID, ClientID: m.ClientID, BundleID: m.BundleID,
		ConnectionID: m.ConnectionID, Media: m.Media, Message: end.Reason,
		ReceivedBytes: stats.Received.Bytes, SentBytes: stats.Sent.Bytes,
	}
	if end.Detail != "" {
		e.Message += ": " + end.Detail
	}
	if m.ChannelID != "" {
		e.Counts = r.countsOf(m.ChannelID)
	}
	if e.ConnectionID == "" {
		e.ConnectionID = sora.NewID() // every event is of a connection
	}
	r.config().Hooks.Connection(e)
}

// Refused is for transports: a session that was never started has ended with this.
func (r *Registry) Refused(s *session.Session, end session.Close) {
	r.Closes.CountClose(end.Code, end.Reason)
	m := s.Member()
	r.failed(&m, end, webhook.LocalStats{})
}

// LogsSignaling reports whether messages are logged: then transports hand over those that they
// receive, but for answers to pings, to Signaling.
func (r *Registry) LogsSignaling() bool { return r.config().LogSignaling && r.config().Hooks != nil }

// Signaling logs the first message of a client, which has not been started. Nothing is kept of
// it.
func (r *Registry) Signaling(s *session.Session, message []byte) {
	m := s.Member()
	r.logSignaling(FromClient, m.ChannelID, m.ConnectionID, message)
}

// Signaling logs another message of the client. Nothing is kept of it. Any goroutine may call it.
func (p *Peer) Signaling(message []byte) {
	p.registry.logSignaling(FromClient, p.channelID, p.connectionID, message)
}

func (r *Registry) logSignaling(d Direction, channelID, connectionID string, message []byte) {
	if r.LogsSignaling() {
		r.config().Hooks.Signaling(d, channelID, connectionID, message)
	}
}
