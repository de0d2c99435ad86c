package routing

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"

	"github.com/leftfold/leftfold/runtime/eventstore"
	"github.com/leftfold/leftfold/runtime/problem"
	"github.com/leftfold/leftfold/runtime/shard"
)

// Router brings calls to owners. The zero value is not usable; see New. Its
// methods are safe for concurrent use.
type Router struct {
	cfg Config
	// held is a semaphore over the calls that wait, heldBytes what their bodies
	// have.
	held      chan struct{}
	heldBytes atomic.Int64

	// ctx ends when the Router is closed; lookers are the goroutines that ask the
	// store.
	ctx     context.Context
	cancel  context.CancelFunc
	lookers sync.WaitGroup

	mu         sync.RWMutex
	aggregates map[string][]*route
	closed     bool // no looker starts any more
}

// New makes an empty Router.
func New(cfg Config) *Router {
	cfg = cfg.complete()
	r := &Router{cfg: cfg, held: make(chan struct{}, cfg.Held), aggregates: map[string][]*route{}}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	return r
}

// Close ends all waiting: calls that are held are answered, and the store is
// asked no more. It returns when nothing of the Router runs but the callers'
// own goroutines. Calling it again does nothing.
func (r *Router) Close() {
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	r.cancel()
	r.lookers.Wait()
}

// Add makes an aggregate known; shards are in order of their number and cover
// all slots. Until their owners are known, calls are held.
func (r *Router) Add(aggregate string, shards []eventstore.SlotRange) {
	routes := make([]*route, len(shards))
	for i, slots := range shards {
		routes[i] = newRoute(r, aggregate, int32(i), slots)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.aggregates[aggregate] = routes
}

// Remove forgets an aggregate: its calls, held ones too, are answered with
// UnknownName.
func (r *Router) Remove(aggregate string) {
	r.mu.Lock()
	routes := r.aggregates[aggregate]
	delete(r.aggregates, aggregate)
	r.mu.Unlock()
	for _, t := range routes {
		t.remove()
	}
}

// Place says who owns a shard in this process now; nil says nobody. It goes
// before what was learnt, unless that is of a higher epoch.
func (r *Router) Place(aggregate string, number int32, owner Owner) {
	if t := r.numbered(aggregate, number); t != nil {
		t.place(owner)
	}
}

// Learn says who owns a shard, wherever that is. A lower epoch than known tells
// nothing, nor does the same one, unless it says that the owner is gone.
func (r *Router) Learn(aggregate string, number int32, remote Remote) {
	if t := r.numbered(aggregate, number); t != nil {
		t.learn(remote)
	}
}

// Claiming says that this process is about to own a shard, until done is called:
// calls from other processes are held for that time, instead of being refused.
func (r *Router) Claiming(aggregate string, number int32) (done func()) {
	t := r.numbered(aggregate, number)
	if t == nil {
		return func() {}
	}
	t.claim(1)
	return sync.OnceFunc(func() { t.claim(-1) })
}

// Handle brings the command to its entity's owner. Errors are *problem.Problem:
// NotAttempted says that no attempt has run or will, OutcomeUnknown that one may
// have.
func (r *Router) Handle(ctx context.Context, aggregate string, c shard.Command) (shard.Answer, error) {
	t := r.route(aggregate, c.Entity)
	if t == nil {
		return shard.Answer{}, unknownAggregate(aggregate)
	}
	j := &journey{route: t, command: true, bytes: int64(len(c.Body))}
	answer, err := travel(ctx, j,
		func(ctx context.Context, o Owner) (shard.Answer, error) { return o.Handle(ctx, j.retried(c)) },
		func(ctx context.Context, p Peer) (shard.Answer, error) { return p.Handle(ctx, aggregate, j.retried(c)) })
	if !c.Keyed {
		answer, err = asFirst(answer, err)
	}
	return answer, err
}

// Read gives the entity's current state: committed and current when strong, else
// what the owner has committed as far as it knows.
func (r *Router) Read(ctx context.Context, aggregate, entity string, strong bool) (shard.View, error) {
	t := r.route(aggregate, entity)
	if t == nil {
		return shard.View{}, unknownAggregate(aggregate)
	}
	return travel(ctx, &journey{route: t},
		func(ctx context.Context, o Owner) (shard.View, error) { return o.Read(ctx, entity, strong) },
		func(ctx context.Context, p Peer) (shard.View, error) { return p.Read(ctx, aggregate, entity, strong) })
}

// asFirst hides that an answer is a remembered one from a caller who has asked
// once only: it was the Router that asked again.
func asFirst(answer shard.Answer, err error) (shard.Answer, error) {
	answer.Replay = false
	var p *problem.Problem
	if errors.As(err, &p) && p.Replay {
		first := *p
		first.Replay = false
		return answer, &first
	}
	return answer, err
}

func unknownAggregate(name string) error {
	return problem.New(problem.UnknownName, "there is no aggregate %q here", name)
}

// numbered gives a shard's route; nil when there is none.
func (r *Router) numbered(aggregate string, number int32) *route {
	r.mu.RLock()
	defer r.mu.RUnlock()
	routes := r.aggregates[aggregate]
	if number < 0 || int(number) >= len(routes) {
		return nil
	}
	return routes[number]
}

// route gives the route of the shard that holds the entity's slot; nil when the
// aggregate is not known.
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
