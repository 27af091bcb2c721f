package packet

import "testing"

func TestCloseGivesBackWhatNobodyUses(t *testing.T) {
	a := small(t, 1600, 4096, 0)
	m := a.Magazine()
	r := mustGet(t, m, 100, Video)
	if n, err := a.Close(); n != 1 || err != nil {
		t.Fatalf("Close with a buffer in use: %d, %v", n, err)
	}
	a.Bytes(r)[0] = 1 // still there
	if got := a.Stats().Classes[0].Touched; got < 1 || got > 64 {
		t.Errorf("%d buffers touched, want a magazine's", got)
	}
	m.Release(r)
	m.Drain()
	if n, err := a.Close(); n != 0 || err != nil {
		t.Fatalf("Close: %d, %v", n, err)
	}
	if a.slabs.Mapped() != 0 {
		t.Errorf("%d bytes are still mapped", a.slabs.Mapped())
	}
	// The last scrape of a process comes after its packets have gone.
	if a.Outstanding() != 0 || a.Stats().Classes[0].InUse != 0 {
		t.Error("a closed arena has buffers in use")
	}
	mustPanic(t, "Bytes of a closed arena", func() { a.Bytes(r) })
	if n, err := a.Close(); n != 0 || err != nil {
		t.Errorf("second Close: %d, %v", n, err)
	}
}
