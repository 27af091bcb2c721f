package edge

import (
	"errors"
	"testing"
	"time"

	"tsubame/media/ice"
)

// Row ICE-12.
func TestOldPairCarriesMediaUntilTheNewOneIsNominated(t *testing.T) {
	c := newCall(t, 1, []int{0}, nil)
	v := c.viewers[0]
	oldUfrag, oldPassword := v.c.Credentials()
	if _, _, err := v.c.RestartICE(); err != nil {
		t.Fatal(err)
	}
	ufrag, password, err := v.c.RestartICE() // crossed: the first was never used
	if err != nil {
		t.Fatal(err)
	}
	c.advance(time.Second)
	c.take()
	c.deliver(0, v.key, buildCheck(t, oldUfrag, oldPassword, true))
	answered(t, c.take(), 0, v.key)
	c.frame(true)
	if n := len(v.received(c.take())); n != 1 {
		t.Fatalf("%d packets while the restart is under way, want 1", n)
	}
	moved := v.key
	moved.Port++
	c.deliver(0, moved, buildCheck(t, ufrag, password, true))
	answered(t, c.take(), 0, moved)
	v.key = moved
	c.frame(false)
	if n := len(v.received(c.take())); n != 1 {
		t.Fatalf("%d packets on the new path, want 1", n)
	}
	c.deliver(0, pathB, buildCheck(t, oldUfrag, oldPassword, true))
	if n := len(c.take()); n != 0 {
		t.Fatal("credentials from before the restart are still good")
	}
	c.finish()
}

// Row ICE-12.
func TestRestartStormIsRefused(t *testing.T) {
	r := newRig(t, 1, nil)
	p := r.open(0, pathA)
	refused := 0
	for range 100 {
		if _, _, err := p.c.RestartICE(); errors.Is(err, ErrTooOften) {
			refused++
		} else if err != nil {
			t.Fatal(err)
		}
	}
	if refused < 100-ice.RestartBurst-1 {
		t.Fatalf("%d of 100 restarts refused", refused)
	}
	r.deliver(0, pathA, p.check(true))
	answered(t, r.take(), 0, pathA)
	r.finish()
}
