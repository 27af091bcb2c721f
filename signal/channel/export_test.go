package channel

import "time"

// MaxUpdatedToAll is for tests.
const MaxUpdatedToAll = maxUpdatedToAll

// SetJoinWait is for tests on machines that do much else: how long a join may wait for its
// channel.
func SetJoinWait(r *Registry, wait time.Duration) { r.joinWait = wait }

// SetMaxIdling changes the bound, for which a test has no room.
func (r *Registry) SetMaxIdling(n int) { r.maxIdling = n }
