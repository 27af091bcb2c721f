package process

import (
	"context"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestCountersAreTheWholeNumbersOfALine(t *testing.T) {
	line := parseLine(`{"time":"2026-01-02T03:04:05Z","level":"INFO","msg":"counters",` +
		`"rx":12,"edge":{"roamed":0,"big":18446744073709551615},"share":0.5,"name":"x","below":-1}`)
	want := map[string]uint64{"rx": 12, "edge.roamed": 0, "edge.big": 1<<64 - 1}
	if got := line.Counters(); !reflect.DeepEqual(got, want) {
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

func TestWaitForSeesOldLinesNewLinesAndTheEnd(t *testing.T) {
	book := newLogBook(10)
	exited := make(chan struct{})
	book.read(strings.NewReader("{\"msg\":\"ready\"}\nplain\n"))
	isMsg := func(msg string) func(Line) bool { return func(l Line) bool { return l.Msg == msg } }
	if book.waitFor(t.Context(), 0, time.Minute, exited, isMsg("ready")) == nil {
		t.Fatal("a line that had come before was not found")
	}
	from := book.len()
	go book.add(`{"msg":"counters"}`)
	if book.waitFor(t.Context(), from, time.Minute, exited, isMsg("counters")) == nil {
		t.Fatal("a line that came later was not found")
	}
	close(exited)
	if book.waitFor(t.Context(), 0, time.Minute, exited, isMsg("never")) != nil {
		t.Fatal("found what is not there")
	}
	if book.waitFor(t.Context(), 0, 0, make(chan struct{}), isMsg("never")) != nil {
		t.Fatal("found what is not there")
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if book.waitFor(ended, 0, time.Minute, make(chan struct{}), isMsg("never")) != nil {
		t.Fatal("found what is not there")
	}
}

func TestBookKeepsTheLastLinesAndTheFirstCrash(t *testing.T) {
	book := newLogBook(10)
	book.add("panic: early")
	for i := range 1000 {
		book.add(fmt.Sprintf(`{"msg":"line %d"}`, i))
		if n := len(book.lines()); i > 10 && (n < 10 || n > 20) {
			t.Fatalf("%d lines are kept after %d", n, i)
		}
	}
	if book.len() != 1001 {
		t.Errorf("%d lines", book.len())
	}
	found := book.waitFor(t.Context(), book.len()-10, 0, nil, func(Line) bool { return true })
	if found == nil || found.Msg != "line 990" {
		t.Errorf("the tenth from the end is %+v", found)
	}
	if c := book.crashed(); c == nil || c.Text != "panic: early" {
		t.Errorf("crash %+v", c)
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
