package hooks

import (
	"encoding/json"
	"strconv"
	"time"
	"unicode/utf8"

	"tsubame/signal/channel"
	"tsubame/signal/sora"
)

// maxUnreadable is how much of an answer that is no JSON stands in a line, in bytes.
const maxUnreadable = 1 << 10

const timestampLayout = "2006-01-02T15:04:05.000000Z"

// line is one line of auth_webhook.jsonl and of every *_error.jsonl.
type line struct {
	id     string
	at     time.Time
	url    string // as it is shown; empty: left out
	req    []byte // JSON; secrets are blanked
	res    []byte // the answer, whatever it is; nil: left out
	reason string // of errors; empty: left out
}

// appendTo appends the line to dst, without a line end.
func (l *line) appendTo(dst []byte) []byte {
	dst = append(dst, `{"id":`...)
	dst = sora.AppendString(dst, l.id)
	dst = append(dst, `,"timestamp":"`...)
	dst = l.at.UTC().AppendFormat(dst, timestampLayout)
	dst = append(dst, '"')
	if l.url != "" {
		dst = append(dst, `,"url":`...)
		dst = sora.AppendString(dst, l.url)
	}
	dst = append(dst, `,"req":`...)
	dst = sora.AppendBlanked(dst, l.req)
	if l.res != nil {
		dst = append(dst, `,"res":`...)
		dst = appendAnswer(dst, l.res)
	}
	if l.reason != "" {
		dst = append(dst, `,"reason":`...)
		dst = sora.AppendString(dst, l.reason)
	}
	return append(dst, '}')
}

// appendAnswer appends what an application has answered: as it is, or as a text if it is
// no JSON.
func appendAnswer(dst, answer []byte) []byte {
	if utf8.Valid(answer) && json.Valid(answer) { // package json does not look at UTF-8
		return sora.AppendBlanked(dst, answer)
	}
	text := sora.AppendBlanked(nil, answer[:min(len(answer), maxUnreadable)]) // as far as it looks like JSON
	return sora.AppendString(dst, string(text))
}

// appendSignaling appends a line of signaling.jsonl. A message that is no JSON is left out
// but for its length: what is secret in it cannot be told.
func appendSignaling(dst []byte, now time.Time, d channel.Direction, channelID, connectionID string, message []byte) []byte {
	dst = append(dst, `{"timestamp":"`...)
	dst = now.UTC().AppendFormat(dst, timestampLayout)
	dst = append(dst, `","channel_id":`...)
	dst = sora.AppendString(dst, channelID)
	dst = append(dst, `,"connection_id":`...)
	dst = sora.AppendString(dst, connectionID)
	dst = append(dst, `,"direction":`...)
	dst = sora.AppendString(dst, d.String())
	if !json.Valid(message) {
		dst = append(dst, `,"unreadable_bytes":`...)
		dst = strconv.AppendInt(dst, int64(len(message)), 10)
		return append(dst, '}')
	}
	dst = append(dst, `,"message":`...)
	dst = sora.AppendBlanked(dst, message)
	return append(dst, '}')
}
