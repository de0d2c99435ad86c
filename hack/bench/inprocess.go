package main

import (
	"context"
	"log/slog"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/leftfold/leftfold/runtime/eventstore"
	"github.com/leftfold/leftfold/runtime/shard"
)

// callers are the commands under way at once in process: enough that the batch
// which gathers while one is in flight is as large as the ceiling's.
const callers = statements * batchEvents * 2

// inProcess gives commands a second of the shard host with the sample's account
// on the given store, without HTTP. The profile, if named, covers the load alone.
func inProcess(ctx context.Context, store eventstore.Store, o options) (float64, error) {
	host := shard.NewHost(shard.Config{Store: store, Incarnation: "bench", Logger: slog.New(slog.DiscardHandler)})
	defer func() { _ = host.Close(context.WithoutCancel(ctx)) }()
	shards, err := openAccounts(ctx, host, store, o.sample)
	if err != nil {
		return 0, err
	}
	names := make([]string, entities)
	for i := range names {
		names[i] = "bench-" + strconv.Itoa(i)
		if _, err := shards[i%len(shards)].Handle(ctx, shard.Command{Entity: names[i], Name: "Open", Body: []byte(`{"owner":"bench"}`), ID: "open"}); err != nil {
			return 0, err
		}
	}
	if _, err := deposits(ctx, shards, names, "w-", o.warmUp()); err != nil {
		return 0, err
	}
	var rate float64
	err = o.profiled("process", func() (err error) {
		rate, err = deposits(ctx, shards, names, "d-", o.duration)
		return err
	})
	return rate, err
}

func openAccounts(ctx context.Context, host *shard.Host, store eventstore.Store, sample string) ([]*shard.Shard, error) {
	account, err := accounts(sample)
	if err != nil {
		return nil, err
	}
	aggregate, err := store.EnsureAggregate(ctx, "process", statements)
	if err != nil {
		return nil, err
	}
	shards := make([]*shard.Shard, statements)
	for i := range shards {
		shards[i], err = host.Open(ctx, shard.Spec{
			ID: eventstore.ShardID{Aggregate: aggregate.ID, Number: int32(i)}, Aggregate: "account",
			Definition: shard.Definition{Behavior: account, Generation: 1},
		})
		if err != nil {
			return nil, err
		}
	}
	return shards, nil
}

func deposits(ctx context.Context, shards []*shard.Shard, names []string, run string, duration time.Duration) (float64, error) {
	var next, done atomic.Int64
	errs := make(chan error, callers)
	began := time.Now()
	var all sync.WaitGroup
	for range callers {
		all.Go(func() {
			for time.Since(began) < duration {
				n := next.Add(1)
				i := int(n) % len(names)
				_, err := shards[i%len(shards)].Handle(ctx, shard.Command{
					Entity: names[i], Name: "Deposit", Body: []byte(`{"amount":1}`), ID: run + strconv.FormatInt(n, 10),
				})
				if err != nil {
					errs <- err
					return
				}
				done.Add(1)
			}
		})
	}
	all.Wait()
	seconds := time.Since(began).Seconds()
	close(errs)
	return float64(done.Load()) / seconds, <-errs
}
