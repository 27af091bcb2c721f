package webhook

import (
	"bytes"

	"tsubame/signal/sora"
)

// SessionAnswer is what a session webhook answers to SessionCreated. What was not given is
// zero or nil. A member that is null counts as not given.
type SessionAnswer struct {
	SessionMetadata []byte // JSON; for session webhooks and session.jsonl
	MaxConnections  int    // most at one time; 0: no bound
	GroupID         string
	SpotlightNumber int      // 1..8; without effect as yet, and 0 if it is wrong
	Kept            []byte   // as of AuthAnswer; of an empty answer {}
	Warnings        []string // as of AuthAnswer
}

// ParseSessionAnswer reads the body of an answer to SessionCreated, which may be empty. The
// error is always an *Error, for the same reasons as of ParseAuthAnswer.
func ParseSessionAnswer(body []byte) (*SessionAnswer, error) {
	if len(body) <= MaxAnswer && len(bytes.Trim(body, " \t\r\n")) == 0 {
		body = []byte("{}")
	}
	o, err := readAnswer(body)
	if err != nil {
		return nil, err
	}
	a := &SessionAnswer{
		SessionMetadata: o.Raw("session_metadata"),
		MaxConnections:  o.Integer("max_connections", 1, maxSessionConnections),
		GroupID:         o.ID("group_id"),
		SpotlightNumber: spotlightNumber(o),
		Kept:            o.Line(),
		Warnings:        warnings(o, sessionMembers, nil),
	}
	// The name of 2024 counts where the new one is not given.
	if former := o.Integer("trial_max_connections", 1, maxSessionConnections); a.MaxConnections == 0 {
		a.MaxConnections = former
	}
	if err := fault(o); err != nil {
		return nil, err
	}
	return a, nil
}

// maxSessionConnections is beyond what any server has. It fits where integers have 32 bits.
const maxSessionConnections = 1<<31 - 1

// spotlightNumber does not refuse an answer because of what has no effect.
func spotlightNumber(o *sora.Object) int {
	for n := 1; n <= 8; n++ {
		if string(o.Raw("spotlight_number")) == string(rune('0'+n)) {
			return n
		}
	}
	return 0
}

// sessionMembers are the members of an answer, and whether they have an effect.
var sessionMembers = map[string]bool{
	"session_metadata": true, "max_connections": true, "trial_max_connections": true, "group_id": true,

	"spotlight_number": false, "forwarding_filter": false, "forwarding_filters": false,
	"audio_streaming": false, "audio_streaming_auto": false,
	"recording": false, "recording_expire_time": false, "recording_split_duration": false,
	"recording_split_only": false, "recording_metadata": false, "recording_format": false,
}
