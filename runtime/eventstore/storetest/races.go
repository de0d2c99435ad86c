package storetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/leftfold/leftfold/runtime/eventstore"
)

var raceTests = []test{
	{"owners that take a shard from each other leave one chain with all that was acknowledged", takeovers},
	{"a claim waits for the append that is being committed", claimWaits},
	{"appends to the same shards in different orders all end, and one of them wins each shard", overlapping},
	{"a reader sees whole batches only", wholeBatches},
	{"an entity is loaded as of one moment, whatever is written meanwhile", oneMoment},
	{"appends to different shards go on side by side", sideBySide},
}

// takeovers lets several owners claim a shard again and again, each going on to
// append until it is refused.
func takeovers(t *testing.T, s eventstore.Store) {
	_, ids := aggregate(t, s, "account", 1)
	id := ids[0]
	const owners, claims = 4, 10
	acknowledged := make([]map[eventstore.Hash]int64, owners)
	errs := make([]error, owners)
	var all sync.WaitGroup
	for i := range owners {
		acknowledged[i] = map[eventstore.Hash]int64{}
		all.Go(func() { errs[i] = takeover(t.Context(), s, id, fmt.Sprint("owner ", i), claims, acknowledged[i]) })
	}
	all.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	CheckInvariants(t, s)
	events := map[eventstore.Hash]int64{}
	for after := int64(0); ; {
		got, err := s.ReadShard(t.Context(), id, after, page)
		if err != nil {
			t.Fatal(err)
		}
		if len(got) == 0 {
			break
		}
		for _, e := range got {
			events[e.Hash], after = e.Seq, e.Seq
		}
	}
	total := 0
	for _, own := range acknowledged {
		total += len(own)
		for hash, seq := range own {
			if events[hash] != seq {
				t.Fatalf("acknowledged event %d with hash %s is not there", seq, hash)
			}
		}
	}
	if total != len(events) {
		t.Fatalf("%d events are there, %d were acknowledged", len(events), total)
	}
}

// takeover owns the shard so many times; its entity is its own, so that only the
// fence keeps owners apart.
func takeover(ctx context.Context, s eventstore.Store, id eventstore.ShardID, entity string, claims int, acknowledged map[eventstore.Hash]int64) error {
	version := int64(0)
	for range claims {
		row, err := s.Shard(ctx, id)
		if err != nil {
			return err
		}
		if row, err = s.Claim(ctx, request(id, row.Epoch)); errors.Is(err, eventstore.ErrRefused) {
			continue
		} else if err != nil {
			return err
		}
		o := ownerOf(s, row)
		o.versions[entity] = version
		for range 20 {
			b := o.batch(deposits(entity, 3)...)
			r := s.Append(ctx, []eventstore.Batch{b})[0]
			if r.Status == eventstore.Refused {
				break
			}
			if r.Status != eventstore.Appended {
				return fmt.Errorf("append: %s: %w", status(r.Status), r.Err)
			}
			o.done(b)
			version = o.versions[entity]
			for _, e := range b.Events {
				acknowledged[e.Hash] = e.Seq
			}
		}
	}
	return nil
}

// claimWaits claims a shard in the middle of its owner's appends. What the claim
// returns must be all that was, or ever will be, acknowledged under the old epoch.
func claimWaits(t *testing.T, s eventstore.Store) {
	o := single(t, s)
	for round := range 10 {
		var result eventstore.AppendResult
		var appending sync.WaitGroup
		begun := make(chan struct{})
		appending.Go(func() {
			for i := 0; ; i++ {
				b := o.batch(deposits("a", 50)...)
				if result = s.Append(t.Context(), []eventstore.Batch{b})[0]; result.Status == eventstore.Appended {
					o.done(b)
				}
				if i == 0 {
					close(begun)
				}
				if result.Status != eventstore.Appended {
					return
				}
			}
		})
		<-begun
		row, err := s.Claim(t.Context(), request(o.lease.Shard, o.lease.Epoch))
		if err != nil {
			t.Fatal(err)
		}
		then, err := s.ReadShard(t.Context(), o.lease.Shard, row.Head, page)
		appending.Wait()
		if err != nil {
			t.Fatal(err)
		}
		wantStatus(t, result, eventstore.Refused)
		if row.Head != o.head || row.HeadHash != o.hash || len(then) != 0 {
			t.Fatalf("round %d: the claim found head %d, the log had %d more, acknowledged was %d", round, row.Head, len(then), o.head)
		}
		if now := rowOf(t, s, o.lease.Shard); now.Head != row.Head || now.HeadHash != row.HeadHash {
			t.Fatalf("round %d: the head moved under the claim, from %d to %d", round, row.Head, now.Head)
		}
		o.lease = row.Lease
	}
	CheckInvariants(t, s)
}

