package main

import (
	"encoding/json"
	"net/http"
	"time"

	"tsubame/media/edge"
)

// networks lists what each connection last said of its network: edge.Plane.Networks.
type networks func(func(edge.Network))

// connectionStatus is one element of what GET /debug/connections answers, as of the connection's
// last report, about a second ago: rates in bit/s, loss from 0 to 1. target and acked are 0
// where nothing is estimated, because the client receives nothing or negotiated no transport-wide
// feedback.
type connectionStatus struct {
	ChannelID    string `json:"channel_id"`
	ConnectionID string `json:"connection_id"`
	Index        uint32 `json:"index"`
	Serial       uint32 `json:"serial"`
	Reports      uint64 `json:"reports"`

	Sent     uint64  `json:"sent"`
	Target   uint64  `json:"target"`
	Acked    uint64  `json:"acked"`
	Delay    string  `json:"delay"` // normal, overuse, underuse
	Loss     float64 `json:"loss"`
	RTT      float64 `json:"rtt_ms"`
	Queue    float64 `json:"queue_ms"`
	Queued   uint64  `json:"queued"`
	Unstable uint8   `json:"unstable_level"`

	Feedbacks  uint64 `json:"feedbacks"`
	Probes     uint64 `json:"probes"`
	Probed     uint64 `json:"probed"`
	NACKs      uint64 `json:"nacks"`
	PLIs       uint64 `json:"plis"`
	Subscribed uint64 `json:"subscribed"`
	Published  uint64 `json:"published"`

	Received     uint64  `json:"received"`
	ReceivedLoss float64 `json:"received_loss"`
	NACKsSent    uint64  `json:"nacks_sent"`
	PLIsSent     uint64  `json:"plis_sent"`
}

var delayNames = [...]string{"normal", "overuse", "underuse"}

// serve answers with a JSON array, by connection index; ?channel_id= and ?connection_id= choose.
func (list networks) serve(w http.ResponseWriter, r *http.Request) {
	channel, connection := r.FormValue("channel_id"), r.FormValue("connection_id")
	all := make([]connectionStatus, 0)
	list(func(n edge.Network) {
		if channel != "" && n.ChannelID != channel || connection != "" && n.ConnectionID != connection {
			return
		}
		all = append(all, connectionStatus{
			ChannelID: n.ChannelID, ConnectionID: n.ConnectionID, Index: n.Index, Serial: n.Serial, Reports: n.Reports,
			Sent: n.Sent, Target: n.Target, Acked: n.Acked, Delay: delayNames[n.State], Loss: n.Loss,
			RTT: millis(n.RTT), Queue: millis(n.Queue), Queued: n.Queued, Unstable: n.Unstable,
			Feedbacks: n.Feedbacks, Probes: n.Probes, Probed: n.Probed, NACKs: n.NACKs, PLIs: n.PLIs,
			Subscribed: n.Subscribed, Published: n.Published,
			Received: n.Received, ReceivedLoss: n.ReceivedLoss, NACKsSent: n.NACKsSent, PLIsSent: n.PLIsSent,
		})
	})
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(all) // the client may be gone
}

func millis(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
