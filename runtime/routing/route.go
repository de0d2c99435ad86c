package routing

import (
	"context"
	"sync"
	"time"

	"github.com/leftfold/leftfold/runtime/eventstore"
)

// route is what is known of one shard's owner, and who waits for more.
type route struct {
	router    *Router
	aggregate string
	number    int32
	slots     eventstore.SlotRange

	mu sync.Mutex
	// owner is the one in this process, nil while there is none.
	owner Owner
	// remote is the newest that was learnt; it may be this process.
	remote Remote
	// claiming counts the claims of this process that are under way.
	claiming int
	removed  bool
	// changed is closed, and made anew, when any of the above changes.
	changed chan struct{}
	// away are the calls that are with other processes.
	away map[*flight]struct{}
	// wanting counts those who want the store to be asked; looking says that a
	// goroutine does so.
	wanting int
	looking bool
}

// flight is a call that is with another process.
type flight struct {
	epoch  int64
	cancel context.CancelCauseFunc
}

func newRoute(r *Router, aggregate string, number int32, slots eventstore.SlotRange) *route {
	return &route{
		router: r, aggregate: aggregate, number: number, slots: slots,
		changed: make(chan struct{}), away: map[*flight]struct{}{},
	}
}

// heading is where a call for the shard goes now.
type heading struct {
	owner Owner // in this process
	// remote is set when the owner is another process.
	remote Remote
	// known is the newest that was learnt, for hints.
	known    Remote
	claiming bool
	removed  bool
	// changed is closed when the heading may be another.
	changed chan struct{}
}

func (t *route) heading() heading {
	t.mu.Lock()
	defer t.mu.Unlock()
	h := heading{known: t.remote, claiming: t.claiming > 0, removed: t.removed, changed: t.changed}
	switch {
	case t.owner != nil && (t.remote.Epoch <= t.owner.Lease().Epoch || t.here(t.remote)):
		h.owner = t.owner
	case t.remote.Address != "" && !t.here(t.remote) && t.router.cfg.Forward != nil:
		h.remote = t.remote
	}
	return h
}

// here tells whether the remote is this very process.
func (t *route) here(remote Remote) bool {
	return remote.Address != "" && remote.Address == t.router.cfg.Self
}

// tell wakes all who wait. t.mu is held.
func (t *route) tell() {
	close(t.changed)
	t.changed = make(chan struct{})
}

func (t *route) place(owner Owner) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if owner == nil && t.owner != nil {
		// Whatever was learnt of this or an earlier epoch is over as well.
		if last := t.owner.Lease().Epoch; t.remote.Epoch <= last {
			t.remote = Remote{Epoch: last}
		}
	}
	t.owner = owner
	if owner != nil {
		t.supersede(owner.Lease().Epoch)
	}
	t.tell()
}

func (t *route) learn(remote Remote) {
	t.mu.Lock()
	defer t.mu.Unlock()
	newer := remote.Epoch > t.remote.Epoch
	gone := remote.Epoch == t.remote.Epoch && t.remote.Address != "" && remote.Address == ""
	if newer || gone {
		t.set(remote)
	}
}

// learnStored takes what the store has said. seen is what was known before it was
// asked: if that has not changed since, the store's word counts even when its
// epoch is lower, for then the store itself has gone back, or the news was wrong.
func (t *route) learnStored(seen, stored Remote) {
	t.mu.Lock()
	same := t.remote == seen
	if same && stored != seen {
		t.set(stored)
	}
	t.mu.Unlock()
	if !same {
		t.learn(stored)
	}
}

// set changes what is known. t.mu is held.
func (t *route) set(remote Remote) {
	t.remote = remote
	if remote.Address != "" {
		t.supersede(remote.Epoch)
	}
	t.tell()
}

// supersede ends the calls that are with owners of earlier epochs, after a grace.
// t.mu is held.
func (t *route) supersede(epoch int64) {
	var over []*flight
	for f := range t.away {
		if f.epoch < epoch {
			over = append(over, f)
		}
	}
	if len(over) > 0 {
		time.AfterFunc(grace, func() {
			for _, f := range over {
				f.cancel(errSuperseded)
			}
		})
	}
}

// depart notes that a call goes to another process; false when there is news by
// now.
func (t *route) depart(f *flight, h heading) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.changed != h.changed {
		return false
	}
	t.away[f] = struct{}{}
	return true
}

func (t *route) arrive(f *flight) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.away, f)
}

func (t *route) claim(by int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.claiming += by
	if t.claiming == 0 {
		t.tell()
	}
}

func (t *route) remove() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.removed = true
	t.tell()
}
