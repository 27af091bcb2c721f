package netio

import (
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// pollers are all implementations that this system has.
func pollers() map[string]func() (poller, error) {
	all := map[string]func() (poller, error){"portable": newPortablePoller, "best": newPoller}
	addPollers(all)
	return all
}

// pipe returns both ends of a pipe.
func pipe(t *testing.T) (r, w int) {
	t.Helper()
	var p [2]int
	if err := unix.Pipe(p[:]); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(p[0]); unix.Close(p[1]) })
	return p[0], p[1]
}

func eachPoller(t *testing.T, f func(t *testing.T, p poller)) {
	for name, open := range pollers() {
		t.Run(name, func(t *testing.T) {
			p, err := open()
			if err != nil {
				t.Fatal(err)
			}
			defer p.close()
			f(t, p)
		})
	}
}

func TestPollerReportsWhatIsWanted(t *testing.T) {
	eachPoller(t, func(t *testing.T, p poller) {
		r, w := pipe(t)
		const reader, writer = 0, 1
		for _, fd := range []int{r, w} {
			if err := p.watch(fd); err != nil {
				t.Fatal(err)
			}
		}
		check := func(what string, wantReader, wantWriter bool) {
			t.Helper()
			want := 0
			for _, b := range []bool{wantReader, wantWriter} {
				if b {
					want++
				}
			}
			if n := p.wait(time.Millisecond, false); n != want || p.ready(reader) != wantReader || p.ready(writer) != wantWriter {
				t.Errorf("%s: %d ready, reader %v, writer %v", what, n, p.ready(reader), p.ready(writer))
			}
		}
		check("nothing wanted", false, false)
		p.want(reader, wantInput)
		check("an empty pipe", false, false)
		p.want(writer, wantOutput)
		check("a writable pipe", false, true)
		unix.Write(w, []byte("x"))
		check("a full and writable pipe", true, true)
		p.want(writer, 0)
		check("output no longer wanted", true, false)
		p.want(reader, wantInput|wantOutput)
		check("more wanted than there is", true, false)
		p.want(reader, 0)
		check("nothing wanted again", false, false)
		p.want(reader, wantInput)
		check("and back", true, false)
	})
}

// A descriptor in error wakes those who want something of it, and nobody else.
func TestPollerIsSilentAboutErrorsNobodyAskedFor(t *testing.T) {
	eachPoller(t, func(t *testing.T, p poller) {
		var ends [2]int
		if err := unix.Pipe(ends[:]); err != nil {
			t.Fatal(err)
		}
		defer unix.Close(ends[0])
		if err := p.watch(ends[0]); err != nil {
			t.Fatal(err)
		}
		p.want(0, wantInput)
		unix.Close(ends[1]) // hang-up
		if p.wait(time.Second, false) != 1 || !p.ready(0) {
			t.Error("a hang-up went unnoticed")
		}
		p.want(0, 0)
		if n := p.wait(time.Millisecond, false); n != 0 || p.ready(0) {
			t.Errorf("%d ready although nothing is wanted", n)
		}
	})
}

func TestPollerNeverWakesEarly(t *testing.T) {
	eachPoller(t, func(t *testing.T, p poller) {
		r, _ := pipe(t)
		if err := p.watch(r); err != nil {
			t.Fatal(err)
		}
		p.want(0, wantInput)
		for _, d := range []time.Duration{0, 1, 300 * time.Microsecond, time.Millisecond, 1500 * time.Microsecond, 20 * time.Millisecond} {
			began := time.Now()
			n := p.wait(d, false)
			if took := time.Since(began); n != 0 || took < d {
				t.Errorf("waiting %v took %v, %d ready", d, took, n)
			}
		}
	})
}

func TestMillisecondsRoundUp(t *testing.T) {
	for d, want := range map[time.Duration]int{
		-1: -1, -time.Hour: -1, 0: 0, 1: 1, time.Millisecond: 1, time.Millisecond + 1: 2,
		time.Second: 1000, 1000 * time.Hour: 3600_000,
	} {
		if got := milliseconds(d); got != want {
			t.Errorf("%v is %d ms, want %d", d, got, want)
		}
	}
}
