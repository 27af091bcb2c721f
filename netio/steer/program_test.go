package steer

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"testing"

	"tsubame/netio/flow"
)

// run interprets a program as the kernel does for a reuseport group: packet starts at the
// network header. ok is false where the kernel would abort the program (and use socket 0).
func run(t *testing.T, prog []Instruction, packet []byte) (result uint32, ok bool) {
	t.Helper()
	var a, x uint32
	var mem [16]uint32
	load := func(off uint32, size int) (uint32, bool) {
		at := int(int32(off - netOffset))
		if at < 0 || at+size > len(packet) {
			return 0, false
		}
		var v uint32
		for _, b := range packet[at : at+size] {
			v = v<<8 | uint32(b)
		}
		return v, true
	}
	for pc := 0; pc < len(prog); pc++ {
		in, fine := prog[pc], true
		switch in.Op {
		case opLoadWord:
			a, fine = load(in.K, 4)
		case opLoadHalf:
			a, fine = load(in.K, 2)
		case opLoadByte:
			a, fine = load(in.K, 1)
		case opLoadHalfX:
			a, fine = load(x+in.K, 2)
		case opLoadImm:
			a = in.K
		case opLoadXMem:
			x = mem[in.K]
		case opStore:
			mem[in.K] = a
		case opAnd:
			a &= in.K
		case opShiftLeft:
			a <<= in.K
		case opShiftRight:
			a >>= in.K
		case opMultiply:
			a *= in.K
		case opModulo:
			a %= in.K
		case opXorX:
			a ^= x
		case opToX:
			x = a
		case opJump:
			pc += int(in.K)
		case opJumpEqual:
			if a == in.K {
				pc += int(in.Jt)
			} else {
				pc += int(in.Jf)
			}
		case opReturnA:
			return a, true
		default:
			t.Fatalf("instruction %d has unknown operation %#x", pc, in.Op)
		}
		if !fine {
			return 0, false
		}
	}
	t.Fatal("the program ran off its end")
	return 0, false
}

// ipv4 builds an IPv4 header with the given number of option words, and a UDP header.
func ipv4(src netip.AddrPort, optionWords int) []byte {
	ihl := 5 + optionWords
	p := make([]byte, ihl*4+8)
	p[0], p[9] = 0x40|byte(ihl), protocolUDP
	copy(p[v4SourceOffset:], src.Addr().AsSlice())
	binary.BigEndian.PutUint16(p[ihl*4:], src.Port())
	return p
}

// ipv6 builds an IPv6 header, an 8-byte extension header if next is not UDP, and a UDP header.
func ipv6(src netip.AddrPort, next byte) []byte {
	p := make([]byte, v6HeaderLen)
	p[0], p[v6NextHeader] = 0x60, next
	copy(p[v6SourceOffset:], src.Addr().AsSlice())
	if next != protocolUDP {
		p = append(p, protocolUDP, 0, 1, 4, 0, 0, 0, 0)
	}
	p = binary.BigEndian.AppendUint16(p, src.Port())
	return append(p, 0, 0, 0, 8, 0, 0)
}

func randomSource(r *rand.Rand, f Family) netip.AddrPort {
	port := uint16(r.Uint32())
	if f == IPv4 {
		var a [4]byte
		binary.BigEndian.PutUint32(a[:], r.Uint32())
		return netip.AddrPortFrom(netip.AddrFrom4(a), port)
	}
	var a [16]byte
	binary.BigEndian.PutUint64(a[:], 0x20010db8_00000000|uint64(r.Uint32()))
	binary.BigEndian.PutUint64(a[8:], r.Uint64())
	return netip.AddrPortFrom(netip.AddrFrom16(a), port)
}

func TestProgramAgreesWithShardOf(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, n := range []int{1, 2, 3, 7, 8, 64, 65536} {
		v4, v6 := Program(IPv4, n), Program(IPv6, n)
		for range 2000 {
			src := randomSource(r, IPv4)
			options := r.IntN(11)
			if got, ok := run(t, v4, ipv4(src, options)); !ok || int(got) != ShardOf(src, n) {
				t.Fatalf("%v, %d option words, %d shards: program says %d %v, ShardOf %d", src, options, n, got, ok, ShardOf(src, n))
			}
			src = randomSource(r, IPv6)
			if got, ok := run(t, v6, ipv6(src, protocolUDP)); !ok || int(got) != ShardOf(src, n) {
				t.Fatalf("%v, %d shards: program says %d %v, ShardOf %d", src, n, got, ok, ShardOf(src, n))
			}
		}
	}
}

