package ice

import "testing"

func TestAnsweringAllocatesNothing(t *testing.T) {
	if raceEnabled {
		return // the budget is checked in builds without the race detector
	}
	var c Codec
	var a Agent
	a.Init(1)
	var buf [128]byte
	good := browserCheck(t, testPassword)
	unknown := build(typeRequest, testPassword, with(attr{0x7001, ""})...)
	broken := good[:len(good)-1]
	for name, work := range map[string]func(){
		"success": func() {
			if answer(&c, good, buf[:0], key6, testPassword) == nil {
				t.Fatal("refused")
			}
		},
		"agent": func() {
			r, _ := c.Parse(good)
			a.HandleCheck(2, key4, &r)
			a.Lost(3)
		},
		"wrong password": func() { answer(&c, good, buf[:0], key4, testPassword[1:]) },
		"420": func() {
			r, _ := c.Parse(unknown)
			c.AppendError(buf[:0], &r, CodeUnknownAttribute, testPassword)
		},
		"401": func() {
			r, _ := c.Parse(good)
			c.AppendError(buf[:0], &r, CodeUnauthenticated, "")
		},
		"malformed": func() { c.Parse(broken) },
	} {
		if n := testing.AllocsPerRun(200, work); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}
