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
	a.Definition = slices.Clone(a.Definition)
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

// AcceptDefinition implements eventstore.Catalog.
func (s *Store) AcceptDefinition(ctx context.Context, id eventstore.AggregateID, expected int64, definition []byte) (eventstore.Aggregate, error) {
	if err := s.begin(ctx); err != nil {
		return eventstore.Aggregate{}, err
	}
	defer s.data.Unlock()
	a, err := s.data.aggregate(id)
	if err != nil {
		return eventstore.Aggregate{}, err
	}
	if a.Generation != expected {
		return eventstore.Aggregate{}, fmt.Errorf("aggregate %q: %w: generation %d, expected %d", a.Name, eventstore.ErrRefused, a.Generation, expected)
	}
	a.Generation, a.Definition = expected+1, slices.Clone(definition)
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
