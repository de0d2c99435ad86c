package storetest

import (
	"errors"
	"sync"
	"testing"
	"time"

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
		if a.ID < 1 || b.ID < 1 || a.ID == b.ID || a.Name != "account" || a.Shards != 3 || a.Generation != 0 || a.Revision != 0 || a.Source != (eventstore.Source{}) || len(a.Before) != 0 || len(a.Definition) != 0 {
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
				if _, err := s.AcceptDefinition(t.Context(), a.ID, expected, offer("no")); !errors.Is(err, eventstore.ErrRefused) {
					t.Errorf("generation %d, expecting %d: %v, want ErrRefused", generation, expected, err)
				}
			}
			got, err := s.AcceptDefinition(t.Context(), a.ID, int64(generation), offer(definition))
			if err != nil {
				t.Fatal(err)
			}
			want := eventstore.Aggregate{ID: a.ID, Name: "account", Shards: 2, Generation: int64(generation) + 1, Revision: int64(generation) + 1, Definition: []byte(definition)}
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
		if _, err := s.AcceptDefinition(t.Context(), a.ID+100, 0, offer("")); !errors.Is(err, eventstore.ErrUnknownName) {
			t.Errorf("an unknown aggregate: %v, want ErrUnknownName", err)
		}
	}},
	{"of definitions offered at the same time one is accepted", func(t *testing.T, s eventstore.Store) {
		a, _ := aggregate(t, s, "account", 1)
		const offers = 8
		errs := make([]error, offers)
		var all sync.WaitGroup
		for i := range offers {
			all.Go(func() { _, errs[i] = s.AcceptDefinition(t.Context(), a.ID, 0, offer(string([]byte{byte(i)}))) })
		}
		all.Wait()
		now, _ := aggregate(t, s, "account", 1)
		for i, err := range errs {
			if won := now.Generation == 1 && len(now.Definition) == 1 && now.Definition[0] == byte(i); won != (err == nil) || !won && !errors.Is(err, eventstore.ErrRefused) {
				t.Errorf("offer %d: %v; the definition is %v of generation %d", i, err, now.Definition, now.Generation)
			}
		}
	}},
	{"a definition keeps its source and what it may give way to, until it is amended", func(t *testing.T, s eventstore.Store) {
		a, _ := aggregate(t, s, "account", 1)
		accepted, err := s.AcceptDefinition(t.Context(), a.ID, 0, eventstore.Acceptance{Definition: []byte("d"), Source: sourced(3), Before: []byte("b\x00")})
		if err != nil {
			t.Fatal(err)
		}
		want := eventstore.Aggregate{
			ID: a.ID, Name: "account", Shards: 1, Generation: 1, Revision: 1, Definition: []byte("d"), Source: sourced(3), Before: []byte("b\x00"),
		}
		wantAggregate(t, s, want, accepted)
		for _, c := range []struct {
			source eventstore.Source
			before []byte
		}{{sourced(4), []byte("c")}, {sourced(5), nil}, {eventstore.Source{}, []byte("e")}} {
			for _, expected := range []int64{want.Revision - 1, want.Revision + 1} {
				if _, err := s.AmendDefinition(t.Context(), a.ID, expected, sourced(9), nil); !errors.Is(err, eventstore.ErrRefused) {
					t.Errorf("revision %d, expecting %d: %v, want ErrRefused", want.Revision, expected, err)
				}
			}
			amended, err := s.AmendDefinition(t.Context(), a.ID, want.Revision, c.source, c.before)
			if err != nil {
				t.Fatal(err)
			}
			want.Revision, want.Source, want.Before = want.Revision+1, c.source, c.before
			wantAggregate(t, s, want, amended)
		}
		if _, err := s.AcceptDefinition(t.Context(), a.ID, want.Generation, offer("no")); !errors.Is(err, eventstore.ErrRefused) {
			t.Errorf("an offer that has not seen the amendments: %v, want ErrRefused", err)
		}
		if _, err := s.AmendDefinition(t.Context(), a.ID+100, 0, sourced(1), nil); !errors.Is(err, eventstore.ErrUnknownName) {
			t.Errorf("an unknown aggregate: %v, want ErrUnknownName", err)
		}
	}},
	{"under a floor no event of an older generation is appended, whoever owns the shard", func(t *testing.T, s eventstore.Store) {
		a, ids := aggregate(t, s, "account", 2)
		_, others := aggregate(t, s, "other", 1)
		of := func(generation int64) eventstore.Event {
			e := deposit("a")
			e.Generation = generation
			return e
		}
		o, other := claim(t, s, ids[0]), claim(t, s, others[0])
		o.append(t, of(1))
		if err := s.RaiseFloor(t.Context(), a.ID, 3); err != nil {
			t.Fatal(err)
		}
		wantStatus(t, send(t, s, o.batch(of(2))), eventstore.Refused)
		wantStatus(t, send(t, s, o.batch(of(3), of(2))), eventstore.Refused)
		wantStatus(t, send(t, s, o.batch()), eventstore.Appended)
		o.append(t, of(3), of(4))
		if err := s.RaiseFloor(t.Context(), a.ID, 2); err != nil {
			t.Fatal(err)
		}
		wantStatus(t, send(t, s, o.batch(of(2))), eventstore.Refused)
		o.lease = claim(t, s, ids[0]).lease
		wantStatus(t, send(t, s, o.batch(of(2))), eventstore.Refused)
		o.append(t, of(3))
		later := claim(t, s, ids[1])
		wantStatus(t, send(t, s, later.batch(of(2))), eventstore.Refused)
		other.append(t, of(1))
		if err := s.RaiseFloor(t.Context(), a.ID+100, 1); err != nil {
			t.Errorf("an unknown aggregate: %v", err)
		}
		CheckInvariants(t, s)
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

// offer is a definition that comes from nowhere.
func offer(definition string) eventstore.Acceptance {
	return eventstore.Acceptance{Definition: []byte(definition)}
}

// sourced is a generation of one object.
func sourced(generation int64) eventstore.Source {
	return eventstore.Source{UID: "3b1c", Generation: generation, Created: time.Date(2026, 1, 2, 3, 4, 5, 6000, time.UTC)}
}

// wantAggregate compares what a call gave, and what the store keeps, with what
// they should be.
func wantAggregate(t *testing.T, s eventstore.Store, want, got eventstore.Aggregate) {
	t.Helper()
	kept, _ := aggregate(t, s, want.Name, int(want.Shards))
	for _, a := range []eventstore.Aggregate{got, kept} {
		if d := cmp.Diff(want, a, cmpopts.EquateEmpty()); d != "" {
			t.Error(d)
		}
	}
	revisions, err := s.Revisions(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]eventstore.Revision{{ID: want.ID, Revision: want.Revision, Generation: want.Generation, Provisional: len(want.Before) > 0}}, revisions); d != "" {
		t.Error(d)
	}
}
