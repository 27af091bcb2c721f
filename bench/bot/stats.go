package bot

import "time"

// Stats are what a bot has counted, at one instant.
type Stats struct {
	ConnectionID, ClientID, SessionID string
	Offers, Pings                     int // offers: re-offers included
	CloseCode                         int // of the WebSocket; 0: not closed by a close frame
	CloseReason                       string

	Connected   bool
	ConnectTime time.Duration // from Dial to the keys
	DTLSTime    time.Duration // of the handshake
	DTLSClosed  bool          // the server said close_notify
	Profile     string        // of SRTP
	ICE         ICEStats

	Sent, Received           uint64 // datagrams of all kinds
	SentBytes, ReceivedBytes uint64
	Undecryptable            uint64 // neither STUN nor DTLS, and not opened by SRTP
	Replayed                 uint64 // refused by replay protection
	UnknownSSRC              uint64 // streams that no offer announced
	RTCP                     uint64 // compound packets received

	Sending   []SendStats
	Receiving []ReceiveStats // of all offers so far; see Active
}

// Stats returns them.
func (b *Bot) Stats() Stats {
	b.mu.Lock()
	defer b.mu.Unlock()
	c := &b.counts
	s := Stats{
		ConnectionID: b.signal.connectionID, ClientID: b.signal.clientID, SessionID: b.signal.sessionID,
		Offers: b.signal.offers, Pings: b.signal.pings,
		CloseCode: b.signal.closeCode, CloseReason: b.signal.closeReason,
		Connected: b.local != nil, ConnectTime: c.connectTime, DTLSTime: c.dtlsTime,
		DTLSClosed: c.dtlsClosed, ICE: b.agent.counts,
		Sent: c.sent, Received: c.received, SentBytes: c.sentBytes, ReceivedBytes: c.receivedBytes,
		Undecryptable: c.undecryptable, Replayed: c.replayed, UnknownSSRC: c.unknownSSRC, RTCP: c.rtcp,
	}
	if b.local != nil {
		s.Profile = b.profile
	}
	for _, t := range b.senders {
		s.Sending = append(s.Sending, t.stats)
	}
	for _, r := range b.known {
		s.Receiving = append(s.Receiving, r.snapshot())
	}
	return s
}

// OfferMessage returns the first offer as it came, and nil before it has.
func (b *Bot) OfferMessage() []byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.signal.raw
}
