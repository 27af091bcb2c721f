package rtx

import "testing"

// The protocol between a ring's writer, its readers and the arena, one atomic access a
// step, in every interleaving. The ring has one slot, the arena two buffers, which a third
// shard takes for other things as well, so that a buffer's lives follow each other as
// closely as they can. The versions with one rule broken show that the search finds what it
// looks for.

// content is what is in a buffer: packet seq of the track of a generation, or, while
// somebody else has the buffer or is still writing, nothing that anybody may read.
type content struct{ gen, seq int8 }

type actor struct {
	pc, left int8
	mine     int8 // buffer in hand, 1 or 2
	old      int8 // writer: buffer taken out of the slot; reader: of the word that it loaded
	seq      int8 // reader: of the word that it loaded
}

type world struct {
	gen     int8
	slotSeq int8
	slotBuf int8 // 0: empty
	refs    [3]int8
	taken   [3]bool // not in a magazine
	content [3]content
	writer  actor
	other   actor
	readers [2]actor
	wrong   bool
}

type rules struct {
	noReload      bool // the reader does not look at the slot again
	noGeneration  bool // ... at the generation again
	blindRetain   bool // ... whether the buffer has references
	releaseFirst  bool // the writer releases the old buffer, then empties the slot
	publishFirst  bool // ... fills the slot, then writes the packet
	keepGen       bool // Close does not raise the generation
	genAfterReuse bool // ... raises it only when the next track's first packet is in
}

// release lowers a count; who lowers it to zero puts the buffer into a magazine.
func (w *world) release(b int8) {
	if b == 0 {
		return
	}
	w.refs[b]--
	switch {
	case w.refs[b] < 0, w.refs[b] == 0 && !w.taken[b]:
		w.wrong = true
	case w.refs[b] == 0:
		w.taken[b] = false
	}
}

// script is what the writer does: insert a packet of this number, or close (0) and open for
// the next track, which has the same numbers.
var script = []int8{1, 2, 0, 1, 0}

const asked = 1 // readers ask for this packet of the first track

func (r rules) steps(w world) (next []world) {
	if w.wrong {
		return nil
	}
	add := func(change func(n *world)) {
		n := w
		change(&n)
		next = append(next, n)
	}
	take := func(who func(n *world) *actor) { // any free buffer, or none if there is none
		took := false
		for b := int8(1); b <= 2; b++ {
			if !w.taken[b] {
				took = true
				add(func(n *world) {
					n.wrong = w.refs[b] != 0
					n.taken[b], n.refs[b], n.content[b] = true, 1, content{}
					who(n).mine, who(n).pc = b, who(n).pc+1
				})
			}
		}
		if !took {
			add(func(n *world) { who(n).pc = -1 })
		}
	}
	r.write(w, add, take)
	switch o := w.other; {
	case o.left == 0:
	case o.pc == 0:
		take(func(n *world) *actor { return &n.other })
	case o.pc == 1:
		add(func(n *world) { n.release(o.mine); n.other = actor{left: o.left - 1} })
	default:
		add(func(n *world) { n.other = actor{left: o.left - 1} })
	}
	for i, a := range w.readers {
		if a.left > 0 {
			add(func(n *world) { r.read(w, n, a, &n.readers[i]) })
		}
	}
	return next
}

func (r rules) write(w world, add func(func(*world)), take func(func(*world) *actor)) {
	a := w.writer
	at := len(script) - int(a.left)
	if a.left == 0 {
		return
	}
	done := func(n *world) { n.writer = actor{left: a.left - 1} }
	empty := func(n *world) { n.writer.old, n.slotBuf, n.slotSeq = w.slotBuf, 0, 0 }
	fill := func(n *world) { n.slotBuf, n.slotSeq = a.mine, script[at] }
	write := func(n *world) { n.content[a.mine] = content{gen: int8(1 + at/3), seq: script[at]} }
	var steps []func(*world)
	if script[at] == 0 { // Close
		raise := func(n *world) {
			if !r.keepGen && !r.genAfterReuse {
				n.gen++
			}
		}
		steps = []func(*world){raise, empty, func(n *world) { n.release(a.old); done(n) }}
	} else { // Insert: buffer, content, eviction, publication
		late := func(n *world) {
			if r.genAfterReuse && at == 3 {
				n.gen++
			}
			done(n)
		}
		old := func(n *world) { n.release(a.old) }
		steps = []func(*world){nil, write, empty, old, fill, late}
		if r.publishFirst {
			steps = []func(*world){nil, empty, old, fill, write, late}
		}
		if r.releaseFirst {
			steps = []func(*world){nil, write, func(n *world) { n.release(w.slotBuf) }, empty, fill, late}
		}
	}
	switch {
	case a.pc == -1: // no buffer: this packet is not kept
		add(done)
	case steps[a.pc] == nil:
		take(func(n *world) *actor { return &n.writer })
	default:
		add(func(n *world) { n.writer.pc++; steps[a.pc](n) })
	}
}

// read makes the next step of Get, and of the reader that uses what it got.
func (r rules) read(w world, n *world, a actor, to *actor) {
	done := actor{left: a.left - 1}
	to.pc++
	switch a.pc {
	case 0:
		if w.gen != 1 {
			*to = done
		}
	case 1:
		to.old, to.seq = w.slotBuf, w.slotSeq
		if w.slotBuf == 0 || w.slotSeq != asked {
			*to = done
		}
	case 2:
		if w.refs[a.old] > 0 || r.blindRetain {
			n.refs[a.old]++
		} else {
			*to = done
		}
	case 3:
		if !r.noReload && (w.slotBuf != a.old || w.slotSeq != a.seq) {
			to.pc = 6
		}
	case 4:
		if !r.noGeneration && w.gen != 1 {
			to.pc = 6
		}
	case 5:
		n.wrong = w.content[a.old] != content{gen: 1, seq: asked}
	case 6:
		n.release(a.old)
		*to = done
	}
}

// search looks for a reader that reads what it must not, a count below zero, and a buffer
// that is not free in the end.
func (r rules) search() (bad world, found bool, states int) {
	start := world{gen: 1}
	start.writer.left = int8(len(script))
	start.other.left = 2
	for i := range start.readers {
		start.readers[i].left = 1
	}
	seen := map[world]bool{start: true}
	todo := []world{start}
	for len(todo) > 0 {
		w := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		next := r.steps(w)
		if w.wrong || len(next) == 0 && w.refs != [3]int8{} {
			return w, true, len(seen)
		}
		for _, n := range next {
			if !seen[n] {
				seen[n] = true
				todo = append(todo, n)
			}
		}
	}
	return world{}, false, len(seen)
}

func TestEveryInterleavingOfGetWithInsertAndClose(t *testing.T) {
	bad, found, states := rules{}.search()
	if found {
		t.Errorf("the protocol fails: %+v", bad)
	}
	if states < 30000 {
		t.Errorf("only %d states visited", states)
	}
	for name, broken := range map[string]rules{
		"no second look at the slot":       {noReload: true},
		"no second look at the generation": {noGeneration: true},
		"references are lifted from zero":  {blindRetain: true},
		"released before taken down":       {releaseFirst: true},
		"published before written":         {publishFirst: true},
		"generation never raised":          {keepGen: true},
		"generation raised too late":       {genAfterReuse: true},
	} {
		if _, found, _ := broken.search(); !found {
			t.Errorf("%s: the search did not find the fault", name)
		}
	}
}
