package sqlite_test

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/leftfold/leftfold/runtime/eventstore"
)

// BenchmarkAppend appends durably, each append being one fsync; it reports events
// a second. The spread of its figures is the disk's.
func BenchmarkAppend(b *testing.B) {
	for _, c := range []struct{ shards, events int }{{1, 1}, {1, 100}, {16, 100}} {
		b.Run(fmt.Sprintf("shards=%d/events=%d", c.shards, c.events), func(b *testing.B) {
			s := open(b, b.TempDir())
			a, err := s.EnsureAggregate(b.Context(), "account", c.shards)
			if err != nil {
				b.Fatal(err)
			}
			batches := make([]eventstore.Batch, c.shards)
			for i := range batches {
				id := eventstore.ShardID{Aggregate: a.ID, Number: int32(i)}
				row, err := s.Claim(b.Context(), eventstore.ClaimRequest{Shard: id, Owner: "one", Token: eventstore.Token{1}})
				if err != nil {
					b.Fatal(err)
				}
				batches[i].Lease = row.Lease
			}
			b.ReportAllocs()
			for b.Loop() {
				for i := range batches {
					fill(&batches[i], c.events)
				}
				for i, r := range s.Append(b.Context(), batches) {
					if r.Status != eventstore.Appended {
						b.Fatal(r)
					}
					last := batches[i].Events[c.events-1]
					batches[i].Head, batches[i].HeadHash = last.Seq, last.Hash
				}
			}
			b.ReportMetric(float64(b.N*c.shards*c.events)/b.Elapsed().Seconds(), "events/s")
		})
	}
}

// fill gives the batch its next events, over 1,000 entities a shard. They are not
// linked: that is the owner's time, not the store's.
func fill(b *eventstore.Batch, events int) {
	at := time.UnixMicro(1_767_225_600_000_000)
	b.Events = make([]eventstore.Event, events)
	for i := range b.Events {
		seq := b.Head + int64(i) + 1
		b.Events[i] = eventstore.Event{
			Shard: b.Lease.Shard, Seq: seq, Epoch: 1, Version: seq/1000 + 1,
			Entity: fmt.Sprintf("account-%d-%d", b.Lease.Shard.Number, seq%1000), Type: "Deposited", TypeVersion: 1,
			Data: json.RawMessage(`{"amount":12500,"channel":"branch"}`), Meta: eventstore.Meta{Time: at}, RecordedAt: at,
			CommandID: fmt.Sprintf("0190f2c4-7b1e-7c3a-9d52-%012d", seq), Generation: 1, Hash: eventstore.Hash{byte(seq)},
		}
	}
}
