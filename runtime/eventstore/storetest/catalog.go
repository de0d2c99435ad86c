package storetest

import (
	"errors"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/leftfold/leftfold/runtime/eventstore"
)

var catalogTests = []test{
	{"an aggregate is made once, and found again under its id", func(t *testing.T, s eventstore.Store) {
		if all, err := s.Aggregates(t.Context()); err != nil || len(all) != 0 {
			t.Fatalf("an empty store has aggregates %v (%v)", all, err)
		}
		a, _ := aggregate(t, s, "account", 3)
		b, _ := aggregate(t, s, "Account", 3)
		if a.ID < 1 || b.ID < 1 || a.ID == b.ID || a.Name != "account" || a.Shards != 3 || a.Generation != 0 || len(a.Definition) != 0 {
			t.Errorf("got %+v and %+v", a, b)
		}
		again, _ := aggregate(t, s, "account", 3)
		if d := cmp.Diff(a, again, cmpopts.EquateEmpty()); d != "" {
			t.Error(d)
		}
	}},
	{"an aggregate is never given another number of shards", func(t *testing.T, s eventstore.Store) {
		aggregate(t, s, "account", 3)
		for _, shards := range []int{1, 2, 4, eventstore.MaxShards} {
			if _, err := s.EnsureAggregate(t.Context(), "account", shards); !errors.Is(err, eventstore.ErrShardsDiffer) {
				t.Errorf("%d shards: %v, want ErrShardsDiffer", shards, err)
			}
		}
		CheckInvariants(t, s)
	}},
	{"a number of shards out of range is refused and makes nothing", func(t *testing.T, s eventstore.Store) {
		for _, shards := range []int{-1, 0, eventstore.MaxShards + 1} {
			if a, err := s.EnsureAggregate(t.Context(), "account", shards); err == nil {
				t.Errorf("%d shards: made %+v", shards, a)
			}
		}
		aggregate(t, s, "account", eventstore.MaxShards)
		CheckInvariants(t, s)
	}},
	{"an aggregate made by many at once is one", func(t *testing.T, s eventstore.Store) {
		const makers = 8
		got, errs := make([]eventstore.Aggregate, makers), make([]error, makers)
		var all sync.WaitGroup
		for i := range makers {
			all.Go(func() { got[i], errs[i] = s.EnsureAggregate(t.Context(), "account", 7) })
		}
		all.Wait()
		for i := range makers {
			if errs[i] != nil || got[i].ID != got[0].ID {
				t.Errorf("maker %d: %+v, %v", i, got[i], errs[i])
			}
		}
		CheckInvariants(t, s)
	}},
	{"aggregates are listed by the bytes of their names", func(t *testing.T, s eventstore.Store) {
		for _, name := range shuffled(bytewise[1:]) {
			aggregate(t, s, name, 1)
		}
		all, err := s.Aggregates(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, a := range all {
			names = append(names, a.Name)
		}
		wantNames(t, names, bytewise[1:])
	}},
	{"a definition is accepted under the next generation, if the current one is the expected", func(t *testing.T, s eventstore.Store) {
		a, _ := aggregate(t, s, "account", 2)
		aggregate(t, s, "other", 1)
		for generation, definition := range []string{"one", "two\x00\xff", ""} {
			for _, expected := range []int64{int64(generation) - 1, int64(generation) + 1} {
				if _, err := s.AcceptDefinition(t.Context(), a.ID, expected, []byte("no")); !errors.Is(err, eventstore.ErrRefused) {
					t.Errorf("generation %d, expecting %d: %v, want ErrRefused", generation, expected, err)
				}
			}
			got, err := s.AcceptDefinition(t.Context(), a.ID, int64(generation), []byte(definition))
			if err != nil {
				t.Fatal(err)
			}
			want := eventstore.Aggregate{ID: a.ID, Name: "account", Shards: 2, Generation: int64(generation) + 1, Definition: []byte(definition)}
			if d := cmp.Diff(want, got, cmpopts.EquateEmpty()); d != "" {
				t.Error(d)
			}
			again, _ := aggregate(t, s, "account", 2)
			if d := cmp.Diff(want, again, cmpopts.EquateEmpty()); d != "" {
				t.Error(d)
			}
			all, err := s.Aggregates(t.Context())
			if err != nil || len(all) != 2 {
				t.Fatalf("Aggregates: %v, %v", all, err)
			}
			if d := cmp.Diff(want, all[0], cmpopts.EquateEmpty()); d != "" {
				t.Error(d)
			}
			if all[1].Generation != 0 {
				t.Errorf("the other aggregate has generation %d", all[1].Generation)
			}
		}
		if _, err := s.AcceptDefinition(t.Context(), a.ID+100, 0, nil); !errors.Is(err, eventstore.ErrUnknownName) {
			t.Errorf("an unknown aggregate: %v, want ErrUnknownName", err)
		}
	}},
	{"of definitions offered at the same time one is accepted", func(t *testing.T, s eventstore.Store) {
		a, _ := aggregate(t, s, "account", 1)
		const offers = 8
		errs := make([]error, offers)
		var all sync.WaitGroup
		for i := range offers {
			all.Go(func() { _, errs[i] = s.AcceptDefinition(t.Context(), a.ID, 0, []byte{byte(i)}) })
		}
		all.Wait()
		now, _ := aggregate(t, s, "account", 1)
		for i, err := range errs {
			if won := now.Generation == 1 && len(now.Definition) == 1 && now.Definition[0] == byte(i); won != (err == nil) || !won && !errors.Is(err, eventstore.ErrRefused) {
				t.Errorf("offer %d: %v; the definition is %v of generation %d", i, err, now.Definition, now.Generation)
			}
		}
	}},
	{"the event types of an aggregate are those of its stored events, sorted", func(t *testing.T, s eventstore.Store) {
		a, ids := aggregate(t, s, "account", 3)
		_, others := aggregate(t, s, "other", 1)
		for _, id := range append(ids[1:], others...) {
			o := claim(t, s, id)
			var events []eventstore.Event
			for _, name := range shuffled(bytewise) {
				e := deposit(id.String())
				e.Type = name
				if id == others[0] {
					e.Type = "other " + name
				}
				events = append(events, e, e)
			}
			o.append(t, events...)
			if id == ids[1] {
				refused := o.batch(deposit("x"))
				refused.Head++
				wantStatus(t, send(t, s, refused), eventstore.Refused)
			}
		}
		types, err := s.EventTypes(t.Context(), a.ID)
		if err != nil {
			t.Fatal(err)
		}
		wantNames(t, types, bytewise)
		if types, err := s.EventTypes(t.Context(), a.ID+100); err != nil || len(types) != 0 {
			t.Errorf("an unknown aggregate: %v, %v", types, err)
		}
	}},
}
