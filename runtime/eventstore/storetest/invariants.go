package storetest

import (
	"bytes"
	"context"
	"fmt"
	"testing"

	"github.com/leftfold/leftfold/runtime/eventstore"
)

// page is how many events Invariants reads at once.
const page = 1000

// CheckInvariants fails the test when Invariants finds something.
func CheckInvariants(t testing.TB, s eventstore.Store) {
	t.Helper()
	if err := Invariants(context.WithoutCancel(t.Context()), s); err != nil {
		t.Fatalf("the store's invariants do not hold: %v", err)
	}
}

// Invariants walks a store that nobody writes to: every event of every shard of
// every aggregate, once by shard and once by entity. It returns the first breach
// it finds of these:
//
//   - an aggregate's shards divide all slots, in order, without gap or overlap;
//   - a shard's Seq is 1..head, its chain holds, and its row's head, hash and time
//     are those of its last event;
//   - epochs never decrease in a shard and never exceed the shard's; recording
//     times never decrease in a shard, nor times in an entity;
//   - an entity's Version is 1..n, all in one shard, and reading it by entity
//     gives the same events.
//
// That every acknowledged batch is there, once, only its sender can tell.
func Invariants(ctx context.Context, s eventstore.Store) error {
	aggregates, err := s.Aggregates(ctx)
	if err != nil {
		return err
	}
	for _, a := range aggregates {
		if err := walkAggregate(ctx, s, a); err != nil {
			return fmt.Errorf("aggregate %q: %w", a.Name, err)
		}
	}
	return nil
}

func walkAggregate(ctx context.Context, s eventstore.Store, a eventstore.Aggregate) error {
	shards, err := s.Shards(ctx, a.ID)
	if err != nil {
		return err
	}
	if err := checkSlots(a, shards); err != nil {
		return err
	}
	home := map[string]eventstore.ShardID{}
	for _, row := range shards {
		entities, err := walkShard(ctx, s, row)
		if err != nil {
			return fmt.Errorf("shard %s: %w", row.Shard, err)
		}
		for entity, events := range entities {
			if other, ok := home[entity]; ok {
				return fmt.Errorf("entity %q is in shards %s and %s", entity, other, row.Shard)
			}
			home[entity] = row.Shard
			if err := walkEntity(ctx, s, a.ID, entity, events); err != nil {
				return fmt.Errorf("entity %q: %w", entity, err)
			}
		}
	}
	return nil
}

func checkSlots(a eventstore.Aggregate, shards []eventstore.ShardState) error {
	if len(shards) != int(a.Shards) {
		return fmt.Errorf("%d shards, want %d", len(shards), a.Shards)
	}
	next := 0
	for i, row := range shards {
		if row.Shard != (eventstore.ShardID{Aggregate: a.ID, Number: int32(i)}) {
			return fmt.Errorf("shard %d of the aggregate is %s", i, row.Shard)
		}
		if int(row.Slots.First) != next || row.Slots.Last < row.Slots.First {
			return fmt.Errorf("shard %s has slots %d..%d, want them to begin at %d", row.Shard, row.Slots.First, row.Slots.Last, next)
		}
		next = int(row.Slots.Last) + 1
	}
	if next != eventstore.Slots {
		return fmt.Errorf("the shards have %d slots", next)
	}
	return nil
}

// walkShard checks a shard by itself and gives its entities' events without
// their data.
func walkShard(ctx context.Context, s eventstore.Store, row eventstore.ShardState) (map[string][]eventstore.Event, error) {
	entities := map[string][]eventstore.Event{}
	var last eventstore.Event
	for {
		events, err := s.ReadShard(ctx, row.Shard, last.Seq, page)
		if err != nil {
			return nil, err
		}
		if len(events) == 0 {
			break
		}
		if events[0].Seq != last.Seq+1 || events[0].Epoch < last.Epoch || events[0].RecordedAt.Before(last.RecordedAt) {
			return nil, fmt.Errorf("event %d of epoch %d, recorded at %s, follows event %d of epoch %d, recorded at %s", events[0].Seq,
				events[0].Epoch, events[0].RecordedAt, last.Seq, last.Epoch, last.RecordedAt)
		}
		if err := eventstore.VerifyChain(last.Hash, events); err != nil {
			return nil, err
		}
		for _, e := range events {
			if e.Shard != row.Shard {
				return nil, fmt.Errorf("event %d says it is of shard %s", e.Seq, e.Shard)
			}
			e.Data = nil
			entities[e.Entity] = append(entities[e.Entity], e)
			last = e
		}
	}
	if row.Head != last.Seq || row.HeadHash != last.Hash || !row.HeadTime.Equal(last.RecordedAt) {
		return nil, fmt.Errorf("the row's head is %d %s %s, the last event %d %s %s",
			row.Head, row.HeadHash, row.HeadTime, last.Seq, last.Hash, last.RecordedAt)
	}
	if last.Epoch > row.Epoch {
		return nil, fmt.Errorf("epoch %d has events of epoch %d", row.Epoch, last.Epoch)
	}
	return entities, nil
}

func walkEntity(ctx context.Context, s eventstore.Store, a eventstore.AggregateID, entity string, want []eventstore.Event) error {
	at := 0
	for {
		events, err := s.ReadEntity(ctx, a, entity, int64(at), page)
		if err != nil {
			return err
		}
		if len(events) == 0 {
			break
		}
		for _, e := range events {
			if at == len(want) {
				return fmt.Errorf("has version %d, which its shard has not", e.Version)
			}
			switch w := want[at]; {
			case w.Version != int64(at+1):
				return fmt.Errorf("event %d of shard %s has version %d, want %d", w.Seq, w.Shard, w.Version, at+1)
			case e.Version != w.Version || e.Seq != w.Seq || e.Shard != w.Shard || !bytes.Equal(e.Hash[:], w.Hash[:]) || e.Entity != entity:
				return fmt.Errorf("version %d read by entity is event %d of shard %s, by shard %d of %s", e.Version, e.Seq, e.Shard, w.Seq, w.Shard)
			case at > 0 && w.Meta.Time.Before(want[at-1].Meta.Time):
				return fmt.Errorf("version %d is older than version %d", w.Version, at)
			}
			at++
		}
	}
	if at != len(want) {
		return fmt.Errorf("has %d versions, its shard %d", at, len(want))
	}
	return nil
}
