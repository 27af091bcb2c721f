package attack

import (
	"fmt"
	"strings"
)

// MaxFrame is the longest signaling message that the server reads.
const MaxFrame = 1 << 20

// Bomb is one first message of a signaling client, and how it is refused.
type Bomb struct {
	Name   string
	Text   string
	Reason string // of the close frame with code 4490
}

// JSONBombs returns messages of at most MaxFrame bytes that are made to cost a parser time,
// stack or memory.
func JSONBombs() []Bomb {
	fill := func(before, middle, after string) string {
		return before + strings.Repeat(middle, (MaxFrame-len(before)-len(after))/len(middle)) + after
	}
	const tooComplex, invalid, missingType = "JSON-TOO-COMPLEX", "INVALID-JSON", "MISSING-TYPE"
	return []Bomb{
		{"arrays in arrays", strings.Repeat("[", MaxFrame), tooComplex},
		{"objects in objects", fill("", `{"a":`, ""), tooComplex},
		{"nesting that closes", strings.Repeat("[", MaxFrame/2) + strings.Repeat("]", MaxFrame/2), tooComplex},
		{"nesting in metadata", connect + `,"metadata":` + strings.Repeat("[", 1000) + strings.Repeat("]", 1000) + "}", tooComplex},
		{"a huge array", fill("[0", ",0", "]"), tooComplex},
		{"a huge array in metadata", fill(connect+`,"metadata":[0`, ",0", "]}"), tooComplex},
		{"a hundred thousand members", members(func(i int) string { return fmt.Sprint(i) }), tooComplex},
		{"one member again and again", members(func(int) string { return "role" }), tooComplex},
		{"one string", fill(`"`, "a", `"`), missingType},
		{"a string that does not end", fill(`{"type":"`, `\"`, ""), invalid},
		{"a number of a million digits", fill(`{"type":`, "9", "}"), missingType},
		{"a type of a million bytes", fill(`{"type":"`, "a", `"}`), "UNKNOWN-TYPE"},
		{"a channel of a million bytes", fill(`{"type":"connect","role":"recvonly","channel_id":"`, "a", `"}`), "INVALID-CHANNEL-ID"},
		{"metadata for others of a million bytes", fill(connect+`,"signaling_notify_metadata":"`, "a", `"}`), "SIGNALING-NOTIFY-METADATA-TOO-LARGE"},
		{"nothing but spaces", strings.Repeat(" ", MaxFrame), invalid},
	}
}

// connect is the beginning of a good first message.
const connect = `{"type":"connect","channel_id":"bomb","role":"recvonly"`

// members returns a first message with as many members as fit.
func members(name func(i int) string) string {
	var b strings.Builder
	b.WriteString(connect)
	for i := 0; b.Len() < MaxFrame-64; i++ {
		fmt.Fprintf(&b, `,"%s":%d`, name(i), i)
	}
	b.WriteString("}")
	return b.String()
}

// Nonsense returns first messages that are short and wrong.
func Nonsense() []Bomb {
	return []Bomb{
		{"no JSON", "hello", "INVALID-JSON"},
		{"nothing", "", "INVALID-JSON"},
		{"zero bytes", "\x00\x00\x00\x00", "INVALID-JSON"},
		{"an object without type", "{}", "MISSING-TYPE"},
		{"a type that is not a text", `{"type":1}`, "MISSING-TYPE"},
		{"a type of nobody", `{"type":"drop table"}`, "UNKNOWN-TYPE"},
		{"an answer to nothing", `{"type":"answer","sdp":"v=0"}`, "UNEXPECTED-MESSAGE"},
		{"a pong to nothing", `{"type":"pong"}`, "UNEXPECTED-MESSAGE"},
		{"no channel", `{"type":"connect","role":"sendrecv"}`, "INVALID-CHANNEL-ID"},
		{"no role", `{"type":"connect","channel_id":"bomb"}`, "INVALID-ROLE"},
		{"a role of nobody", `{"type":"connect","channel_id":"bomb","role":"owner"}`, "INVALID-ROLE"},
	}
}
