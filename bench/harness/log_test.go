package harness

import (
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestCountersAreTheWholeNumbersOfALine(t *testing.T) {
	line := parseLine(`{"time":"2026-01-02T03:04:05Z","level":"INFO","msg":"counters",` +
		`"rx":12,"edge":{"roamed":0,"big":9007199254740993},"share":0.5,"name":"x","below":-1}`)
	want := map[string]uint64{"rx": 12, "edge.roamed": 0, "edge.big": 9007199254740993}
	if got := line.counters(); !reflect.DeepEqual(got, want) {
		t.Fatalf("got %v, want %v", got, want)
	}
	if line.Msg != "counters" || line.Level != "INFO" {
		t.Fatalf("msg %q, level %q", line.Msg, line.Level)
	}
}

func TestTextThatIsNotJSONStaysText(t *testing.T) {
	for _, text := range []string{"", "goroutine 1 [running]:", `{"msg":`, `[1,2]`, `"ready"`} {
		if line := parseLine(text); line.Text != text || line.Msg != "" || line.Attrs != nil {
			t.Errorf("%q: %+v", text, line)
		}
	}
}

func TestPortIsFoundInEveryFormOfAddress(t *testing.T) {
	for text, want := range map[string]int{
		"5000": 5000, "127.0.0.1:5000": 5000, "http://127.0.0.1:5000/": 5000,
		"[::]:3478": 3478, "ws://h:81/signaling": 81,
		"": 0, "http://host/": 0, "0": 0, "70000": 0,
	} {
		if got, ok := portOf(text); got != want && ok || ok != (want != 0) {
			t.Errorf("%q: %d, %v", text, got, ok)
		}
	}
}

func TestWaitForSeesOldLinesNewLinesAndTheEnd(t *testing.T) {
	book := newLogBook()
	exited := make(chan struct{})
	book.read(strings.NewReader("{\"msg\":\"ready\"}\nplain\n"))
	isMsg := func(msg string) func(Line) bool { return func(l Line) bool { return l.Msg == msg } }
	if book.waitFor(0, time.Minute, exited, isMsg("ready")) == nil {
		t.Fatal("a line that had come before was not found")
	}
	from := book.len()
	go book.add(`{"msg":"counters"}`)
	if book.waitFor(from, time.Minute, exited, isMsg("counters")) == nil {
		t.Fatal("a line that came later was not found")
	}
	close(exited)
	if book.waitFor(0, time.Minute, exited, isMsg("never")) != nil {
		t.Fatal("found what is not there")
	}
	if book.waitFor(0, 0, make(chan struct{}), isMsg("never")) != nil {
		t.Fatal("found what is not there")
	}
}

func TestPanicsAndRacesAreFoundButCountersOfThemAreNot(t *testing.T) {
	for text, want := range map[string]bool{
		"panic: runtime error: index out of range":            true,
		"fatal error: concurrent map writes":                  true,
		"WARNING: DATA RACE":                                  true,
		`2026/01/02 03:04:05 http: panic serving 127.0.0.1`:   true,
		`{"msg":"panic in a connection","level":"ERROR"}`:     true,
		`{"msg":"counters","panics":0}`:                       false,
		`{"msg":"ready","signaling":"http://127.0.0.1:5000"}`: false,
	} {
		if got := parseLine(text).isCrash(); got != want {
			t.Errorf("%s: %v", text, got)
		}
	}
}
