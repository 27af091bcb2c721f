package traces

import (
	"errors"
	"strings"
	"testing"
	"time"
)

func TestEveryTraceIsReadable(t *testing.T) {
	names := Names()
	if len(names) < 8 {
		t.Fatalf("%d traces", len(names))
	}
	for _, name := range names {
		tr, err := Open(name)
		if err != nil {
			t.Fatal(err)
		}
		last := tr.Video[len(tr.Video)-1].At
		if len(tr.Audio) < 490 || last < 9*time.Second || last > 11*time.Second {
			t.Errorf("%s: %d packets of audio, video ends at %v", name, len(tr.Audio), last)
		}
		if again, err := Open(name); err != nil || again != tr {
			t.Errorf("%s is read twice: %v", name, err)
		}
	}
}

func TestUnknownName(t *testing.T) {
	if _, err := Open("none"); err == nil || !strings.Contains(err.Error(), "vp9-noise-1.75mbps") {
		t.Fatalf("%v does not say which there are", err)
	}
}

func TestReadTakesLines(t *testing.T) {
	tr, err := Read(strings.NewReader(head + "\n0,a,115,0,0\n8584,v,1067,0,0\n8761,v,1068,1,0\n"))
	if err != nil || len(tr.Audio) != 1 || len(tr.Video) != 2 {
		t.Fatal(tr, err)
	}
	if want := (Record{At: 8761 * time.Microsecond, Bytes: 1068, Marker: true}); tr.Video[1] != want {
		t.Fatalf("%+v", tr.Video[1])
	}
}

func TestReadRefusesWhatIsNoTrace(t *testing.T) {
	for _, text := range []string{
		"", "t,kind\n", head + "\n0,a,115,0\n", head + "\n0,x,115,0,0\n", head + "\n0,a,y,0,0\n",
		head + "\n-1,a,115,0,0\n", head + "\n0,a,22,0,0\n", head + "\n0,a,1501,0,0\n", head + "\n0,a,115,2,0\n",
		head + "\n0,a,115,0,1\n", head + "\n5,a,115,0,0\n4,a,115,0,1\n", head + "\n0,a,115,0,0\n4,a,115,0,2\n",
		head + "\n600000001,a,115,0,0\n", head + "\n" + strings.Repeat("0", bufferOfScanner) + "\n",
	} {
		if _, err := Read(strings.NewReader(text)); !errors.Is(err, errTrace) {
			t.Errorf("%.60q: %v", text, err)
		}
	}
	many := head + "\n" + strings.Repeat("0,a,115,0,0\n", maxRecords+1)
	if _, err := Read(strings.NewReader(many)); !errors.Is(err, errTrace) {
		t.Errorf("more than the most: %v", err)
	}
}

// bufferOfScanner is more than a line may have.
const bufferOfScanner = 70_000

func FuzzRead(f *testing.F) {
	f.Add(head + "\n0,a,115,0,0\n8584,v,1067,0,0\n")
	f.Fuzz(func(t *testing.T, text string) {
		tr, err := Read(strings.NewReader(text))
		if err != nil {
			return
		}
		for _, list := range [][]Record{tr.Video, tr.Audio} {
			for i, r := range list {
				if r.Bytes < minBytes || r.Bytes > maxBytes || i > 0 && r.At < list[i-1].At {
					t.Fatalf("%+v", r)
				}
			}
		}
	})
}
