package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/leftfold/leftfold/runtime/eventstore"
	"github.com/leftfold/leftfold/runtime/routing"
)

// appends gives events a second of the bare statement: one lane a shard, each
// sending its next batch when the last one is durable. Batches are made and
// hashed by the lane between two statements, as an owner would. The aggregate must
// be a new one.
func appends(ctx context.Context, store eventstore.Store, aggregate string, duration time.Duration) (float64, error) {
	logs, err := claimAll(ctx, store, aggregate, statements)
	if err != nil {
		return 0, err
	}
	var written atomic.Int64
	errs := make(chan error, statements)
	var lanes sync.WaitGroup
	began := time.Now()
	for _, l := range logs {
		lanes.Go(func() {
			var err error
			for n := 0; err == nil && time.Since(began) < duration; n++ {
				for i := range batchEvents {
					l.add("Deposited", `{"amount":1}`, fmt.Sprintf("ceiling-%d-%d", l.batch.Lease.Shard.Number, i), int64(n)+1)
				}
				err = l.append(ctx, store)
				written.Add(batchEvents)
			}
			errs <- err
		})
	}
	lanes.Wait()
	seconds := time.Since(began).Seconds()
	close(errs)
	for err := range errs {
		if err != nil {
			return 0, err
		}
	}
	return float64(written.Load()) / seconds, nil
}

// oneAppend gives the median time of a durable append of one event, with
// nothing else under way.
func oneAppend(ctx context.Context, store eventstore.Store, duration time.Duration) (time.Duration, error) {
	logs, err := claimAll(ctx, store, "alone", 1)
	if err != nil {
		return 0, err
	}
	var times []time.Duration
	for began := time.Now(); time.Since(began) < duration; {
		logs[0].add("Deposited", `{"amount":1}`, "alone", int64(len(times))+1)
		at := time.Now()
		if err := logs[0].append(ctx, store); err != nil {
			return 0, err
		}
		times = append(times, time.Since(at))
	}
	slices.Sort(times)
	return times[len(times)/2], nil
}

// shardLog writes the log of one shard as its owner would, without deciding.
type shardLog struct {
	batch eventstore.Batch
	slots eventstore.SlotRange
	hash  eventstore.Hash // of the last event added
	err   error
}

// claimAll makes the caller the owner of all shards of an aggregate.
func claimAll(ctx context.Context, store eventstore.Store, aggregate string, shards int) ([]*shardLog, error) {
	a, err := store.EnsureAggregate(ctx, aggregate, shards)
	if err != nil {
		return nil, err
	}
	rows, err := store.Shards(ctx, a.ID)
	if err != nil {
		return nil, err
	}
	logs := make([]*shardLog, len(rows))
	for i, row := range rows {
		state, err := store.Claim(ctx, eventstore.ClaimRequest{
			Shard: row.Lease.Shard, Expected: row.Lease.Epoch, Owner: "bench", Token: eventstore.Token{byte(i + 1)},
		})
		if err != nil {
			return nil, err
		}
		logs[i] = &shardLog{
			batch: eventstore.Batch{Lease: state.Lease, Head: state.Head, HeadHash: state.HeadHash}, slots: state.Slots, hash: state.HeadHash,
		}
	}
	return logs, nil
}

// of finds the log that an entity belongs to.
func of(logs []*shardLog, entity string) *shardLog {
	slot := routing.Slot(entity)
	return logs[slices.IndexFunc(logs, func(l *shardLog) bool { return l.slots.Contains(slot) })]
}

// add puts an event into the next batch.
func (l *shardLog) add(kind, data, entity string, version int64) {
	now := time.Now().UTC().Truncate(time.Microsecond)
	seq := l.batch.Head + int64(len(l.batch.Events)) + 1
	e := eventstore.Event{
		Shard: l.batch.Lease.Shard, Seq: seq, Epoch: l.batch.Lease.Epoch, Entity: entity, Version: version,
		Type: kind, TypeVersion: 1, Data: json.RawMessage(data), Meta: eventstore.Meta{Time: now},
		CommandID: "c-" + strconv.Itoa(int(l.batch.Lease.Shard.Number)) + "-" + strconv.FormatInt(seq, 10), Generation: 1, RecordedAt: now,
	}
	if e.Hash, l.err = e.Link(l.hash); l.err != nil {
		return
	}
	l.hash = e.Hash
	l.batch.Events = append(l.batch.Events, e)
}

// append writes the batch, and begins the next one.
func (l *shardLog) append(ctx context.Context, store eventstore.Store) error {
	if l.err != nil || len(l.batch.Events) == 0 {
		return l.err
	}
	if r := store.Append(ctx, []eventstore.Batch{l.batch})[0]; r.Status != eventstore.Appended {
		return fmt.Errorf("append: status %d: %w", r.Status, r.Err)
	}
	l.batch.Head, l.batch.HeadHash = l.batch.Head+int64(len(l.batch.Events)), l.hash
	l.batch.Events = make([]eventstore.Event, 0, batchEvents)
	return nil
}
