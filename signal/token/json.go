package token

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/valyala/fastjson"
)

// strict64 is base64url without padding (RFC 7515 section 2). Strict: bits that no byte
// needs have to be 0, so that a token has one spelling.
var strict64 = base64.RawURLEncoding.Strict()

func decode64(text string) ([]byte, error) {
	if strings.ContainsAny(text, "\r\n") { // which the decoder would pass over
		return nil, errors.New("a line break in base64url")
	}
	data, err := strict64.DecodeString(text)
	if err != nil {
		return nil, errors.New("not base64url")
	}
	return data, nil
}

func cutLast(token string) (before, after string, found bool) {
	i := strings.LastIndexByte(token, '.')
	if i < 0 {
		return "", "", false
	}
	return token[:i], token[i+1:], true
}

// eachMember calls f for the members of a JSON object. What readers could disagree about
// is refused: names that come twice (RFC 7515 section 4, RFC 7519 section 4), text that is
// not UTF-8, and what is lenient JSON. The values end with the call.
func eachMember(data []byte, f func(name string, value *fastjson.Value) error) error {
	if !utf8.Valid(data) {
		return errors.New("not UTF-8")
	}
	if !json.Valid(data) {
		return errors.New("not JSON")
	}
	value, err := fastjson.ParseBytes(data)
	if err != nil {
		return errors.New("not JSON, or nested too deep")
	}
	object, err := value.Object()
	if err != nil {
		return errors.New("not an object")
	}
	seen := make(map[string]bool, object.Len())
	object.Visit(func(key []byte, value *fastjson.Value) {
		name := string(key)
		switch {
		case err != nil:
		case seen[name]:
			err = fmt.Errorf("%.100q comes twice", name)
		default:
			seen[name] = true
			if e := f(name, value); e != nil {
				err = fmt.Errorf("%.100q: %w", name, e)
			}
		}
	})
	return err
}

func appendString(dst []byte, s string) []byte {
	text, err := json.Marshal(s)
	if err != nil { // which cannot be: it is a string
		panic("token: " + err.Error())
	}
	return append(dst, text...)
}