func overlapping(t *testing.T, s eventstore.Store) {
	const shards, appends = 12, 6
	_, ids := aggregate(t, s, "account", shards)
	owners := make([]*owner, shards)
	for i, id := range ids {
		owners[i] = claim(t, s, id)
	}
	for range 5 {
		var all sync.WaitGroup
		batches, results := make([][]eventstore.Batch, appends), make([][]eventstore.AppendResult, appends)
		for i := range appends {
			for j := range shards {
				o := owners[(i*5+j*7)%shards] // another order for each, as 7 and 12 have no common divisor
				batches[i] = append(batches[i], o.batch(deposits(fmt.Sprint("entity ", o.lease.Shard.Number), 3)...))
			}
			if i%2 == 1 {
				slices.Reverse(batches[i])
			}
			all.Go(func() { results[i] = s.Append(t.Context(), batches[i]) })
		}
		all.Wait()
		won := map[eventstore.ShardID]int{}
		for i, rs := range results {
			for j, r := range rs {
				switch b := batches[i][j]; {
				case r.Status == eventstore.Appended:
					won[b.Lease.Shard]++
					owners[b.Lease.Shard.Number].done(b)
				case r.Status != eventstore.Refused:
					t.Errorf("shard %s: %s (%v)", b.Lease.Shard, status(r.Status), r.Err)
				}
			}
		}
		for _, id := range ids {
			if won[id] != 1 {
				t.Fatalf("shard %s has %d winners", id, won[id])
			}
		}
	}
	CheckInvariants(t, s)
}

func wholeBatches(t *testing.T, s eventstore.Store) {
	o := single(t, s)
	const size, batches = 10, 30
	ended := whileReading(t, func(ctx context.Context) error {
		events, err := s.ReadShard(ctx, o.lease.Shard, 0, page)
		if err == nil && len(events)%size != 0 {
			err = fmt.Errorf("a reader saw %d events", len(events))
		}
		return err
	})
	for range batches {
		o.append(t, deposits("a", size)...)
	}
	ended()
}

func oneMoment(t *testing.T, s eventstore.Store) {
	o := single(t, s)
	a := o.lease.Shard.Aggregate
	const batches = 50
	ended := whileReading(t, func(ctx context.Context) error {
		l, err := s.LoadEntity(ctx, a, "a", page)
		if err != nil {
			return err
		}
		first := int64(1)
		if l.Snapshot.Version > 0 {
			first = l.Snapshot.Version
		}
		if len(l.Events) > 0 && l.Events[0].Version != first || len(l.Events) == 0 && first > 1 {
			return fmt.Errorf("%d events come with a snapshot at version %d, and not those from it on", len(l.Events), l.Snapshot.Version)
		}
		if n := len(l.Outcomes); int(first)-1+len(l.Events) != n {
			return fmt.Errorf("%d outcomes come with the events of versions %d to %d, of which each has one", n, first, int(first)-1+len(l.Events))
		}
		return nil
	})
	for version := range int64(batches) {
		b := o.batch(deposit("a"))
		b.Outcomes = []eventstore.Outcome{outcome("a", fmt.Sprint(version), version+1, int(version))}
		wantStatus(t, send(t, s, b), eventstore.Appended)
		o.done(b)
		save(t, s, snapshot(a, "a", version+1))
	}
	ended()
}

// whileReading calls read again and again beside the test, until ended is called or
// it fails.
func whileReading(t *testing.T, read func(context.Context) error) (ended func()) {
	stop, seen := make(chan struct{}), make(chan error, 1)
	go func() {
		for {
			err := read(context.WithoutCancel(t.Context()))
			select {
			case <-stop:
				seen <- err
				return
			default:
			}
			if err != nil {
				seen <- err
				return
			}
		}
	}()
	return func() {
		t.Helper()
		close(stop)
		if err := <-seen; err != nil {
			t.Fatal(err)
		}
	}
}

func sideBySide(t *testing.T, s eventstore.Store) {
	const shards, batches = 8, 15
	_, ids := aggregate(t, s, "account", shards)
	errs := make([]error, shards)
	var all sync.WaitGroup
	for i, id := range ids {
		o := claim(t, s, id)
		all.Go(func() {
			for range batches {
				b := o.batch(deposits(fmt.Sprint("entity ", i), 5)...)
				if r := s.Append(t.Context(), []eventstore.Batch{b})[0]; r.Status != eventstore.Appended {
					errs[i] = fmt.Errorf("%s: %w", status(r.Status), r.Err)
					return
				}
				o.done(b)
			}
		})
	}
	all.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	for _, id := range ids {
		if head := rowOf(t, s, id).Head; head != 5*batches {
			t.Errorf("shard %s has head %d", id, head)
		}
	}
	CheckInvariants(t, s)
}
