package packet

// Holders says how many buffers each part of a server may hold at most. The size of an
// arena is their sum, so that an empty arena means that some holder broke its promise or
// that there are more tracks than were planned for, and not bad luck.
type Holders struct {
	Shards int

	ReceiveBatch int // a shard: packets decrypted and not yet routed
	RingEntries  int // a shard: entries of its media ring
	RunLength    int // packets that one entry names on average when the ring is full
	FrameWindow  int // a shard: packets that wait for their frame's end
	Paced        int // a shard: packets that wait for viewers to take them, and have left their ring meanwhile

	VideoTracks, VideoSlots int // published video layers, and the size of their retransmission rings
	CacheSlots              int // a video track: what the key frame cache makes those rings longer by
	AudioTracks, AudioSlots int // the same of audio; a ring is there only with NACK

	TapEntries int // all taps' queues together: recorders, forwarders

	Magazine int // Config.MagazineSize
}

// Sizes of the default classes in bytes. Opus is 20 to 200 bytes; the last packet of a
// small frame, the packets of low layers and RTCP stay below 768. Browsers cut a frame into
// equal packets of at most 1,208 bytes, below 0.5 Mbps often of less than 1,024: the rings
// that keep them for a second are most of a publisher's memory. A class for each 128 bytes
// takes more, not less: streams wander between classes, and what each of them took at its
// peak stays. With padding and tag the longest of other clients are below 1,280; nothing on
// an Ethernet is above 1,500.
const (
	SmallSize  = 256
	MediumSize = 768
	ShortSize  = 1024
	UsualSize  = 1216
	FullSize   = 1280
	LargeSize  = 1600
)

// DefaultReserve is the share of each class that Video leaves to Audio and Control.
const DefaultReserve = 1.0 / 16

// DefaultHolders returns what a server of so many shards is sized for unless its
// configuration says more.
func DefaultHolders(shards int) Holders {
	return Holders{
		Shards:       shards,
		ReceiveBatch: 256,
		RingEntries:  1024,
		RunLength:    4,
		FrameWindow:  1024,
		Paced:        1024, // of tracks that end within 0.1 s, or bring more than a ring holds in that time
		VideoTracks:  256,
		VideoSlots:   512, // 1 s of 4.5 Mbps, 3 s of 1.5 Mbps
		AudioTracks:  512,
		AudioSlots:   64, // 1.3 s at 20 ms a packet
		TapEntries:   4096,
		Magazine:     64,
	}
}

// Config returns the arena that the holders need. Memory that is never used stays
// untouched, so a sum that is too large costs address space, not memory.
func (h Holders) Config() Config {
	inFlight := h.Shards*h.ReceiveBatch + // decrypted from one receive batch, until routed and released
		h.Shards*h.RingEntries*h.RunLength + // named by the entries of all media rings
		h.Shards*h.FrameWindow + // kept for viewers until the frame ends or 1 ms has passed
		h.Shards*h.Paced + // for 0.1 s at most; nearly all that pacers hold is in a ring as well
		h.TapEntries // queued for recorders and forwarders

	video := h.VideoTracks * (h.VideoSlots + // in the retransmission rings of video
		h.CacheSlots) // the last key frame of each and what came after it, for viewers who start
	audio := h.AudioTracks * h.AudioSlots // in those of audio

	// Free, but out of everybody else's reach: full magazines, once for each class.
	parked := h.Shards * h.Magazine

	// What is in flight may be all audio or all video, so each class that serves as
	// somebody's first choice has room for all of it. Video's rings may hold full packets
	// only, of browsers or of clients with larger ones, so that the classes of those have room
	// for all of them, which costs no memory but where it is used; a quarter of video's packets
	// measured were below the medium size. Smaller buffers that run out spill upward.
	return Config{
		Classes: []ClassConfig{
			{SmallSize, whole(audio + inFlight + parked)},
			{MediumSize, whole(video/4 + inFlight/2 + parked)},
			{ShortSize, whole(video/2 + inFlight/2 + parked)},
			{UsualSize, whole(video + inFlight + parked)},
			{FullSize, whole(video + inFlight + parked)},
			{LargeSize, whole(video + inFlight + parked)},
		},
		Reserve:      DefaultReserve,
		MagazineSize: h.Magazine,
	}
}

// whole adds the reserve on top: the sum is what Video finds, too.
func whole(n int) int { return n + int(float64(n)*DefaultReserve/(1-DefaultReserve)) + 1 }
