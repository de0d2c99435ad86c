package storetest

import (
	"errors"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/leftfold/leftfold/runtime/eventstore"
)

var claimTests = []test{
	{"a new shard has its slots, no owner, epoch 0 and no events", func(t *testing.T, s eventstore.Store) {
		a, ids := aggregate(t, s, "account", 16)
		rows, err := s.Shards(t.Context(), a.ID)
		if err != nil || len(rows) != 16 {
			t.Fatalf("Shards: %d, %v", len(rows), err)
		}
		for i, row := range rows {
			want := eventstore.ShardState{Lease: eventstore.Lease{Shard: ids[i]}, Slots: eventstore.DivideSlots(16)[i]}
			if d := cmp.Diff(want, row); d != "" {
				t.Errorf("row %d:\n%s", i, d)
			}
			if d := cmp.Diff(row, rowOf(t, s, ids[i])); d != "" {
				t.Errorf("Shards and Shard differ:\n%s", d)
			}
		}
	}},
	{"a claim raises the epoch by one, writes owner, address and token, and returns the row", func(t *testing.T, s eventstore.Store) {
		_, ids := aggregate(t, s, "account", 2)
		for epoch := range int64(3) {
			r := request(ids[1], epoch)
			row, err := s.Claim(t.Context(), r)
			if err != nil {
				t.Fatal(err)
			}
			want := eventstore.ShardState{
				Lease: eventstore.Lease{Shard: ids[1], Epoch: epoch + 1, Token: r.Token},
				Slots: eventstore.DivideSlots(2)[1], Owner: r.Owner, Address: r.Address,
			}
			if d := cmp.Diff(want, row); d != "" {
				t.Error(d)
			}
			if d := cmp.Diff(row, rowOf(t, s, ids[1])); d != "" {
				t.Errorf("the row is another afterwards:\n%s", d)
			}
		}
		if row := rowOf(t, s, ids[0]); row.Epoch != 0 || row.Owner != "" {
			t.Errorf("the other shard was claimed as well: %+v", row)
		}
	}},
	{"a claim returns the head that the last owner left", func(t *testing.T, s eventstore.Store) {
		o := single(t, s)
		last := o.append(t, deposits("a", 3)...).Events[2]
		row, err := s.Claim(t.Context(), request(o.lease.Shard, 1))
		if err != nil {
			t.Fatal(err)
		}
		if row.Head != 3 || row.HeadHash != last.Hash || !row.HeadTime.Equal(last.RecordedAt) {
			t.Errorf("got head %d %s %s", row.Head, row.HeadHash, row.HeadTime)
		}
	}},
	{"a claim returns the generation of the accepted definition", func(t *testing.T, s eventstore.Store) {
		a, ids := aggregate(t, s, "account", 2)
		aggregate(t, s, "other", 1)
		for generation := range int64(3) {
			row, err := s.Claim(t.Context(), request(ids[1], generation))
			if err != nil || row.Generation != generation {
				t.Fatalf("a claim gave generation %d, want %d (%v)", row.Generation, generation, err)
			}
			rows, err := s.Shards(t.Context(), a.ID)
			if err != nil || rows[0].Generation != generation || rows[1].Generation != generation {
				t.Fatalf("generation %d, but rows %+v (%v)", generation, rows, err)
			}
			if a, err = s.AcceptDefinition(t.Context(), a.ID, a.Revision, eventstore.Acceptance{Definition: []byte("{}")}); err != nil {
				t.Fatal(err)
			}
		}
	}},
	{"a claim that expects another epoch is refused and changes nothing", func(t *testing.T, s eventstore.Store) {
		o := single(t, s)
		claim(t, s, o.lease.Shard)
		before := rowOf(t, s, o.lease.Shard)
		for _, expected := range []int64{-1, 0, 1, 3, 1 << 40} {
			if _, err := s.Claim(t.Context(), request(o.lease.Shard, expected)); !errors.Is(err, eventstore.ErrRefused) {
				t.Errorf("expecting %d: %v, want ErrRefused", expected, err)
			}
		}
		if d := cmp.Diff(before, rowOf(t, s, o.lease.Shard)); d != "" {
			t.Error(d)
		}
	}},
	{"a claim of a shard that is not there names it unknown", func(t *testing.T, s eventstore.Store) {
		a, _ := aggregate(t, s, "account", 2)
		for _, id := range []eventstore.ShardID{{Aggregate: a.ID, Number: 2}, {Aggregate: a.ID + 1}, {}} {
			if _, err := s.Claim(t.Context(), request(id, 0)); !errors.Is(err, eventstore.ErrUnknownName) {
				t.Errorf("shard %s: %v, want ErrUnknownName", id, err)
			}
		}
	}},
	{"of claims at the same time one wins each epoch", func(t *testing.T, s eventstore.Store) {
		_, ids := aggregate(t, s, "account", 1)
		for epoch := range int64(5) {
			const claims = 8
			requests, errs := make([]eventstore.ClaimRequest, claims), make([]error, claims)
			var all sync.WaitGroup
			for i := range claims {
				requests[i] = request(ids[0], epoch)
				all.Go(func() { _, errs[i] = s.Claim(t.Context(), requests[i]) })
			}
			all.Wait()
			row, won := rowOf(t, s, ids[0]), 0
			for i, err := range errs {
				switch {
				case err == nil && row.Token == requests[i].Token:
					won++
				case !errors.Is(err, eventstore.ErrRefused):
					t.Errorf("epoch %d: claim %d got %v", epoch, i, err)
				}
			}
			if won != 1 || row.Epoch != epoch+1 {
				t.Fatalf("%d winners, epoch %d, want 1 and %d", won, row.Epoch, epoch+1)
			}
		}
	}},
	{"a released shard has no owner and no lease, keeps its epoch, and can be claimed", func(t *testing.T, s eventstore.Store) {
		o := single(t, s)
		o.append(t, deposit("a"))
		if err := s.Release(t.Context(), o.tenure()); err != nil {
			t.Fatal(err)
		}
		row := rowOf(t, s, o.lease.Shard)
		if row.Owner != "" || row.Address != "" || row.Epoch != 1 || row.Head != 1 {
			t.Errorf("got %+v", row)
		}
		wantStatus(t, send(t, s, o.batch(deposit("a"))), eventstore.Refused)
		wantStatus(t, send(t, s, o.batch()), eventstore.Refused)
		if n := claim(t, s, o.lease.Shard); n.lease.Epoch != 2 {
			t.Errorf("the next epoch is %d", n.lease.Epoch)
		}
	}},
	{"a release without the lease is refused and changes nothing", func(t *testing.T, s eventstore.Store) {
		o := single(t, s)
		now := claim(t, s, o.lease.Shard).tenure()
		before := rowOf(t, s, now.Shard)
		token, later, unknown := now, now, now
		token.Token[3]++
		later.Epoch++
		unknown.Shard.Number++
		for name, t1 := range map[string]eventstore.Tenure{
			"the old lease": o.tenure(), "another token": token, "a later epoch": later, "an unknown shard": unknown,
		} {
			if err := s.Release(t.Context(), t1); !errors.Is(err, eventstore.ErrRefused) {
				t.Errorf("%s: %v, want ErrRefused", name, err)
			}
		}
		if d := cmp.Diff(before, rowOf(t, s, now.Shard)); d != "" {
			t.Error(d)
		}
		if err := s.Release(t.Context(), now); err != nil {
			t.Fatal(err)
		}
		if err := s.Release(t.Context(), now); !errors.Is(err, eventstore.ErrRefused) {
			t.Errorf("releasing twice: %v, want ErrRefused", err)
		}
	}},
	{"a check tells, lease by lease, which hold", func(t *testing.T, s eventstore.Store) {
		_, ids := aggregate(t, s, "account", 4)
		old, released := claim(t, s, ids[0]), claim(t, s, ids[1])
		now, other := claim(t, s, ids[0]), claim(t, s, ids[2])
		if err := s.Release(t.Context(), released.tenure()); err != nil {
			t.Fatal(err)
		}
		token, later, unknown := now.tenure(), now.tenure(), now.tenure()
		token.Token[15]++
		later.Epoch++
		unknown.Shard.Number = 77
		got, err := s.Check(t.Context(), []eventstore.Tenure{
			old.tenure(), now.tenure(), token, later, unknown, released.tenure(),
			{Lease: eventstore.Lease{Shard: ids[1], Epoch: 1}}, {Lease: eventstore.Lease{Shard: ids[3]}}, other.tenure(), now.tenure(),
		})
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff([]bool{false, true, false, false, false, false, false, false, true, true}, got); d != "" {
			t.Error(d)
		}
		if got, err := s.Check(t.Context(), nil); err != nil || len(got) != 0 {
			t.Errorf("a check of nothing: %v, %v", got, err)
		}
	}},
	{"a release and a check compare the head: a store that has less than its owner knows is found out", func(t *testing.T, s eventstore.Store) {
		o := single(t, s)
		first := o.tenure()
		o.append(t, deposit("a"))
		second := o.tenure()
		o.append(t, deposit("a"))
		last, beyond, other := o.tenure(), o.tenure(), o.tenure()
		beyond.Head++
		other.HeadHash[31]++
		got, err := s.Check(t.Context(), []eventstore.Tenure{first, second, last, beyond, other})
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff([]bool{true, true, true, false, false}, got); d != "" {
			t.Errorf("a check with the heads before, now, beyond, and of another hash:\n%s", d)
		}
		for name, t1 := range map[string]eventstore.Tenure{"a head before": second, "a head beyond": beyond, "another hash": other} {
			if err := s.Release(t.Context(), t1); !errors.Is(err, eventstore.ErrRefused) {
				t.Errorf("a release with %s: %v, want ErrRefused", name, err)
			}
		}
		if err := s.Release(t.Context(), last); err != nil {
			t.Error(err)
		}
	}},
}
