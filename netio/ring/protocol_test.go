package ring

import "testing"

// The protocols of Waker, Flags and IndexPool, one atomic access a step, in every interleaving: no
// schedule that the race detector happened not to see is left out. The versions with one
// rule broken show that the search finds what it looks for.

// explore visits all states that steps can reach from start, and returns one in which
// nobody can do anything although bad says that something is left to do.
func explore[S comparable](start S, steps func(S) []S, bad func(S) bool) (stuck S, found bool, states int) {
	seen := map[S]bool{start: true}
	todo := []S{start}
	for len(todo) > 0 {
		s := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		next := steps(s)
		if len(next) == 0 && bad(s) {
			return s, true, len(seen)
		}
		for _, n := range next {
			if !seen[n] {
				seen[n] = true
				todo = append(todo, n)
			}
		}
	}
	return start, false, len(seen)
}

// sleepState is a ring with two producers and a consumer that sleeps when it sees nothing.
type sleepState struct {
	work     int8 // entries published and not taken
	sleeping bool
	fd       bool // readable
	producer [2]struct{ pc, left int8 }
	consumer int8
}

type sleepRules struct {
	noRecheck   bool // sleep without a second look
	lateFlag    bool // look first, then raise the flag
	wakeFirst   bool // the producer wakes, then publishes
	drainAsleep bool // empty the descriptor after raising the flag instead of after waking
}

func (rules sleepRules) steps(s sleepState) (next []sleepState) {
	add := func(change func(n *sleepState)) {
		n := s
		change(&n)
		next = append(next, n)
	}
	for i, p := range s.producer {
		step := p.pc
		if rules.wakeFirst { // 1, 2, 3 and then 0
			step = (p.pc + 1) % 4
		}
		done := func(n *sleepState, pc int8) {
			n.producer[i].pc = pc
			if pc == 4 {
				n.producer[i].pc = 0
				n.producer[i].left--
			}
		}
		skip := int8(4) // nothing to write: on to the next entry
		if rules.wakeFirst {
			skip = 3
		}
		switch {
		case p.left == 0:
		case step == 0: // publish
			add(func(n *sleepState) { n.work++; done(n, p.pc+1) })
		case step == 1: // Wake: load the flag
			add(func(n *sleepState) {
				if s.sleeping {
					done(n, p.pc+1)
				} else {
					done(n, skip)
				}
			})
		case step == 2: // Wake: swap it
			add(func(n *sleepState) {
				if s.sleeping {
					n.sleeping = false
					done(n, p.pc+1)
				} else {
					done(n, skip)
				}
			})
		case step == 3: // Wake: write
			add(func(n *sleepState) { n.fd = true; done(n, p.pc+1) })
		}
	}
	switch s.consumer {
	case 0: // take work until there is none
		add(func(n *sleepState) {
			if s.work > 0 {
				n.work--
			} else {
				n.consumer = 1
			}
		})
	case 1: // PrepareSleep
		add(func(n *sleepState) { n.sleeping = true; n.consumer = 2 })
	case 2: // look again
		add(func(n *sleepState) {
			switch {
			case rules.drainAsleep:
				n.fd = false
				n.consumer = 3
			case s.work > 0 && !rules.noRecheck && !rules.lateFlag:
				n.consumer = 4
			default:
				n.consumer = 3
			}
		})
	case 3: // sleep
		if s.fd {
			add(func(n *sleepState) { n.consumer = 5 })
		}
	case 4: // CancelSleep without having slept
		add(func(n *sleepState) { n.sleeping = false; n.consumer = 0 })
	case 5: // CancelSleep
		add(func(n *sleepState) { n.sleeping = false; n.consumer = 6 })
	case 6: // Drain
		add(func(n *sleepState) { n.fd = false; n.consumer = 0 })
	}
	return next
}

func (rules sleepRules) search(entries int8) (sleepState, bool, int) {
	var start sleepState
	for i := range start.producer {
		start.producer[i].left = entries
	}
	return explore(start, rules.steps, func(s sleepState) bool { return s.work > 0 })
}

