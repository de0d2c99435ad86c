package storetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/leftfold/leftfold/runtime/eventstore"
)

var membershipTests = []test{
	{"a heartbeat makes a member, renews it, and leaving ends it", func(t *testing.T, s eventstore.Store) {
		wantMembers(t, s)
		one := eventstore.Member{Incarnation: "one", Runtime: "bank", Address: "127.0.0.1:1"}
		two := eventstore.Member{Incarnation: "two", Runtime: "", Address: "[::1]:2"}
		for _, m := range []eventstore.Member{two, one, one} {
			beat(t, s, m)
		}
		wantMembers(t, s, one, two)
		one.Runtime, one.Address = "shop", "127.0.0.1:3"
		beat(t, s, one)
		wantMembers(t, s, one, two)
		for range 2 {
			if err := s.Leave(t.Context(), "one"); err != nil {
				t.Fatal(err)
			}
			wantMembers(t, s, two)
		}
	}},
	{"members are listed by the bytes of their incarnations", func(t *testing.T, s eventstore.Store) {
		for _, name := range shuffled(bytewise[1:]) {
			beat(t, s, eventstore.Member{Incarnation: eventstore.Incarnation(name)})
		}
		var names []string
		for _, m := range members(t, s) {
			names = append(names, string(m.Incarnation))
		}
		wantNames(t, names, bytewise[1:])
	}},
	{"an age grows until the next heartbeat, by the database's clock alone", func(t *testing.T, s eventstore.Store) {
		// What the sender says of the age does not count.
		beat(t, s, eventstore.Member{Incarnation: "still", Age: time.Hour})
		beat(t, s, eventstore.Member{Incarnation: "beating", Age: -time.Hour})
		const old = 50 * time.Millisecond
		deadline := time.Now().Add(30 * time.Second)
		for age := time.Duration(0); age < old; {
			all := members(t, s)
			if all[1].Age < age {
				t.Fatalf("the age went from %s to %s", age, all[1].Age)
			}
			if age = all[1].Age; age >= time.Minute || time.Now().After(deadline) {
				t.Fatalf("the age is %s", age)
			}
		}
		beat(t, s, eventstore.Member{Incarnation: "beating"})
		if all := members(t, s); all[0].Age < 0 || all[0].Age >= all[1].Age {
			t.Errorf("after a heartbeat the age is %s, that of a member without one %s", all[0].Age, all[1].Age)
		}
	}},
}

func beat(t *testing.T, s eventstore.Store, m eventstore.Member) {
	t.Helper()
	if err := s.Heartbeat(t.Context(), m); err != nil {
		t.Fatalf("Heartbeat: %v", err)
	}
}

func members(t *testing.T, s eventstore.Store) []eventstore.Member {
	t.Helper()
	all, err := s.Members(t.Context())
	if err != nil {
		t.Fatalf("Members: %v", err)
	}
	return all
}