func TestProgramSteersExtensionHeadersByAddressAlone(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	prog := Program(IPv6, 8)
	for range 200 {
		src := randomSource(r, IPv6)
		want := ShardOf(netip.AddrPortFrom(src.Addr(), 0), 8)
		for _, next := range []byte{0, 43, 51, 60} {
			if got, ok := run(t, prog, ipv6(src, next)); !ok || int(got) != want {
				t.Fatalf("%v behind header %d: shard %d %v, want %d", src, next, got, ok, want)
			}
		}
	}
}

func TestProgramAbortsOnATruncatedHeader(t *testing.T) {
	src := netip.MustParseAddrPort("192.0.2.1:4000")
	whole := ipv4(src, 2)
	for cut := range len(whole) - 6 { // the last six bytes of the UDP header are not read
		if _, ok := run(t, Program(IPv4, 4), whole[:cut+1][:cut]); ok {
			t.Fatalf("a header of %d bytes was steered", cut)
		}
	}
}

func TestShardOfTreatsMappedAndZonedAddressesAsPlainOnes(t *testing.T) {
	for _, pair := range [][2]string{
		{"192.0.2.77:5000", "[::ffff:192.0.2.77]:5000"},
		{"[fe80::1]:5000", "[fe80::1%eth0]:5000"},
	} {
		a, b := netip.MustParseAddrPort(pair[0]), netip.MustParseAddrPort(pair[1])
		for n := 1; n <= 16; n++ {
			if ShardOf(a, n) != ShardOf(b, n) {
				t.Errorf("%v and %v differ with %d shards", a, b, n)
			}
		}
	}
}

func TestShardOfKeyLooksAtTheRemoteEndOnly(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	for _, f := range []Family{IPv4, IPv6} {
		for range 500 {
			src, local := randomSource(r, f), randomSource(r, f).Addr()
			if got, want := ShardOfKey(flow.KeyOf(local, src), 8), ShardOf(src, 8); got != want {
				t.Fatalf("key of %v on shard %d, want %d", src, got, want)
			}
		}
	}
}

// The inputs that a server really sees are not random: one NAT with consecutive ports, or
// one port at consecutive addresses. With 8000 flows on 8 shards a share has a standard
// deviation of about 30, so 150 off the mean is out of reach of chance.
func TestShardOfSpreadsNeighboursEvenly(t *testing.T) {
	const n, flows = 8, 8000
	host6 := netip.MustParseAddr("2001:db8::").As16()
	cases := map[string]func(i int) netip.AddrPort{
		"consecutive ports of one address": func(i int) netip.AddrPort {
			return netip.AddrPortFrom(netip.MustParseAddr("198.51.100.7"), uint16(20000+i))
		},
		"even ports of one IPv6 address": func(i int) netip.AddrPort {
			return netip.AddrPortFrom(netip.MustParseAddr("2001:db8::7"), uint16(20000+2*i))
		},
		"one port, consecutive addresses": func(i int) netip.AddrPort {
			return netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), 50000)
		},
		"one port, consecutive IPv6 networks": func(i int) netip.AddrPort {
			a := host6
			a[6], a[7] = byte(i>>8), byte(i)
			return netip.AddrPortFrom(netip.AddrFrom16(a), 50000)
		},
	}
	for name, source := range cases {
		var share [n]int
		for i := range flows {
			share[ShardOf(source(i), n)]++
		}
		for shard, got := range share {
			if got < flows/n-150 || got > flows/n+150 {
				t.Errorf("%s: shard %d has %d of %d flows", name, shard, got, flows)
			}
		}
	}
}

func TestImpossibleShardCountsPanic(t *testing.T) {
	for name, f := range map[string]func(){
		"ShardOf 0":      func() { ShardOf(netip.AddrPort{}, 0) },
		"ShardOfKey -1":  func() { ShardOfKey(flow.Key{}, -1) },
		"Program 0":      func() { Program(IPv4, 0) },
		"Program 65537":  func() { Program(IPv6, maxProgramShards+1) },
		"unknown family": func() { Program(5, 1) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s did not panic", name)
				}
			}()
			f()
		}()
	}
}

func TestShardOfDoesNotAllocate(t *testing.T) {
	ap, k := netip.MustParseAddrPort("[2001:db8::1]:7"), flow.Key{Port: 9}
	if n := testing.AllocsPerRun(100, func() { ShardOf(ap, 3); ShardOfKey(k, 3) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkShardOfKey(b *testing.B) {
	b.ReportAllocs()
	k := flow.KeyOf(netip.MustParseAddr("192.0.2.1"), netip.MustParseAddrPort("198.51.100.7:40000"))
	for b.Loop() {
		k.Port++
		ShardOfKey(k, 8)
	}
}