func TestEveryInterleavingOfSleepAndWakeEndsWithoutWork(t *testing.T) {
	stuck, found, states := sleepRules{}.search(3)
	if found {
		t.Errorf("asleep with work left: %+v", stuck)
	}
	if states < 1000 {
		t.Errorf("only %d states visited", states)
	}
	for name, rules := range map[string]sleepRules{
		"no second look":      {noRecheck: true},
		"look before flag":    {lateFlag: true},
		"wake before publish": {wakeFirst: true},
		"drain before sleep":  {drainAsleep: true},
	} {
		if _, found, _ := rules.search(3); !found {
			t.Errorf("%s: the search did not find the lost wake-up", name)
		}
	}
}

// flagState is a mailbox of one word with two setters, each of which sets its bit twice,
// and a consumer that drains whenever somebody woke it.
type flagState struct {
	word    uint8
	summary bool
	woken   bool
	setter  [2]struct {
		pc, left int8
		quiet    bool // the bit was set already: no need to wake
	}
	consumer int8
}

type flagRules struct {
	sameBit bool // both setters set bit 0, and wake only if it was clear

	summaryFirst bool // the setter sets the summary, then the bit
	noLookBack   bool // the consumer does not look at the word after clearing the summary
}

func (rules flagRules) steps(s flagState) (next []flagState) {
	add := func(change func(n *flagState)) {
		n := s
		change(&n)
		next = append(next, n)
	}
	for i, p := range s.setter {
		bit := uint8(1) << i
		if rules.sameBit {
			bit = 1
		}
		order := [3]int8{0, 1, 2} // bit, summary, wake
		if rules.summaryFirst {
			order = [3]int8{1, 0, 2}
		}
		if p.left == 0 {
			continue
		}
		switch order[p.pc] {
		case 0:
			add(func(n *flagState) {
				n.word |= bit
				n.setter[i].quiet = rules.sameBit && s.word&bit != 0
				n.setter[i].pc++
			})
		case 1: // one step: if Set's load finds the bit it is as if it had set it then, else its Or counts
			add(func(n *flagState) { n.summary = true; n.setter[i].pc++ })
		case 2:
			add(func(n *flagState) {
				n.woken = s.woken || !p.quiet
				n.setter[i].pc = 0
				n.setter[i].left--
			})
		}
	}
	switch s.consumer {
	case 0: // asleep until woken
		if s.woken {
			add(func(n *flagState) { n.woken = false; n.consumer = 1 })
		}
	case 1: // Next: look at the summary
		add(func(n *flagState) {
			n.consumer = 0
			if s.summary {
				n.consumer = 2
			}
		})
	case 2: // clear the lowest bit of the word
		add(func(n *flagState) {
			n.word &= n.word - 1
			n.consumer = 1
			if n.word == 0 {
				n.consumer = 3
			}
		})
	case 3: // settle: clear the summary
		add(func(n *flagState) { n.summary = false; n.consumer = 4 })
	case 4: // settle: look back
		add(func(n *flagState) {
			n.consumer = 1
			if s.word != 0 && !rules.noLookBack {
				n.consumer = 5
			}
		})
	case 5:
		add(func(n *flagState) { n.summary = true; n.consumer = 1 })
	}
	return next
}

func (rules flagRules) search() (flagState, bool, int) {
	var start flagState
	for i := range start.setter {
		start.setter[i].left = 2
	}
	return explore(start, rules.steps, func(s flagState) bool { return s.word != 0 })
}

func TestEveryInterleavingOfSetAndNextEndsWithNoFlagLeft(t *testing.T) {
	for _, rules := range []flagRules{{}, {sameBit: true}} {
		stuck, found, states := rules.search()
		if found {
			t.Errorf("%+v: asleep with a flag set: %+v", rules, stuck)
		}
		if states < 200 {
			t.Errorf("%+v: only %d states visited", rules, states)
		}
	}
	for name, rules := range map[string]flagRules{
		"summary before bit": {summaryFirst: true},
		"no look back":       {noLookBack: true},
	} {
		if _, found, _ := rules.search(); !found {
			t.Errorf("%s: the search did not find the lost flag", name)
		}
	}
}

