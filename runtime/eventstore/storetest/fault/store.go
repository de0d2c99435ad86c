package fault

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"

	"github.com/leftfold/leftfold/runtime/eventstore"
)

// Store is an eventstore.Store that fails on purpose. It is safe for concurrent
// use.
type Store struct {
	inner eventstore.Store

	mu       sync.Mutex
	script   []*Handle
	rates    Rates
	random   *rand.Rand
	waiting  []waiting
	poisoned map[string]bool
	calls    map[Method]int
}

var _ eventstore.Store = (*Store)(nil)

// Wrap returns a store that does what inner does, until told to fail. Several
// wrappers may share one inner store: one for each process of a test.
func Wrap(inner eventstore.Store) *Store {
	return &Store{inner: inner, poisoned: map[string]bool{}, calls: map[Method]int{}}
}

// Calls is how often a method has been called.
func (s *Store) Calls(m Method) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls[m]
}

// Poison makes the store unable to hold the entity's data: batches with an event
// or outcome of it are Invalid.
func (s *Store) Poison(entity string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.poisoned[entity] = true
}

// Cure undoes Poison.
func (s *Store) Cure(entity string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.poisoned, entity)
}

func (s *Store) isPoisoned(b eventstore.Batch) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.ContainsFunc(b.Events, func(e eventstore.Event) bool { return s.poisoned[e.Entity] }) ||
		slices.ContainsFunc(b.Outcomes, func(o eventstore.Outcome) bool { return s.poisoned[o.Entity] })
}

var errPoisoned = errors.New("injected: data that the store cannot hold")

// Append implements eventstore.Log.
func (s *Store) Append(ctx context.Context, batches []eventstore.Batch) []eventstore.AppendResult {
	var results []eventstore.AppendResult
	err := s.do(ctx, Call{Method: Append, Batches: batches}, func(ctx context.Context) { results = s.append(ctx, batches) })
	if err == nil {
		return results
	}
	status := eventstore.Unknown
	if errors.Is(err, eventstore.ErrNotAttempted) {
		status = eventstore.NotAttempted
	}
	return slices.Repeat([]eventstore.AppendResult{{Status: status, Err: err}}, len(batches))
}

// append passes on the batches that are not poisoned. A poisoned batch that the
// store would refuse is refused: the fence comes first.
func (s *Store) append(ctx context.Context, batches []eventstore.Batch) []eventstore.AppendResult {
	passed := slices.Clone(batches)
	for i, b := range batches {
		if s.isPoisoned(b) {
			passed[i].Events, passed[i].Outcomes = nil, nil
		}
	}
	results := s.inner.Append(ctx, passed)
	for i, b := range batches {
		if results[i].Status == eventstore.Appended && s.isPoisoned(b) {
			results[i] = eventstore.AppendResult{Status: eventstore.Invalid, Err: errPoisoned}
		}
	}
	return results
}

// call is do for a method with one result and an error.
func call[T any](ctx context.Context, s *Store, c Call, method func(context.Context) (T, error)) (T, error) {
	var result T
	var err error
	if injected := s.do(ctx, c, func(ctx context.Context) { result, err = method(ctx) }); injected != nil {
		var none T
		return none, fmt.Errorf("%s: %w", c.Method, injected)
	}
	return result, err
}

// Claim implements eventstore.Log.
func (s *Store) Claim(ctx context.Context, r eventstore.ClaimRequest) (eventstore.ShardState, error) {
	return call(ctx, s, Call{Method: Claim, Shard: r.Shard}, func(ctx context.Context) (eventstore.ShardState, error) { return s.inner.Claim(ctx, r) })
}

// Release implements eventstore.Log.
func (s *Store) Release(ctx context.Context, t eventstore.Tenure) error {
	return only(ctx, s, Call{Method: Release, Shard: t.Shard}, func(ctx context.Context) error { return s.inner.Release(ctx, t) })
}

// only is call for a method with nothing but an error.
func only(ctx context.Context, s *Store, c Call, method func(context.Context) error) error {
	_, err := call(ctx, s, c, func(ctx context.Context) (struct{}, error) { return struct{}{}, method(ctx) })
	return err
}

// Check implements eventstore.Log.
func (s *Store) Check(ctx context.Context, tenures []eventstore.Tenure) ([]bool, error) {
	return call(ctx, s, Call{Method: Check}, func(ctx context.Context) ([]bool, error) { return s.inner.Check(ctx, tenures) })
}

// Shard implements eventstore.Reader.
func (s *Store) Shard(ctx context.Context, id eventstore.ShardID) (eventstore.ShardState, error) {
	return call(ctx, s, Call{Method: Shard, Shard: id}, func(ctx context.Context) (eventstore.ShardState, error) { return s.inner.Shard(ctx, id) })
}

// Shards implements eventstore.Reader.
func (s *Store) Shards(ctx context.Context, a eventstore.AggregateID) ([]eventstore.ShardState, error) {
	return call(ctx, s, Call{Method: Shards}, func(ctx context.Context) ([]eventstore.ShardState, error) { return s.inner.Shards(ctx, a) })
}

