package router

// MaxPad is how many bytes of RTP padding a packet is given at most to bring it to the
// length of its neighbours. Chromium cuts a frame into packets that differ by a byte.
const MaxPad = 16

// Equalise says how much padding (RFC 3550 section 5.1) each payload of a run gets so that it
// leaves in the fewest groups that the kernel can cut from one buffer (UDP_SEGMENT): packets
// of one length, of which only the last may be shorter. Among the ways to that it takes the
// one with the fewest bytes of padding. room says how much each may get; lengths of 0 are
// packets without media, which are left alone. It writes pads, which is as long as lengths
// and at most MaxRun, and returns the number of bytes in it.
func Equalise(lengths []int, room, pads []uint8) (total int) {
	clear(pads)
	if equal(lengths) {
		return 0
	}
	var at [MaxRun]uint8 // those that count
	n := 0
	for i, l := range lengths {
		if l > 0 {
			at[n] = uint8(i)
			n++
		}
	}
	// best[j] is the cheapest way to cut the first j packets: in so many groups, and bytes.
	type cut struct {
		groups, bytes int
		from          int // where the last group begins
	}
	var best [MaxRun + 1]cut
	for j := 1; j <= n; j++ {
		best[j] = cut{groups: MaxRun + 1}
		size, limit, sum := lengths[at[j-1]], int(^uint(0)>>1), 0
		for i := j - 1; i >= 0; i-- {
			if i < j-1 { // not the last one of its group: it has to reach the group's size
				l := lengths[at[i]]
				size, limit, sum = max(size, l), min(limit, l+int(room[at[i]])), sum+l
				if size > limit {
					break
				}
			}
			c := cut{best[i].groups + 1, best[i].bytes + size*(j-1-i) - sum, i}
			if c.groups < best[j].groups || c.groups == best[j].groups && c.bytes < best[j].bytes {
				best[j] = c
			}
		}
	}
	for j := n; j > 0; j = best[j].from {
		size := 0
		for i := best[j].from; i < j; i++ {
			size = max(size, lengths[at[i]])
		}
		for i := best[j].from; i < j-1; i++ {
			pads[at[i]] = uint8(size - lengths[at[i]])
		}
	}
	return best[n].bytes
}

// equal reports whether the payloads form one group as they are.
func equal(lengths []int) bool {
	for i := 1; i < len(lengths); i++ {
		if lengths[i] > lengths[0] || lengths[i] < lengths[0] && i < len(lengths)-1 {
			return false
		}
	}
	return true
}
