package server

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/leftfold/leftfold/api/language"
	"github.com/leftfold/leftfold/api/v1alpha1"
	"github.com/leftfold/leftfold/runtime/eventstore"
)

// accepted is the definition that an aggregate runs under: the last one that
// the store accepted.
type accepted struct {
	aggregate eventstore.Aggregate
	spec      *v1alpha1.AggregateSpec
	compiled  *language.Aggregate
	// before is what was in force when this was accepted; nil for the first, and
	// for one that had been accepted already.
	before *accepted
	// stalled says why the offered definition was not accepted; empty when it
	// was.
	stalled *stalledError
}

// stalledError tells why an offered definition does not take effect.
type stalledError struct {
	// Reason is one of the API's condition reasons.
	Reason string
	Detail string
}

func (e *stalledError) Error() string { return e.Reason + ": " + e.Detail }

// behaviorOf is the part of a spec that decides what events mean and how they
// come about: what the store keeps as the definition.
func behaviorOf(spec *v1alpha1.AggregateSpec) ([]byte, error) { return json.Marshal(spec) }

// accept offers a definition to the store. If stored history contradicts it, the
// one accepted before goes on serving, and stalled says why.
func accept(ctx context.Context, store eventstore.Store, name string, spec *v1alpha1.AggregateSpec, compiled *language.Aggregate) (accepted, error) {
	offered, err := behaviorOf(spec)
	if err != nil {
		return accepted{}, err
	}
	for {
		aggregate, err := store.EnsureAggregate(ctx, name, int(spec.Shards))
		if errors.Is(err, eventstore.ErrShardsDiffer) {
			return resharded(ctx, store, name, spec)
		}
		if err != nil {
			return accepted{}, fmt.Errorf("make aggregate %s known: %w", name, err)
		}
		var before *accepted
		if aggregate.Definition != nil {
			if same, err := equalJSON(aggregate.Definition, offered); err != nil || same {
				return accepted{aggregate: aggregate, spec: spec, compiled: compiled}, err
			}
			if before, err = acceptedBefore(name, aggregate); err != nil {
				return accepted{}, err
			}
			older, err := contradicted(ctx, store, name, *before, spec)
			if err != nil || older != nil {
				return orZero(older), err
			}
		}
		next, err := store.AcceptDefinition(ctx, aggregate.ID, aggregate.Generation, offered)
		if errors.Is(err, eventstore.ErrRefused) {
			continue // another process offered one meanwhile: look again
		}
		if err != nil {
			return accepted{}, fmt.Errorf("accept the definition of aggregate %s: %w", name, err)
		}
		return accepted{aggregate: next, spec: spec, compiled: compiled, before: before}, nil
	}
}

func orZero(a *accepted) accepted {
	if a == nil {
		return accepted{}
	}
	return *a
}

// resharded gives the definition accepted before, when the offered one wants
// another number of shards; without one before there is nothing to serve.
func resharded(ctx context.Context, store eventstore.Store, name string, offered *v1alpha1.AggregateSpec) (accepted, error) {
	why := &stalledError{
		Reason: v1alpha1.ReasonShardsDiffer,
		Detail: fmt.Sprintf("aggregate %s: spec.shards is %d, but its events are kept in another number of shards; write that number", name, offered.Shards),
	}
	aggregate, err := known(ctx, store, name)
	if err != nil {
		return accepted{}, err
	}
	if aggregate.Definition == nil {
		return accepted{}, why
	}
	before, err := acceptedBefore(name, aggregate)
	if err != nil {
		return accepted{}, err
	}
	why.Detail = fmt.Sprintf("aggregate %s: spec.shards is %d, but its events are kept in %d shards; write %d; the definition accepted before goes on serving",
		name, offered.Shards, before.spec.Shards, before.spec.Shards)
	before.stalled = why
	return *before, nil
}

// known finds an aggregate in the store.
func known(ctx context.Context, store eventstore.Store, name string) (eventstore.Aggregate, error) {
	all, err := store.Aggregates(ctx)
	if err != nil {
		return eventstore.Aggregate{}, fmt.Errorf("list the aggregates: %w", err)
	}
	for _, a := range all {
		if a.Name == name {
			return a, nil
		}
	}
	return eventstore.Aggregate{}, fmt.Errorf("aggregate %s: %w", name, eventstore.ErrUnknownName)
}

// acceptedBefore compiles the definition that the store keeps.
func acceptedBefore(name string, aggregate eventstore.Aggregate) (*accepted, error) {
	var spec v1alpha1.AggregateSpec
	if err := json.Unmarshal(aggregate.Definition, &spec); err != nil {
		return nil, fmt.Errorf("read the accepted definition of aggregate %s: %w", name, err)
	}
	compiled, problems := language.Compile(name, &spec)
	if compiled == nil {
		return nil, fmt.Errorf("the accepted definition of aggregate %s does not compile any more: %v", name, problems)
	}
	return &accepted{aggregate: aggregate, spec: &spec, compiled: compiled}, nil
}

// contradicted returns the definition before, stalled, if stored events need
// what the offered one drops or retypes, and nil if they do not.
func contradicted(ctx context.Context, store eventstore.Store, name string, before accepted, offered *v1alpha1.AggregateSpec) (*accepted, error) {
	used, err := store.EventTypes(ctx, before.aggregate.ID)
	if err != nil {
		return nil, fmt.Errorf("list the event types of aggregate %s: %w", name, err)
	}
	found := language.Compatible(before.spec, offered, used)
	if len(found) == 0 {
		return nil, nil
	}
	before.stalled = &stalledError{
		Reason: v1alpha1.ReasonHistoryNeedsIt,
		Detail: fmt.Sprintf("aggregate %s: %s: %s; the definition accepted before goes on serving", name, found[0].Path, found[0].Message),
	}
	return &before, nil
}

// equalJSON compares values, not bytes: a store may write JSON in its own way.
func equalJSON(a, b []byte) (bool, error) {
	left, err := eventstore.AppendCanonical(nil, a)
	if err != nil {
		return false, err
	}
	right, err := eventstore.AppendCanonical(nil, b)
	return bytes.Equal(left, right), err
}
