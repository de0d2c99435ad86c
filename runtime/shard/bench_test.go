package shard_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/leftfold/leftfold/runtime/behavior"
	"github.com/leftfold/leftfold/runtime/eventstore"
	"github.com/leftfold/leftfold/runtime/shard"
)

// bare is a store that keeps nothing but its word on leases: what is measured is
// the pipeline.
type bare struct{ eventstore.Store }

func (bare) Append(_ context.Context, b []eventstore.Batch) []eventstore.AppendResult {
	out := make([]eventstore.AppendResult, len(b))
	for i := range out {
		out[i].Status = eventstore.Appended
	}
	return out
}

// teller is a bank whose Parse does not use reflection.
type teller struct{ bank }

func (b teller) Parse(name string, body []byte) (behavior.Command, error) {
	return behavior.Command{Name: name, Fields: args{by: b.bank, Amount: amountOf(body)}}, nil
}

// BenchmarkHandle runs deposits by 256 parallel callers per processor over 1,000
// accounts and 4 shards.
func BenchmarkHandle(b *testing.B) {
	for _, keyed := range []bool{false, true} {
		b.Run(fmt.Sprintf("keyed=%t", keyed), func(b *testing.B) { benchmarkHandle(b, keyed) })
	}
}

func benchmarkHandle(b *testing.B, keyed bool) {
	const accounts, count = 1000, 4
	store := benchStore(b)
	if _, err := store.EnsureAggregate(b.Context(), "account", count); err != nil {
		b.Fatal(err)
	}
	host := shard.NewHost(shard.Config{Store: bare{store}, Incarnation: "bench", Logger: quiet()})
	defer host.Close(context.Background())
	var shards []*shard.Shard
	for i := range int32(count) {
		s, err := host.Open(b.Context(), shard.Spec{
			ID: eventstore.ShardID{Aggregate: 1, Number: i}, Aggregate: "account",
			Definition: shard.Definition{Behavior: teller{bank{unit: "balance"}}, SnapshotEvery: -1},
		})
		if err != nil {
			b.Fatal(err)
		}
		shards = append(shards, s)
	}
	names := make([]string, accounts)
	for i := range names {
		names[i] = fmt.Sprint("account-", i)
		if _, err := shards[i%count].Handle(b.Context(), shard.Command{Entity: names[i], Name: "Open", ID: "open"}); err != nil {
			b.Fatal(err)
		}
	}
	body := []byte(`{"amount":5}`)
	var ids atomic.Int64
	b.SetParallelism(256)
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			n := ids.Add(1)
			i := int(n) % accounts
			_, err := shards[i%count].Handle(context.Background(), shard.Command{
				Entity: names[i], Name: "Deposit", Body: body, ID: fmt.Sprint("id-", n), Keyed: keyed,
			})
			if err != nil {
				b.Error(err)
				return
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "commands/s")
}
