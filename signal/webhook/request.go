package webhook

import (
	"slices"

	"tsubame/signal/sora"
)

// AuthRequest asks an application whether a client may connect, and as what.
type AuthRequest struct {
	Common
	Role         sora.Role
	ChannelID    string
	ClientID     string // empty: the client sent none
	BundleID     string // empty: the client sent none
	ConnectionID string

	Simulcast           bool
	SimulcastRID        string // as sent by the client, here and below; empty: not given
	SimulcastRequestRID string
	Spotlight           bool
	SpotlightNumber     int // 0: not given
	SpotlightFocusRID   string
	SpotlightUnfocusRID string

	Media

	DataChannelSignaling      bool
	IgnoreDisconnectWebSocket bool
	DataChannels              []sora.DataChannel // nil: not given
	ForwardingFilter          *sora.ForwardingFilter
	ForwardingFilters         []sora.ForwardingFilter // nil: not given

	// Metadata is the client's metadata, valid JSON as it was sent; nil: not given.
	Metadata []byte

	WHIP, WHEP bool
	Client     Client
	Counts     Counts // without this connection
}

// NewAuthRequest returns what a client's connect says. The ids of the connection, its counts
// and Common are left to the caller. The request refers to the memory of c.
func NewAuthRequest(c *sora.Connect) *AuthRequest {
	return &AuthRequest{
		Role: c.Role, ChannelID: c.ChannelID, ClientID: c.ClientID, BundleID: c.BundleID,
		Simulcast: c.Simulcast, SimulcastRID: c.SimulcastRID, SimulcastRequestRID: c.SimulcastRequestRID,
		Spotlight: c.Spotlight, SpotlightNumber: c.SpotlightNumber,
		SpotlightFocusRID: c.SpotlightFocusRID, SpotlightUnfocusRID: c.SpotlightUnfocusRID,
		Media: Media{
			Audio: c.Audio.Enabled, AudioCodecType: c.Audio.CodecType, AudioBitRate: c.Audio.BitRate,
			Video: c.Video.Enabled, VideoCodecType: c.Video.CodecType, VideoBitRate: c.Video.BitRate,
			VP9: c.Video.VP9, AV1: c.Video.AV1, H264: c.Video.H264, H265: c.Video.H265,
		},
		DataChannelSignaling:      c.DataChannelSignaling == sora.True,
		IgnoreDisconnectWebSocket: c.IgnoreDisconnectWebSocket == sora.True,
		DataChannels:              c.DataChannels,
		ForwardingFilter:          c.ForwardingFilter,
		ForwardingFilters:         c.ForwardingFilters,
		Metadata:                  c.Metadata,
		Client:                    Client{SoraClient: c.SoraClient, Libwebrtc: c.Libwebrtc, Environment: c.Environment},
	}
}

// Append appends the body to dst.
func (r *AuthRequest) Append(dst []byte) []byte {
	w := writer{b: slices.Grow(dst, 1536+2*len(r.Metadata))}
	w.begin()
	w.str("id", r.ID)
	w.timestamp("timestamp", r.Timestamp)
	w.str("version", r.Version)
	w.str("label", r.Label)
	w.str("node_name", r.NodeName)
	w.role(r.Role)
	w.str("channel_id", r.ChannelID)
	w.strIf("client_id", r.ClientID)
	w.strIf("bundle_id", r.BundleID)
	w.str("connection_id", r.ConnectionID)
	w.boolean("multistream", true)
	w.boolean("simulcast", r.Simulcast)
	w.strIf("simulcast_rid", r.SimulcastRID)
	w.strIf("simulcast_request_rid", r.SimulcastRequestRID)
	w.boolean("spotlight", r.Spotlight)
	w.integerIf("spotlight_number", r.SpotlightNumber)
	w.strIf("spotlight_focus_rid", r.SpotlightFocusRID)
	w.strIf("spotlight_unfocus_rid", r.SpotlightUnfocusRID)
	w.media(&r.Media)
	w.boolean("data_channel_signaling", r.DataChannelSignaling)
	w.boolean("ignore_disconnect_websocket", r.IgnoreDisconnectWebSocket)
	if r.DataChannels != nil {
		w.dataChannels(r.DataChannels)
	}
	if r.ForwardingFilter != nil {
		w.key("forwarding_filter")
		w.b = append(w.b, '{')
		w.filter(r.ForwardingFilter)
		w.close()
	}
	if r.ForwardingFilters != nil {
		w.openList("forwarding_filters")
		for i := range r.ForwardingFilters {
			w.element()
			w.filter(&r.ForwardingFilters[i])
			w.close()
		}
		w.closeList()
	}
	w.rawIf("auth_metadata", r.Metadata)
	w.rawIf("metadata", r.Metadata)
	w.booleanIf("whip", r.WHIP)
	w.booleanIf("whep", r.WHEP)
	w.client(&r.Client)
	w.counts(&r.Counts)
	w.boolean("e2ee", false)
	w.close()
	return w.b
}

func (w *writer) dataChannels(list []sora.DataChannel) {
	w.openList("data_channels")
	for i := range list {
		c := &list[i]
		w.element()
		w.str("label", c.Label)
		w.str("direction", c.Direction)
		w.boolean("ordered", c.Ordered)
		w.given("max_packet_life_time", c.MaxPacketLifeTime)
		w.given("max_retransmits", c.MaxRetransmits)
		w.strIf("protocol", c.Protocol)
		w.boolean("compress", c.Compress)
		if c.SenderConnectionID {
			w.openList("header")
			w.element()
			w.str("type", "sender_connection_id")
			w.close()
			w.closeList()
		}
		w.close()
	}
	w.closeList()
}

// filter writes the members of a filter.
func (w *writer) filter(f *sora.ForwardingFilter) {
	w.strIf("name", f.Name)
	w.str("action", f.Action)
	w.integer("priority", f.Priority)
	w.openList("rules")
	for _, all := range f.Rules {
		w.comma()
		w.b = append(w.b, '[')
		for i := range all {
			w.element()
			w.str("field", all[i].Field)
			w.str("operator", all[i].Operator)
			w.openList("values")
			for _, v := range all[i].Values {
				w.comma()
				w.b = sora.AppendString(w.b, v)
			}
			w.closeList()
			w.close()
		}
		w.closeList()
	}
	w.closeList()
	w.strIf("version", f.Version)
	w.rawIf("metadata", f.Metadata)
}