// ReadShard implements eventstore.Reader.
func (s *Store) ReadShard(ctx context.Context, id eventstore.ShardID, after int64, limit int) ([]eventstore.Event, error) {
	return call(ctx, s, Call{Method: ReadShard, Shard: id}, func(ctx context.Context) ([]eventstore.Event, error) {
		return s.inner.ReadShard(ctx, id, after, limit)
	})
}

// ReadEntity implements eventstore.Reader.
func (s *Store) ReadEntity(ctx context.Context, a eventstore.AggregateID, entity string, after int64, limit int) ([]eventstore.Event, error) {
	return call(ctx, s, Call{Method: ReadEntity, Entity: entity}, func(ctx context.Context) ([]eventstore.Event, error) {
		return s.inner.ReadEntity(ctx, a, entity, after, limit)
	})
}

// LoadEntity implements eventstore.Reader.
func (s *Store) LoadEntity(ctx context.Context, a eventstore.AggregateID, entity string, limit int) (eventstore.Loading, error) {
	return call(ctx, s, Call{Method: LoadEntity, Entity: entity}, func(ctx context.Context) (eventstore.Loading, error) {
		return s.inner.LoadEntity(ctx, a, entity, limit)
	})
}

// SaveSnapshots implements eventstore.Keeper.
func (s *Store) SaveSnapshots(ctx context.Context, snapshots []eventstore.Snapshot) error {
	return only(ctx, s, Call{Method: SaveSnapshots}, func(ctx context.Context) error { return s.inner.SaveSnapshots(ctx, snapshots) })
}

// DeleteOutcomes implements eventstore.Keeper.
func (s *Store) DeleteOutcomes(ctx context.Context, a eventstore.AggregateID, o []eventstore.Outcome) error {
	return only(ctx, s, Call{Method: DeleteOutcomes}, func(ctx context.Context) error { return s.inner.DeleteOutcomes(ctx, a, o) })
}

// EnsureAggregate implements eventstore.Catalog.
func (s *Store) EnsureAggregate(ctx context.Context, name string, shards int) (eventstore.Aggregate, error) {
	return call(ctx, s, Call{Method: EnsureAggregate}, func(ctx context.Context) (eventstore.Aggregate, error) {
		return s.inner.EnsureAggregate(ctx, name, shards)
	})
}

// Aggregates implements eventstore.Catalog.
func (s *Store) Aggregates(ctx context.Context) ([]eventstore.Aggregate, error) {
	return call(ctx, s, Call{Method: Aggregates}, s.inner.Aggregates)
}

// Revisions implements eventstore.Catalog.
func (s *Store) Revisions(ctx context.Context) ([]eventstore.Revision, error) {
	return call(ctx, s, Call{Method: Revisions}, s.inner.Revisions)
}

// AcceptDefinition implements eventstore.Catalog.
func (s *Store) AcceptDefinition(ctx context.Context, id eventstore.AggregateID, expected int64, accept eventstore.Acceptance) (eventstore.Aggregate, error) {
	return call(ctx, s, Call{Method: AcceptDefinition}, func(ctx context.Context) (eventstore.Aggregate, error) {
		return s.inner.AcceptDefinition(ctx, id, expected, accept)
	})
}

// AmendDefinition implements eventstore.Catalog.
func (s *Store) AmendDefinition(ctx context.Context, id eventstore.AggregateID, expected int64, source eventstore.Source, before []byte) (eventstore.Aggregate, error) {
	return call(ctx, s, Call{Method: AmendDefinition}, func(ctx context.Context) (eventstore.Aggregate, error) {
		return s.inner.AmendDefinition(ctx, id, expected, source, before)
	})
}

// RaiseFloor implements eventstore.Catalog.
func (s *Store) RaiseFloor(ctx context.Context, id eventstore.AggregateID, generation int64) error {
	return only(ctx, s, Call{Method: RaiseFloor}, func(ctx context.Context) error { return s.inner.RaiseFloor(ctx, id, generation) })
}

// EventTypes implements eventstore.Catalog.
func (s *Store) EventTypes(ctx context.Context, id eventstore.AggregateID) ([]string, error) {
	return call(ctx, s, Call{Method: EventTypes}, func(ctx context.Context) ([]string, error) { return s.inner.EventTypes(ctx, id) })
}

// Heartbeat implements eventstore.Membership.
func (s *Store) Heartbeat(ctx context.Context, m eventstore.Member) error {
	return only(ctx, s, Call{Method: Heartbeat}, func(ctx context.Context) error { return s.inner.Heartbeat(ctx, m) })
}

// Leave implements eventstore.Membership.
func (s *Store) Leave(ctx context.Context, i eventstore.Incarnation) error {
	return only(ctx, s, Call{Method: Leave}, func(ctx context.Context) error { return s.inner.Leave(ctx, i) })
}

// Members implements eventstore.Membership.
func (s *Store) Members(ctx context.Context) ([]eventstore.Member, error) {
	return call(ctx, s, Call{Method: Members}, s.inner.Members)
}

// AppendConcurrency is the inner store's.
func (s *Store) AppendConcurrency() int { return s.inner.AppendConcurrency() }

// Close closes the inner store.
func (s *Store) Close() error { return s.inner.Close() }
