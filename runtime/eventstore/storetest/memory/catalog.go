package memory

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/leftfold/leftfold/runtime/eventstore"
)

func (d *database) aggregate(id eventstore.AggregateID) (*eventstore.Aggregate, error) {
	if id < 1 || int(id) > len(d.aggregates) {
		return nil, fmt.Errorf("aggregate %d: %w", id, eventstore.ErrUnknownName)
	}
	return &d.aggregates[id-1], nil
}

// state is a shard's row with what is its aggregate's.
func (d *database) state(s *shard) eventstore.ShardState {
	state := s.ShardState
	state.Generation = d.aggregates[state.Shard.Aggregate-1].Generation
	return state
}

// EnsureAggregate implements eventstore.Catalog.
func (s *Store) EnsureAggregate(ctx context.Context, name string, shards int) (eventstore.Aggregate, error) {
	if shards < 1 || shards > eventstore.MaxShards {
		return eventstore.Aggregate{}, fmt.Errorf("aggregate %q: %d shards, not 1..%d", name, shards, eventstore.MaxShards)
	}
	if err := s.begin(ctx); err != nil {
		return eventstore.Aggregate{}, err
	}
	defer s.data.Unlock()
	for _, a := range s.data.aggregates {
		if a.Name != name {
			continue
		}
		if int(a.Shards) != shards {
			return eventstore.Aggregate{}, fmt.Errorf("aggregate %q: %w: %d, not %d", name, eventstore.ErrShardsDiffer, a.Shards, shards)
		}
		return copied(a), nil
	}
	a := eventstore.Aggregate{ID: eventstore.AggregateID(len(s.data.aggregates) + 1), Name: name, Shards: int32(shards)}
	s.data.aggregates = append(s.data.aggregates, a)
	for i, slots := range eventstore.DivideSlots(shards) {
		id := eventstore.ShardID{Aggregate: a.ID, Number: int32(i)}
		s.data.shards[id] = &shard{ShardState: eventstore.ShardState{Lease: eventstore.Lease{Shard: id}, Slots: slots}}
	}
	return a, nil
}

func copied(a eventstore.Aggregate) eventstore.Aggregate {
	a.Definition, a.Before = slices.Clone(a.Definition), slices.Clone(a.Before)
	return a
}

// Aggregates implements eventstore.Catalog.
func (s *Store) Aggregates(ctx context.Context) ([]eventstore.Aggregate, error) {
	if err := s.begin(ctx); err != nil {
		return nil, err
	}
	defer s.data.Unlock()
	var all []eventstore.Aggregate
	for _, a := range s.data.aggregates {
		all = append(all, copied(a))
	}
	slices.SortFunc(all, func(a, b eventstore.Aggregate) int { return cmp.Compare(a.Name, b.Name) })
	return all, nil
}

// Revisions implements eventstore.Catalog.
func (s *Store) Revisions(ctx context.Context) ([]eventstore.Revision, error) {
	if err := s.begin(ctx); err != nil {
		return nil, err
	}
	defer s.data.Unlock()
	var all []eventstore.Revision
	for _, a := range s.data.aggregates {
		all = append(all, eventstore.Revision{ID: a.ID, Revision: a.Revision, Generation: a.Generation, Provisional: len(a.Before) > 0})
	}
	return all, nil
}

// AcceptDefinition implements eventstore.Catalog.
func (s *Store) AcceptDefinition(ctx context.Context, id eventstore.AggregateID, expected int64, accept eventstore.Acceptance) (eventstore.Aggregate, error) {
	return s.redefine(ctx, id, expected, func(a *eventstore.Aggregate) {
		a.Generation, a.Definition = a.Generation+1, slices.Clone(accept.Definition)
		a.Source, a.Before = accept.Source, slices.Clone(accept.Before)
	})
}

// AmendDefinition implements eventstore.Catalog.
func (s *Store) AmendDefinition(ctx context.Context, id eventstore.AggregateID, expected int64, source eventstore.Source, before []byte) (eventstore.Aggregate, error) {
	return s.redefine(ctx, id, expected, func(a *eventstore.Aggregate) { a.Source, a.Before = source, slices.Clone(before) })
}

// RaiseFloor implements eventstore.Catalog.
func (s *Store) RaiseFloor(ctx context.Context, id eventstore.AggregateID, generation int64) error {
	if err := s.begin(ctx); err != nil {
		return err
	}
	defer s.data.Unlock()
	for shard, row := range s.data.shards {
		if shard.Aggregate == id {
			row.floor = max(row.floor, generation)
		}
	}
	return nil
}

// redefine changes an aggregate, if it has the expected revision.
func (s *Store) redefine(ctx context.Context, id eventstore.AggregateID, expected int64, change func(*eventstore.Aggregate)) (eventstore.Aggregate, error) {
	if err := s.begin(ctx); err != nil {
		return eventstore.Aggregate{}, err
	}
	defer s.data.Unlock()
	a, err := s.data.aggregate(id)
	if err != nil {
		return eventstore.Aggregate{}, err
	}
	if a.Revision != expected {
		return eventstore.Aggregate{}, fmt.Errorf("aggregate %q: %w: revision %d, expected %d", a.Name, eventstore.ErrRefused, a.Revision, expected)
	}
	a.Revision++
	change(a)
	return copied(*a), nil
}

// EventTypes implements eventstore.Catalog.
func (s *Store) EventTypes(ctx context.Context, id eventstore.AggregateID) ([]string, error) {
	if err := s.begin(ctx); err != nil {
		return nil, err
	}
	defer s.data.Unlock()
	types := map[string]bool{}
	for shard, row := range s.data.shards {
		if shard.Aggregate != id {
			continue
		}
		for _, e := range row.log {
			types[e.Type] = true
		}
	}
	return slices.Sorted(maps.Keys(types)), nil
}

// Heartbeat implements eventstore.Membership.
func (s *Store) Heartbeat(ctx context.Context, m eventstore.Member) error {
	if err := s.begin(ctx); err != nil {
		return err
	}
	defer s.data.Unlock()
	s.data.members[m.Incarnation] = member{Member: m, seen: s.options.Now()}
	return nil
}

// Leave implements eventstore.Membership.
func (s *Store) Leave(ctx context.Context, i eventstore.Incarnation) error {
	if err := s.begin(ctx); err != nil {
		return err
	}
	defer s.data.Unlock()
	delete(s.data.members, i)
	return nil
}

// Members implements eventstore.Membership.
func (s *Store) Members(ctx context.Context) ([]eventstore.Member, error) {
	if err := s.begin(ctx); err != nil {
		return nil, err
	}
	defer s.data.Unlock()
	now := s.options.Now()
	var all []eventstore.Member
	for _, m := range s.data.members {
		m.Age = now.Sub(m.seen)
		all = append(all, m.Member)
	}
	slices.SortFunc(all, func(a, b eventstore.Member) int { return cmp.Compare(a.Incarnation, b.Incarnation) })
	return all, nil
}
