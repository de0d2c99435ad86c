package postgres_test

import (
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/leftfold/leftfold/api/postgres/pgtest"
	"github.com/leftfold/leftfold/runtime/eventstore"
	"github.com/leftfold/leftfold/runtime/eventstore/postgres"
)

// BenchmarkAppend measures the append statement over the default connections,
// each with a shard of its own, on a private server with fsync on. An operation
// is an event; making and hashing the events is part of it.
//
//	go test ./runtime/eventstore/postgres -run '^$' -bench Append -benchtime 5s
func BenchmarkAppend(b *testing.B) {
	for _, size := range []int{1, 10, 100} {
		b.Run(fmt.Sprintf("batch=%d", size), func(b *testing.B) { benchmarkAppend(b, size, 1) })
	}
	b.Run("batch=100,shards=4", func(b *testing.B) { benchmarkAppend(b, 100, 4) })
}

// BenchmarkAppendBesideAnOldSnapshot is BenchmarkAppend's batch=1, and rows of the
// hot small tables updated by themselves, first with nothing held and then beside
// a transaction that keeps a snapshot from before all of it, as pg_dump does. It
// needs many operations to show: each leaves a version that cannot be removed.
//
//	go test ./runtime/eventstore/postgres -run '^$' -bench OldSnapshot -benchtime 60000x
func BenchmarkAppendBesideAnOldSnapshot(b *testing.B) {
	for _, held := range []bool{false, true} {
		b.Run(fmt.Sprintf("append,held=%v", held), func(b *testing.B) { benchmarkAppend(b, 1, 1, func(s *postgres.Store) { hold(b, s, held) }) })
		b.Run(fmt.Sprintf("heartbeat,held=%v", held), func(b *testing.B) {
			s := open(b)
			hold(b, s, held)
			for b.Loop() {
				if err := s.Heartbeat(b.Context(), eventstore.Member{Incarnation: "i", Runtime: "bank"}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// hold keeps a snapshot of the store's database until the benchmark ends.
func hold(b *testing.B, s *postgres.Store, held bool) {
	if held {
		other := session(b, pgtest.URL(b), s)
		exec(b, other, "BEGIN ISOLATION LEVEL REPEATABLE READ")
		exec(b, other, "SELECT count(*) FROM shard")
	}
}

// benchmarkAppend appends batches of the given size, for several shards in one
// statement.
func benchmarkAppend(b *testing.B, size, shards int, prepare ...func(*postgres.Store)) {
	s := open(b)
	lanes := s.AppendConcurrency()
	ids := aggregate(b, s, lanes*shards)
	var next, events atomic.Int64
	lane := make(chan []*owner, lanes)
	for i := range lanes {
		owners := make([]*owner, shards)
		for j := range owners {
			owners[j] = claim(b, s, ids[i*shards+j], 0)
		}
		lane <- owners
	}
	for _, p := range prepare {
		p(s)
	}
	b.ResetTimer()
	done := make(chan error, lanes)
	for range lanes {
		go func() { done <- appendUntil(b, s, <-lane, size, &next, &events) }()
	}
	for range lanes {
		if err := <-done; err != nil {
			b.Error(err)
		}
	}
	b.ReportMetric(float64(events.Load())/b.Elapsed().Seconds(), "events/s")
}

func appendUntil(b *testing.B, s *postgres.Store, owners []*owner, size int, next, events *atomic.Int64) error {
	const data = `{"amount":1250,"fee":100,"channel":"atm","reference":"2026-11-23/000001"}`
	for next.Add(int64(size*len(owners))) <= int64(b.N)+int64(size*len(owners)) {
		batches := make([]eventstore.Batch, len(owners))
		for i, o := range owners {
			batches[i] = o.batch(fmt.Sprintf("account-%d-%d", o.lease.Shard.Number, o.head%1000), data, size)
		}
		for i, r := range s.Append(b.Context(), batches) {
			if r.Status != eventstore.Appended {
				return fmt.Errorf("status %d: %w", r.Status, r.Err)
			}
			owners[i].committed(batches[i])
			events.Add(int64(size))
		}
	}
	return nil
}
