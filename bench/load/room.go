package load

import (
	"slices"
	"sync"
	"sync/atomic"
)

// room is one channel: the publishers that are in it.
type room struct {
	name string
	mu   sync.Mutex                // writers
	all  atomic.Pointer[[]*origin] // replaced, never changed
}

func newRoom(name string) *room {
	r := &room{name: name}
	r.all.Store(new([]*origin))
	return r
}

// streams returns the origins of those who are in the room.
func (r *room) streams() []*origin { return *r.all.Load() }

func (r *room) has(o *origin) bool { return slices.Contains(r.streams(), o) }

func (r *room) add(o *origin) {
	r.mu.Lock()
	defer r.mu.Unlock()
	next := append(slices.Clone(r.streams()), o)
	r.all.Store(&next)
}

func (r *room) remove(o *origin) {
	r.mu.Lock()
	defer r.mu.Unlock()
	next := slices.DeleteFunc(slices.Clone(r.streams()), func(x *origin) bool { return x == o })
	r.all.Store(&next)
}
