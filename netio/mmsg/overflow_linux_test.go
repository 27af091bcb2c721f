package mmsg

import "testing"

// Row OPS-05.
func TestKernelDropsAreCounted(t *testing.T) {
	eachKit(t, func(t *testing.T, k kit) {
		s, c, b := k.open(t, Options{RecvBuffer: 8192, NoForce: true}), k.client(t), NewRxBatch(64)
		const sent = 200
		payload := make([]byte, 1000)
		for range sent {
			sendTo(t, c, reach(k, s), payload)
		}
		got := drain(t, s, b)
		if got == 0 || got == sent {
			t.Fatalf("%d of %d datagrams fit into the buffer: nothing to count", got, sent)
		}
		// The count comes with the next datagram that was queued after the drops.
		sendTo(t, c, reach(k, s), payload)
		await(t, s, b, 1)
		if lost := s.Counters().RxOverflow.Load(); lost != uint64(sent-got) {
			t.Errorf("counted %d dropped, want %d", lost, sent-got)
		}
		// All that one datagram can bring came with this one, and there was room for it.
		if b.Len() != 1 || b.Key(0).Local.Netip() != k.loopback() {
			t.Errorf("%d datagrams delivered beside the count", b.Len())
		}
	})
}

// drain receives until nothing is left and returns how much there was; b is empty after it.
func drain(t testing.TB, s Socket, b *RxBatch) (total int) {
	t.Helper()
	for {
		b.Reset()
		n, err := s.Recv(b)
		if err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			return total
		}
		total += n
	}
}
