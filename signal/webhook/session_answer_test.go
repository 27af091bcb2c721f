package webhook

import (
	"reflect"
	"testing"
)

func TestEveryMemberOfASessionAnswerIsRead(t *testing.T) {
	for body, want := range map[string]SessionAnswer{
		`{}`:                                              {},
		`{"session_metadata":{"a": [1]}}`:                 {SessionMetadata: []byte(`{"a": [1]}`)},
		`{"session_metadata":null}`:                       {},
		`{"max_connections":1}`:                           {MaxConnections: 1},
		`{"trial_max_connections":2147483647}`:            {MaxConnections: 2147483647},
		`{"max_connections":3,"trial_max_connections":4}`: {MaxConnections: 3},
		`{"group_id":"g"}`:                                {GroupID: "g"},
		`{"spotlight_number":1}`:                          {SpotlightNumber: 1, Warnings: []string{"spotlight_number has no effect"}},
		`{"spotlight_number":8}`:                          {SpotlightNumber: 8, Warnings: []string{"spotlight_number has no effect"}},
		`{"spotlight_number":9}`:                          {Warnings: []string{"spotlight_number has no effect"}},
		`{"spotlight_number":"8"}`:                        {Warnings: []string{"spotlight_number has no effect"}},
		`{"other":1}`:                                     {Warnings: []string{`"other" is not known`}},
	} {
		want.Kept = []byte(body)
		if got, err := ParseSessionAnswer([]byte(body)); err != nil || !reflect.DeepEqual(*got, want) {
			t.Errorf("%s: %+v, %v", body, got, err)
		}
	}
}

func TestAnEmptySessionAnswerSaysNothing(t *testing.T) {
	for _, body := range []string{``, " \r\n\t", "{}", "\n{ }\n"} {
		a, err := ParseSessionAnswer([]byte(body))
		if err != nil || a.SessionMetadata != nil || a.MaxConnections != 0 || a.GroupID != "" || a.Warnings != nil {
			t.Errorf("%q: %+v, %v", body, a, err)
		}
	}
	if a, err := ParseSessionAnswer(nil); err != nil || string(a.Kept) != "{}" {
		t.Errorf("%+v, %v", a, err)
	}
	if _, err := ParseSessionAnswer([]byte("\u00a0")); err == nil {
		t.Error("a space that is none in JSON was taken for an empty answer")
	}
}

func TestAMemberOfASessionAnswerOfAWrongTypeOrValueIsNamed(t *testing.T) {
	number := append(wrongTypes(`1`), `0`, `-1`, `2147483648`, `1.0`)
	for name, values := range map[string][]string{
		"max_connections": number, "trial_max_connections": number, "group_id": append(wrongTypes(`"text"`), `""`),
	} {
		for _, v := range values {
			a, err := ParseSessionAnswer([]byte(`{"` + name + `":` + v + `}`))
			if e, ok := err.(*Error); a != nil || !ok || e.Member != name {
				t.Errorf("%s %s: %+v, %v", name, v, a, err)
			}
		}
	}
}

func TestMembersOfSessionAnswersWithoutEffectAreKept(t *testing.T) {
	for name, effect := range sessionMembers {
		if effect {
			continue
		}
		for _, v := range wrongTypes() {
			body := `{"` + name + `":` + v + `}`
			a, err := ParseSessionAnswer([]byte(body))
			if err != nil || string(a.Kept) != body || !reflect.DeepEqual(a.Warnings, []string{name + " has no effect"}) {
				t.Errorf("%s: %+v, %v", body, a, err)
			}
		}
	}
}

func TestEveryTruncatedSessionAnswerIsAnError(t *testing.T) {
	body := `{"session_metadata":{"a":[true,null,"x"]},"max_connections":10,"group_id":"g"}`
	for n := 1; n < len(body); n++ {
		if a, err := ParseSessionAnswer([]byte(body[:n])); a != nil || err == nil {
			t.Errorf("%s: %+v", body[:n], a)
		}
	}
}
