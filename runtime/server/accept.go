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
	// stalled says why the offered definition was not accepted; nil when it was,
	// or when a newer one had been.
	stalled *stalledError
}

// stalledError tells why an offered definition does not take effect.
type stalledError struct {
	// Reason is one of the API's condition reasons.
	Reason string
	Detail string
}

func (e *stalledError) Error() string { return e.Reason + ": " + e.Detail }

// offer is a definition as it was declared.
type offer struct {
	name     string
	spec     *v1alpha1.AggregateSpec
	compiled *language.Aggregate
	// source is zero outside of a cluster.
	source eventstore.Source
}

// behaviorOf is the part of a spec that decides what events mean and how they
// come about: what the store keeps as the definition.
func behaviorOf(spec *v1alpha1.AggregateSpec) ([]byte, error) { return json.Marshal(spec) }

// accept offers a definition to the store. If stored history contradicts it, the
// one accepted before goes on serving, and stalled says why.
func accept(ctx context.Context, store eventstore.Store, o offer) (accepted, error) {
	offered, err := behaviorOf(o.spec)
	if err != nil {
		return accepted{}, err
	}
	for {
		aggregate, err := store.EnsureAggregate(ctx, o.name, int(o.spec.Shards))
		if errors.Is(err, eventstore.ErrShardsDiffer) {
			return resharded(ctx, store, o.name, o.spec)
		}
		if err != nil {
			return accepted{}, fmt.Errorf("make aggregate %s known: %w", o.name, err)
		}
		got, err := offerTo(ctx, store, aggregate, o, offered)
		if !errors.Is(err, eventstore.ErrRefused) {
			return got, err
		}
		// Another process has changed it meanwhile: look again.
	}
}

// offerTo is accept for an aggregate as it was read; ErrRefused when it has
// changed since.
func offerTo(ctx context.Context, store eventstore.Store, aggregate eventstore.Aggregate, o offer, offered []byte) (accepted, error) {
	next := eventstore.Acceptance{Definition: offered, Source: o.source}
	if aggregate.Definition != nil {
		if o.source.OlderThan(aggregate.Source) {
			return stored(o.name, aggregate)
		}
		if same, err := equalJSON(aggregate.Definition, offered); err != nil {
			return accepted{}, err
		} else if same {
			return renew(ctx, store, aggregate, o)
		}
		// What may still have to give way is settled first, so that there is one
		// definition to return to and not several.
		aggregate, err := settleDefinition(ctx, store, aggregate)
		if err != nil {
			return accepted{}, err
		}
		before, err := stored(o.name, aggregate)
		if err != nil {
			return accepted{}, err
		}
		if before.stalled, err = contradicted(ctx, store, before, o.spec); err != nil || before.stalled != nil {
			return before, err
		}
		if drops(before.spec, o.spec) {
			if next.Before, err = json.Marshal(fallback{aggregate.Definition, aggregate.Source}); err != nil {
				return accepted{}, err
			}
		}
		return put(ctx, store, aggregate, o, next)
	}
	return put(ctx, store, aggregate, o, next)
}

func put(ctx context.Context, store eventstore.Store, aggregate eventstore.Aggregate, o offer, next eventstore.Acceptance) (accepted, error) {
	aggregate, err := store.AcceptDefinition(ctx, aggregate.ID, aggregate.Revision, next)
	if err != nil {
		return accepted{}, fmt.Errorf("accept the definition of aggregate %s: %w", o.name, err)
	}
	return accepted{aggregate: aggregate, spec: o.spec, compiled: o.compiled}, nil
}

// renew gives what is stored the offer's source: the same definition, of a newer
// reading. Nothing that runs by it has to change.
func renew(ctx context.Context, store eventstore.Store, aggregate eventstore.Aggregate, o offer) (accepted, error) {
	if o.source.UID != "" && !o.source.Same(aggregate.Source) {
		var err error
		if aggregate, err = store.AmendDefinition(ctx, aggregate.ID, aggregate.Revision, o.source, aggregate.Before); err != nil {
			return accepted{}, fmt.Errorf("renew the source of aggregate %s: %w", o.name, err)
		}
	}
	return accepted{aggregate: aggregate, spec: o.spec, compiled: o.compiled}, nil
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
	before, err := stored(name, aggregate)
	if err != nil {
		return accepted{}, err
	}
	why.Detail = fmt.Sprintf("aggregate %s: spec.shards is %d, but its events are kept in %d shards; write %d; the definition accepted before goes on serving",
		name, offered.Shards, before.spec.Shards, before.spec.Shards)
	before.stalled = why
	return before, nil
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

// stored compiles the definition that the store keeps.
func stored(name string, aggregate eventstore.Aggregate) (accepted, error) {
	var spec v1alpha1.AggregateSpec
	if err := json.Unmarshal(aggregate.Definition, &spec); err != nil {
		return accepted{}, fmt.Errorf("read the accepted definition of aggregate %s: %w", name, err)
	}
	compiled, problems := language.Compile(name, &spec)
	if compiled == nil {
		return accepted{}, fmt.Errorf("the accepted definition of aggregate %s does not compile any more: %v", name, problems)
	}
	return accepted{aggregate: aggregate, spec: &spec, compiled: compiled}, nil
}

// contradicted tells why stored events keep the offered definition from taking
// the place of the one before; nil if they do not.
func contradicted(ctx context.Context, store eventstore.Store, before accepted, offered *v1alpha1.AggregateSpec) (*stalledError, error) {
	name := before.aggregate.Name
	used, err := store.EventTypes(ctx, before.aggregate.ID)
	if err != nil {
		return nil, fmt.Errorf("list the event types of aggregate %s: %w", name, err)
	}
	found := language.Compatible(before.spec, offered, used)
	if len(found) == 0 {
		return nil, nil
	}
	return &stalledError{
		Reason: v1alpha1.ReasonHistoryNeedsIt,
		Detail: fmt.Sprintf("aggregate %s: %s; the definition accepted before goes on serving", name, found[0]),
	}, nil
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
