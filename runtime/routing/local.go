package routing

import (
	"context"
	"errors"

	"github.com/leftfold/leftfold/runtime/shard"
)

// Local is what other processes may ask of this one: calls for the shards that it
// owns. A call is never sent on from here, so it makes one hop at most, whatever
// the processes believe of each other. Errors are those of the owner, or a
// *NotOwnerError.
type Local struct{ router *Router }

// Local gives the Router's side for other processes.
func (r *Router) Local() Local { return Local{r} }

// Handle gives the command to its entity's owner in this process.
func (l Local) Handle(ctx context.Context, aggregate string, c shard.Command) (shard.Answer, error) {
	return stay(ctx, l.router, aggregate, c.Entity, func(o Owner) (shard.Answer, error) { return o.Handle(ctx, c) })
}

// Read gives the entity's state from its owner in this process.
func (l Local) Read(ctx context.Context, aggregate, entity string, strong bool) (shard.View, error) {
	return stay(ctx, l.router, aggregate, entity, func(o Owner) (shard.View, error) { return o.Read(ctx, entity, strong) })
}

// stay does a call with the owner in this process, and waits a little for one
// that is about to be.
func stay[T any](ctx context.Context, r *Router, aggregate, entity string, do func(Owner) (T, error)) (T, error) {
	var none T
	t := r.route(aggregate, entity)
	if t == nil {
		return none, &NotOwnerError{} // perhaps the definition has not got here yet
	}
	waiting, cancel := context.WithTimeout(ctx, claimHold)
	defer cancel()
	for {
		h := t.heading()
		if h.owner != nil {
			answer, err := do(h.owner)
			if !errors.Is(err, shard.ErrNotOwner) {
				return answer, err
			}
		}
		if !h.claiming || h.removed || !r.await(waiting, h.changed) {
			return none, &NotOwnerError{Hint: t.hint()}
		}
	}
}

// hint is what another process may be told of the owner. One that is no owner
// any more, this process, is none.
func (t *route) hint() Remote {
	known := t.heading().known
	if t.here(known) {
		known.Address = ""
	}
	return known
}

// await waits for a change, among the calls that are held.
func (r *Router) await(ctx context.Context, changed <-chan struct{}) bool {
	select {
	case r.held <- struct{}{}:
	default:
		return false
	}
	defer func() { <-r.held }()
	select {
	case <-changed:
		return true
	case <-ctx.Done():
		return false
	case <-r.ctx.Done():
		return false
	}
}
