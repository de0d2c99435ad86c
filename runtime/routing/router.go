package routing

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/leftfold/leftfold/runtime/eventstore"
	"github.com/leftfold/leftfold/runtime/problem"
	"github.com/leftfold/leftfold/runtime/shard"
)

const (
	// DefaultHoldFor is how long a call waits for a shard without an owner:
	// longer than a failover takes, shorter than a caller's patience.
	DefaultHoldFor = 5 * time.Second
	// DefaultHeld is how many calls may wait at once. Each is a goroutine with
	// its request, some 10 KiB.
	DefaultHeld = 4096
	// retryAfter is what callers are told who could not be held.
	retryAfter = time.Second
)

// Owner is what owns a shard: here *shard.Shard.
type Owner interface {
	Handle(ctx context.Context, c shard.Command) (shard.Answer, error)
	Read(ctx context.Context, entity string, strong bool) (shard.View, error)
}

// Router brings calls to owners. The zero value is not usable; see New.
type Router struct {
	holdFor time.Duration
	// held is a semaphore over the calls that wait.
	held chan struct{}

	mu         sync.RWMutex
	aggregates map[string][]*route
}

// route is one shard's entry. owner is nil while nobody serves the shard here.
type route struct {
	slots eventstore.SlotRange

	mu    sync.Mutex
	owner Owner
	// changed is closed, and made anew, when owner changes.
	changed chan struct{}
}

// New makes an empty Router; zero arguments mean the defaults above.
func New(holdFor time.Duration, held int) *Router {
	if holdFor <= 0 {
		holdFor = DefaultHoldFor
	}
	if held <= 0 {
		held = DefaultHeld
	}
	return &Router{holdFor: holdFor, held: make(chan struct{}, held), aggregates: map[string][]*route{}}
}

// Add makes an aggregate known; shards are in order of their number and cover
// all slots. Until Place is called their calls are held.
func (r *Router) Add(aggregate string, shards []eventstore.SlotRange) {
	routes := make([]*route, len(shards))
	for i, slots := range shards {
		routes[i] = &route{slots: slots, changed: make(chan struct{})}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.aggregates[aggregate] = routes
}

// Remove forgets an aggregate: its calls are answered with UnknownName.
func (r *Router) Remove(aggregate string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.aggregates, aggregate)
}

// Place says who owns a shard now; nil says nobody, so that calls are held.
func (r *Router) Place(aggregate string, number int32, owner Owner) {
	r.mu.RLock()
	routes := r.aggregates[aggregate]
	r.mu.RUnlock()
	if int(number) >= len(routes) {
		return
	}
	t := routes[number]
	t.mu.Lock()
	defer t.mu.Unlock()
	t.owner = owner
	close(t.changed)
	t.changed = make(chan struct{})
}

// Handle gives the command to its entity's owner.
func (r *Router) Handle(ctx context.Context, aggregate string, c shard.Command) (shard.Answer, error) {
	return call(ctx, r, aggregate, c.Entity, func(o Owner) (shard.Answer, error) { return o.Handle(ctx, c) })
}

// Read gives the entity's current state: committed and current when strong, else
// what the owner has committed as far as it knows.
func (r *Router) Read(ctx context.Context, aggregate, entity string, strong bool) (shard.View, error) {
	return call(ctx, r, aggregate, entity, func(o Owner) (shard.View, error) { return o.Read(ctx, entity, strong) })
}

// call finds the owner and does the call, and does it again elsewhere while the
// answer is that nothing ran because the shard has moved.
func call[T any](ctx context.Context, r *Router, aggregate, entity string, do func(Owner) (T, error)) (T, error) {
	var none T
	t := r.route(aggregate, entity)
	if t == nil {
		return none, problem.New(problem.UnknownName, "there is no aggregate %q here", aggregate)
	}
	var until time.Time
	var last Owner
	for {
		owner, changed := t.current()
		if owner != nil && owner != last {
			answer, err := do(owner)
			if !errors.Is(err, shard.ErrNotOwner) {
				return answer, err
			}
			last = owner
			continue
		}
		if until.IsZero() {
			until = time.Now().Add(r.holdFor)
		}
		if err := r.hold(ctx, changed, until); err != nil {
			return none, err
		}
	}
}

// hold waits for a change of the route. A nil error says that it changed.
func (r *Router) hold(ctx context.Context, changed <-chan struct{}, until time.Time) error {
	select {
	case r.held <- struct{}{}:
	default:
		return absent("the shard has no owner, and too many calls wait already")
	}
	defer func() { <-r.held }()
	timer := time.NewTimer(time.Until(until))
	defer timer.Stop()
	select {
	case <-changed:
		return nil
	case <-timer.C:
		return absent("the shard has had no owner for too long")
	case <-ctx.Done():
		return absent("the call's time ended while the shard had no owner")
	}
}

func absent(detail string) error {
	p := problem.New(problem.NotAttempted, "%s; nothing was done", detail)
	p.RetryAfter = retryAfter
	return p
}

func (r *Router) route(aggregate, entity string) *route {
	r.mu.RLock()
	defer r.mu.RUnlock()
	slot := Slot(entity)
	routes := r.aggregates[aggregate]
	low, high := 0, len(routes)
	for low < high {
		middle := (low + high) / 2
		if routes[middle].slots.Last < slot {
			low = middle + 1
		} else {
			high = middle
		}
	}
	if low == len(routes) {
		return nil
	}
	return routes[low]
}

func (t *route) current() (Owner, <-chan struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.owner, t.changed
}