func wantMembers(t *testing.T, s eventstore.Store, want ...eventstore.Member) {
	t.Helper()
	var got []eventstore.Member
	for _, m := range members(t, s) {
		if m.Age < 0 || m.Age > time.Minute {
			t.Errorf("member %q has the age %s", m.Incarnation, m.Age)
		}
		m.Age = 0
		got = append(got, m)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

var contextTests = []test{
	{"an append whose context has ended before it may or may not happen, and says so", func(t *testing.T, s eventstore.Store) {
		o := single(t, s)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		settle(t, o, o.batch(deposit("a")), s.Append(ctx, []eventstore.Batch{o.batch(deposit("a"))})[0])
	}},
	{"an append whose context ends during it is whole or nothing, and never called the other", func(t *testing.T, s eventstore.Store) {
		o := single(t, s)
		for round := range 30 {
			b := o.batch(deposits("a", 300)...)
			ctx, cancel := context.WithTimeout(t.Context(), time.Duration(round)*200*time.Microsecond)
			r := s.Append(ctx, []eventstore.Batch{b})[0]
			cancel()
			o = settle(t, o, b, r)
		}
		CheckInvariants(t, s)
		o.append(t, deposit("a"))
	}},
	{"calls whose context has ended fail, and say why", func(t *testing.T, s eventstore.Store) {
		o := single(t, s)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		for name, err := range everyCall(ctx, s, o.lease) {
			if !errors.Is(err, context.Canceled) {
				t.Errorf("%s: %v, want context.Canceled", name, err)
			}
		}
	}},
}

// settle finds out, as an owner does, what became of a batch: it claims anew and
// looks at the head. The status must not have lied.
func settle(t *testing.T, o *owner, b eventstore.Batch, r eventstore.AppendResult) *owner {
	t.Helper()
	row, err := o.store.Claim(t.Context(), request(o.lease.Shard, o.lease.Epoch))
	if err != nil {
		t.Fatal(err)
	}
	there := row.HeadHash == b.Events[len(b.Events)-1].Hash
	if !there && (row.Head != o.head || row.HeadHash != o.hash) {
		t.Fatalf("a part of the batch is there: head %d after %d", row.Head, o.head)
	}
	switch {
	case r.Status == eventstore.Unknown, r.Status == eventstore.Appended && there, r.Status == eventstore.NotAttempted && !there:
	default:
		t.Fatalf("the append was %s (%v), but the batch is there: %v", status(r.Status), r.Err, there)
	}
	next := ownerOf(o.store, row)
	next.versions = o.versions
	if there {
		next.done(b)
	}
	return next
}

// everyCall makes every call that has an error, and gives the errors.
func everyCall(ctx context.Context, s eventstore.Store, l eventstore.Lease) map[string]error {
	errs := map[string]error{}
	a := l.Shard.Aggregate
	_, errs["Claim"] = s.Claim(ctx, request(l.Shard, l.Epoch))
	errs["Release"] = s.Release(ctx, eventstore.Tenure{Lease: l})
	errs["Append"] = s.Append(ctx, []eventstore.Batch{{Lease: l}})[0].Err
	_, errs["Check"] = s.Check(ctx, []eventstore.Tenure{{Lease: l}})
	_, errs["Shard"] = s.Shard(ctx, l.Shard)
	_, errs["Shards"] = s.Shards(ctx, a)
	_, errs["ReadShard"] = s.ReadShard(ctx, l.Shard, 0, 1)
	_, errs["ReadEntity"] = s.ReadEntity(ctx, a, "a", 0, 1)
	_, errs["LoadEntity"] = s.LoadEntity(ctx, a, "a", 1)
	errs["SaveSnapshots"] = s.SaveSnapshots(ctx, []eventstore.Snapshot{snapshot(a, "a", 1)})
	errs["DeleteOutcomes"] = s.DeleteOutcomes(ctx, a, []eventstore.Outcome{outcome("a", "c", 1, 1)})
	_, errs["EnsureAggregate"] = s.EnsureAggregate(ctx, "another", 1)
	_, errs["Aggregates"] = s.Aggregates(ctx)
	_, errs["Revisions"] = s.Revisions(ctx)
	_, errs["AcceptDefinition"] = s.AcceptDefinition(ctx, a, 0, eventstore.Acceptance{})
	_, errs["AmendDefinition"] = s.AmendDefinition(ctx, a, 0, eventstore.Source{}, nil)
	errs["RaiseFloor"] = s.RaiseFloor(ctx, a, 1)
	_, errs["EventTypes"] = s.EventTypes(ctx, a)
	errs["Heartbeat"] = s.Heartbeat(ctx, eventstore.Member{Incarnation: "one"})
	errs["Leave"] = s.Leave(ctx, "one")
	_, errs["Members"] = s.Members(ctx)
	return errs
}

var closeTests = []test{
	{"a second close does nothing, and calls after a close are not attempted", func(t *testing.T, s eventstore.Store) {
		o := single(t, s)
		for range 2 {
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
		}
		for name, err := range everyCall(t.Context(), s, o.lease) {
			if !errors.Is(err, eventstore.ErrNotAttempted) {
				t.Errorf("%s: %v, want ErrNotAttempted", name, err)
			}
		}
		if r := s.Append(t.Context(), []eventstore.Batch{o.batch(deposit("a"))})[0]; r.Status != eventstore.NotAttempted {
			t.Errorf("Append: %s", status(r.Status))
		}
	}},
	{"a store says how many appends are worth having in flight", func(t *testing.T, s eventstore.Store) {
		if n := s.AppendConcurrency(); n < 1 {
			t.Errorf("got %d", n)
		}
	}},
}

func (s *suite) restartTests() []test {
	if s.reopen == nil {
		return nil
	}
	return []test{
		{"all that was written is there after a restart", s.everythingStays},
		{"an append that meets a close is there after a restart if it was acknowledged", s.closeUnderLoad},
	}
}

func (s *suite) everythingStays(t *testing.T, store eventstore.Store) {
	o := single(t, store)
	a := o.lease.Shard.Aggregate
	b := o.batch(deposits("a", 5)...)
	b.Outcomes = []eventstore.Outcome{outcome("a", "c", 5, 1)}
	wantStatus(t, send(t, store, b), eventstore.Appended)
	o.done(b)
	save(t, store, snapshot(a, "a", 5))
	defined, err := store.AcceptDefinition(t.Context(), a, 0, eventstore.Acceptance{
		Definition: []byte("definition"), Source: sourced(3), Before: []byte("before"),
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := store.RaiseFloor(t.Context(), a, 2); err != nil {
		t.Fatal(err)
	}
	beat(t, store, eventstore.Member{Incarnation: "one"})
	before := rowOf(t, store, o.lease.Shard)

	store = s.reopen(t, store)
	if d := cmp.Diff(before, rowOf(t, store, o.lease.Shard)); d != "" {
		t.Error(d)
	}
	wantShard(t, store, o.lease.Shard, b.Events...)
	wantOutcomes(t, store, a, "a", b.Outcomes...)
	wantSnapshot(t, store, snapshot(a, "a", 5))
	wantMembers(t, store, eventstore.Member{Incarnation: "one"})
	wantAggregate(t, store, defined, defined)
	wantStatus(t, send(t, store, o.batch(deposit("a"))), eventstore.Refused)
	if again, _ := aggregate(t, store, "account", 1); again.ID != a || again.Generation != 1 || string(again.Definition) != "definition" {
		t.Errorf("got %+v", again)
	}
	CheckInvariants(t, store)
	o.store = store
	next := deposit("a")
	next.Generation = 2
	o.append(t, next) // a lease does not end with the connection
	if n := claim(t, store, o.lease.Shard); n.lease.Epoch != o.lease.Epoch+1 {
		t.Errorf("the next epoch is %d", n.lease.Epoch)
	}
}

func (s *suite) closeUnderLoad(t *testing.T, store eventstore.Store) {
	const shards = 4
	_, ids := aggregate(t, store, "account", shards)
	acknowledged, errs := make([]int64, shards), make([]error, shards)
	var under, all sync.WaitGroup
	under.Add(shards)
	for i, id := range ids {
		o := claim(t, store, id)
		all.Go(func() {
			var first sync.Once
			defer first.Do(under.Done)
			for {
				b := o.batch(deposits(fmt.Sprint("entity ", i), 3)...)
				r := store.Append(context.WithoutCancel(t.Context()), []eventstore.Batch{b})[0]
				if r.Status != eventstore.Appended {
					if r.Status != eventstore.NotAttempted && r.Status != eventstore.Unknown {
						errs[i] = fmt.Errorf("%s: %w", status(r.Status), r.Err)
					}
					return
				}
				o.done(b)
				acknowledged[i] = o.head
				first.Do(under.Done)
			}
		})
	}
	under.Wait()
	again := s.reopen(t, store)
	all.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Error(err)
	}
	for i, id := range ids {
		if head := rowOf(t, again, id).Head; head < acknowledged[i] || acknowledged[i] == 0 {
			t.Errorf("shard %s has head %d, acknowledged was %d", id, head, acknowledged[i])
		}
	}
	CheckInvariants(t, again)
}
