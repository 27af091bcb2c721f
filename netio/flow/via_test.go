package flow

import "testing"

func TestViaTellsWhatItWasMadeOf(t *testing.T) {
	for _, stream := range []uint32{0, 1, 77, MaxStreams - 1} {
		for _, c := range []Carrier{TURNStream, FramedStream} {
			plain := OverStream(c, stream)
			if !plain.IsStream() || plain.Carrier() != c || plain.Stream() != stream || plain.IsRelayed() {
				t.Fatalf("OverStream(%d, %d) = %#x", c, stream, plain)
			}
			for allocation := range MaxAllocations {
				for peer := range MaxPeers {
					v := plain.Relayed(allocation, peer)
					if !v.IsRelayed() || v.Allocation() != allocation || v.Peer() != peer || v.Carrier() != c ||
						v.Stream() != stream || v.Unwrapped() != plain {
						t.Fatalf("%#x.Relayed(%d, %d) = %#x", plain, allocation, peer, v)
					}
				}
			}
		}
	}
}

func TestZeroViaIsPlainUDP(t *testing.T) {
	var v Via
	if v.IsStream() || v.IsRelayed() || v.Carrier() != UDP {
		t.Fatal("the zero Via is something")
	}
	r := v.Relayed(3, 7)
	if r == 0 || r.IsStream() || r.Unwrapped() != 0 {
		t.Fatalf("relayed over UDP: %#x", r)
	}
}

func TestViaRefusesWhatItCannotTell(t *testing.T) {
	for name, f := range map[string]func(){
		"UDP as a stream":        func() { OverStream(UDP, 0) },
		"a stream too many":      func() { OverStream(TURNStream, MaxStreams) },
		"a peer too many":        func() { Via(0).Relayed(0, MaxPeers) },
		"an allocation too many": func() { Via(0).Relayed(MaxAllocations, 0) },
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()
			f()
		})
	}
}
