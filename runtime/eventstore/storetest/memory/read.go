package memory

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/leftfold/leftfold/runtime/eventstore"
)

// Shard implements eventstore.Reader.
func (s *Store) Shard(ctx context.Context, id eventstore.ShardID) (eventstore.ShardState, error) {
	if err := s.begin(ctx); err != nil {
		return eventstore.ShardState{}, err
	}
	defer s.data.Unlock()
	row := s.data.shards[id]
	if row == nil {
		return eventstore.ShardState{}, fmt.Errorf("read shard %s: %w", id, eventstore.ErrUnknownName)
	}
	return s.data.state(row), nil
}

// Shards implements eventstore.Reader.
func (s *Store) Shards(ctx context.Context, aggregate eventstore.AggregateID) ([]eventstore.ShardState, error) {
	if err := s.begin(ctx); err != nil {
		return nil, err
	}
	defer s.data.Unlock()
	a, err := s.data.aggregate(aggregate)
	if err != nil {
		return nil, err
	}
	states := make([]eventstore.ShardState, a.Shards)
	for i := range states {
		states[i] = s.data.state(s.data.shards[eventstore.ShardID{Aggregate: aggregate, Number: int32(i)}])
	}
	return states, nil
}

// ReadShard implements eventstore.Reader.
func (s *Store) ReadShard(ctx context.Context, id eventstore.ShardID, after int64, limit int) ([]eventstore.Event, error) {
	if err := s.begin(ctx); err != nil {
		return nil, err
	}
	defer s.data.Unlock()
	if s.data.shards[id] == nil {
		return nil, nil
	}
	log := s.data.shards[id].log // event Seq is at Seq-1
	return page(ctx, log[min(max(after, 0), int64(len(log))):], limit), nil
}

// ReadEntity implements eventstore.Reader.
func (s *Store) ReadEntity(ctx context.Context, aggregate eventstore.AggregateID, id string, after int64, limit int) ([]eventstore.Event, error) {
	if err := s.begin(ctx); err != nil {
		return nil, err
	}
	defer s.data.Unlock()
	log := s.data.entities[entity{aggregate, id}]
	from, ok := find(log, after)
	if ok {
		from++
	}
	return page(ctx, log[from:], limit), nil
}

// page copies the first events; the caller may change them.
func page(ctx context.Context, log []eventstore.Event, limit int) []eventstore.Event {
	p := eventstore.NewPage(ctx)
	for _, e := range log[:min(limit, len(log))] {
		e.Data = slices.Clone(e.Data)
		if !p.Add(e) {
			break
		}
	}
	return p.Events
}

func clone(s eventstore.Snapshot) eventstore.Snapshot {
	s.State, s.Window = slices.Clone(s.State), slices.Clone(s.Window)
	return s
}

// SaveSnapshots implements eventstore.Keeper.
func (s *Store) SaveSnapshots(ctx context.Context, snapshots []eventstore.Snapshot) error {
	if err := s.begin(ctx); err != nil {
		return err
	}
	defer s.data.Unlock()
	for _, n := range snapshots {
		key := entity{n.Aggregate, n.Entity}
		if old, ok := s.data.snapshots[key]; ok && old.Behavior == n.Behavior && old.Version > n.Version {
			continue
		}
		n = clone(n)
		n.Time = n.Time.UTC()
		s.data.snapshots[key] = n
	}
	return nil
}

// LoadEntity implements eventstore.Reader.
func (s *Store) LoadEntity(ctx context.Context, aggregate eventstore.AggregateID, id string, limit int) (eventstore.Loading, error) {
	if err := s.begin(ctx); err != nil {
		return eventstore.Loading{}, err
	}
	defer s.data.Unlock()
	key := entity{aggregate, id}
	l := eventstore.Loading{Snapshot: clone(s.data.snapshots[key])}
	log := s.data.entities[key]
	from, _ := find(log, l.Snapshot.Version)
	l.Events = page(ctx, log[from:], limit)
	for _, o := range s.data.outcomes[key] {
		o.Answer = slices.Clone(o.Answer)
		l.Outcomes = append(l.Outcomes, o)
	}
	slices.SortFunc(l.Outcomes, func(a, b eventstore.Outcome) int {
		return cmp.Or(cmp.Compare(a.Version, b.Version), a.Time.Compare(b.Time), cmp.Compare(a.CommandID, b.CommandID))
	})
	return l, nil
}

// DeleteOutcomes implements eventstore.Keeper.
func (s *Store) DeleteOutcomes(ctx context.Context, aggregate eventstore.AggregateID, outcomes []eventstore.Outcome) error {
	if err := s.begin(ctx); err != nil {
		return err
	}
	defer s.data.Unlock()
	for _, o := range outcomes {
		rows := s.data.outcomes[entity{aggregate, o.Entity}]
		if row, ok := rows[o.CommandID]; ok && row.Time.Equal(o.Time) {
			delete(rows, o.CommandID)
		}
	}
	return nil
}