// poolState is an IndexPool of three with two users, each of which takes up to two indices
// and gives them back in the order in which it took them, or the other way round.
type poolState struct {
	top, tag int8 // top is 0 or an index plus one
	next     [3]int8
	user     [2]struct {
		pc, i    int8 // i: the index that it is about to take or give back
		seenTop  int8
		seenTag  int8
		seenNext int8
		held     [2]int8 // index plus one
		left     int8
	}
	double bool // an index was taken that somebody holds
}

type poolRules struct{ noTag bool }

func (rules poolRules) steps(s poolState) (next []poolState) {
	add := func(change func(n *poolState)) {
		n := s
		change(&n)
		next = append(next, n)
	}
	if s.double {
		return nil // found: this is where the search ends
	}
	swap := func(n *poolState, u int, top int8) bool {
		if p := s.user[u]; s.top != p.seenTop || s.tag != p.seenTag {
			return false
		}
		n.top = top
		if !rules.noTag {
			n.tag++
		}
		return true
	}
	for u, p := range s.user {
		if p.left == 0 {
			continue
		}
		switch p.pc {
		case 0: // take if there is room, or give one back
			if p.held[0] == 0 || p.held[1] == 0 {
				add(func(n *poolState) { n.user[u].pc = 1 })
			}
			for k, h := range p.held {
				if h != 0 {
					add(func(n *poolState) {
						n.user[u].held[k] = 0
						n.user[u].i = h - 1
						n.user[u].pc = 4
					})
				}
			}
		case 1: // Get: load top
			add(func(n *poolState) {
				n.user[u].seenTop, n.user[u].seenTag, n.user[u].pc = s.top, s.tag, 2
				if s.top == 0 {
					n.user[u].pc = 0
					n.user[u].left--
				}
			})
		case 2: // Get: load next
			add(func(n *poolState) { n.user[u].seenNext, n.user[u].pc = s.next[p.seenTop-1], 3 })
		case 3: // Get: swap
			add(func(n *poolState) {
				n.user[u].pc = 1
				if !swap(n, u, p.seenNext) {
					return
				}
				for _, other := range s.user {
					n.double = n.double || other.held[0] == p.seenTop || other.held[1] == p.seenTop
				}
				k := 0
				if p.held[0] != 0 {
					k = 1
				}
				n.user[u].held[k] = p.seenTop
				n.user[u].pc = 0
				n.user[u].left--
			})
		case 4: // Put: load top
			add(func(n *poolState) { n.user[u].seenTop, n.user[u].seenTag, n.user[u].pc = s.top, s.tag, 5 })
		case 5: // Put: store next
			add(func(n *poolState) { n.next[p.i] = p.seenTop; n.user[u].pc = 6 })
		case 6: // Put: swap
			add(func(n *poolState) {
				n.user[u].pc = 4
				if swap(n, u, p.i+1) {
					n.user[u].pc = 0
					n.user[u].left--
				}
			})
		}
	}
	return next
}

func TestEveryInterleavingOfGetAndPutHandsOutAnIndexOnce(t *testing.T) {
	start := poolState{top: 1, next: [3]int8{2, 3, 0}}
	for u := range start.user {
		start.user[u].left = 4
	}
	double := func(s poolState) bool { return s.double }
	stuck, found, states := explore(start, poolRules{}.steps, double)
	if found {
		t.Errorf("an index has two owners: %+v", stuck)
	}
	if states < 10000 {
		t.Errorf("only %d states visited", states)
	}
	if _, found, _ := explore(start, poolRules{noTag: true}.steps, double); !found {
		t.Error("no tag: the search did not find the ABA case")
	}
}
