package server

import (
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/leftfold/leftfold/api/language"
	"github.com/leftfold/leftfold/api/v1alpha1"
	"github.com/leftfold/leftfold/runtime/eventstore"
	"github.com/leftfold/leftfold/runtime/eventstore/storetest/memory"
)

var noon = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

// object is one generation of a cluster's object.
func object(uid string, generation int64, age time.Duration) eventstore.Source {
	return eventstore.Source{UID: uid, Generation: generation, Created: noon.Add(-age)}
}

// offering offers an aggregate with these events, each with a command of its own.
func offering(t *testing.T, source eventstore.Source, events ...string) offer {
	t.Helper()
	spec := &v1alpha1.AggregateSpec{Shards: 1, State: []v1alpha1.Field{{Name: "count", Type: "int"}}}
	for _, name := range events {
		spec.Commands = append(spec.Commands, v1alpha1.Command{Name: "Do" + name, Emit: []v1alpha1.Emission{{Event: name}}})
		spec.Events = append(spec.Events, v1alpha1.Event{Name: name, Apply: map[string]v1alpha1.Expression{"count": "state.count + 1"}})
	}
	compiled, problems := language.Compile("thing", spec)
	if compiled == nil {
		t.Fatal(problems)
	}
	return offer{name: "thing", spec: spec, compiled: compiled, source: source}
}

func (o offer) mustAccept(t *testing.T, store eventstore.Store) accepted {
	t.Helper()
	got, err := accept(t.Context(), store, o)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func names(spec *v1alpha1.AggregateSpec) (out []string) {
	for _, e := range spec.Events {
		out = append(out, e.Name)
	}
	return out
}

func TestOfTwoViewsTheNewerServesInWhateverOrderTheyAreOffered(t *testing.T) {
	older, newer := []string{"A"}, []string{"A", "B"}
	for _, c := range []struct {
		when          string
		first, second eventstore.Source
		kept          bool // the first stays
	}{
		{when: "the newer generation comes last", first: object("x", 1, 0), second: object("x", 2, 0)},
		{when: "the newer generation came first", first: object("x", 2, 0), second: object("x", 1, 0), kept: true},
		{when: "the object was made again", first: object("x", 9, time.Hour), second: object("y", 1, 0)},
		{when: "the object that was made again came first", first: object("y", 1, 0), second: object("x", 9, time.Hour), kept: true},
		{when: "files are offered after an object", first: object("x", 9, 0)},
		{when: "an object is offered after files", second: object("x", 1, 0)},
		{when: "files are offered after files"},
	} {
		t.Run(c.when, func(t *testing.T) {
			store := memory.New(memory.Options{})
			offering(t, c.first, older...).mustAccept(t, store)
			got := offering(t, c.second, newer...).mustAccept(t, store)
			want, source := newer, c.second
			if c.kept {
				want, source = older, c.first
			}
			if len(names(got.spec)) != len(want) || !got.aggregate.Source.Same(source) || got.stalled != nil {
				t.Errorf("in force are %v of %+v (%v), want %v of %+v", names(got.spec), got.aggregate.Source, got.stalled, want, source)
			}
		})
	}
}

func TestTheSameDefinitionOfANewerViewReloadsNothing(t *testing.T) {
	store := memory.New(memory.Options{})
	first := offering(t, object("x", 1, 0), "A").mustAccept(t, store)
	second := offering(t, object("x", 2, 0), "A").mustAccept(t, store)
	if second.aggregate.Generation != first.aggregate.Generation || second.aggregate.Source.Generation != 2 {
		t.Errorf("generation %d became %d, of %+v", first.aggregate.Generation, second.aggregate.Generation, second.aggregate.Source)
	}
	again := offering(t, object("x", 2, 0), "A").mustAccept(t, store)
	if again.aggregate.Revision != second.aggregate.Revision {
		t.Error("offering what is stored has changed the row")
	}
	old := offering(t, object("x", 1, 0), "A").mustAccept(t, store)
	if old.aggregate.Source.Generation != 2 {
		t.Error("an older view took the source back")
	}
}

// writer owns the aggregate's one shard, and decides by generation 1 all along.
type writer struct {
	store eventstore.Store
	lease eventstore.Lease
}

func newWriter(t *testing.T, store eventstore.Store, a eventstore.Aggregate) writer {
	t.Helper()
	row, err := store.Claim(t.Context(), eventstore.ClaimRequest{Shard: eventstore.ShardID{Aggregate: a.ID}, Owner: "late", Token: eventstore.Token{1}})
	if err != nil {
		t.Fatal(err)
	}
	return writer{store, row.Lease}
}

// write appends the shard's first event.
func (w writer) write(t *testing.T, event string) eventstore.AppendStatus {
	t.Helper()
	e := eventstore.Event{
		Shard: w.lease.Shard, Seq: 1, Entity: "e", Version: 1, Epoch: w.lease.Epoch, Type: event, TypeVersion: 1, Data: json.RawMessage("{}"),
		Meta: eventstore.Meta{Time: noon}, Generation: 1, RecordedAt: noon,
	}
	var err error
	if e.Hash, err = e.Link(eventstore.Hash{}); err != nil {
		t.Fatal(err)
	}
	return w.store.Append(t.Context(), []eventstore.Batch{{Lease: w.lease, Events: []eventstore.Event{e}}})[0].Status
}

func TestADefinitionThatDropsSomethingIsFinalOnlyBehindAFloor(t *testing.T) {
	wide, narrow := []string{"A", "B"}, []string{"A"}
	begin := func(t *testing.T) (eventstore.Store, writer, accepted) {
		store := memory.New(memory.Options{})
		first := offering(t, object("x", 1, 0), wide...).mustAccept(t, store)
		w := newWriter(t, store, first.aggregate)
		got := offering(t, object("x", 2, 0), narrow...).mustAccept(t, store)
		if len(got.aggregate.Before) == 0 || got.aggregate.Generation != 2 {
			t.Fatalf("accepted as %+v", got.aggregate)
		}
		return store, w, got
	}
	t.Run("an owner that is late cannot write what is dropped once it is settled", func(t *testing.T) {
		store, w, got := begin(t)
		settled, err := settleDefinition(t.Context(), store, got.aggregate)
		if err != nil {
			t.Fatal(err)
		}
		if len(settled.Before) != 0 || settled.Generation != 2 || settled.Source.Generation != 2 {
			t.Errorf("settled as %+v", settled)
		}
		if status := w.write(t, "B"); status != eventstore.Refused {
			t.Errorf("the late event: %v, want Refused", status)
		}
	})
	t.Run("what an owner wrote before it was settled brings the definition back", func(t *testing.T) {
		store, w, got := begin(t)
		if status := w.write(t, "B"); status != eventstore.Appended {
			t.Fatalf("the event: %v", status)
		}
		settled, err := settleDefinition(t.Context(), store, got.aggregate)
		if err != nil {
			t.Fatal(err)
		}
		if len(settled.Before) != 0 || settled.Generation != 3 || settled.Source.Generation != 1 {
			t.Errorf("settled as %+v", settled)
		}
		again := offering(t, object("x", 2, 0), narrow...).mustAccept(t, store)
		if again.stalled == nil || again.stalled.Reason != v1alpha1.ReasonHistoryNeedsIt || len(names(again.spec)) != 2 {
			t.Errorf("offered again it is %v, and in force are %v", again.stalled, names(again.spec))
		}
	})
	t.Run("who settles it second is told so", func(t *testing.T) {
		store, _, got := begin(t)
		if _, err := settleDefinition(t.Context(), store, got.aggregate); err != nil {
			t.Fatal(err)
		}
		if _, err := settleDefinition(t.Context(), store, got.aggregate); !errors.Is(err, eventstore.ErrRefused) {
			t.Errorf("%v, want ErrRefused", err)
		}
	})
	t.Run("another definition settles the one before first", func(t *testing.T) {
		store, w, _ := begin(t)
		if status := w.write(t, "B"); status != eventstore.Appended {
			t.Fatalf("the event: %v", status)
		}
		got := offering(t, object("x", 3, 0), "A", "C").mustAccept(t, store)
		if got.stalled == nil || got.stalled.Reason != v1alpha1.ReasonHistoryNeedsIt || got.aggregate.Source.Generation != 1 {
			t.Errorf("it is %v, and in force is %+v", got.stalled, got.aggregate.Source)
		}
		got = offering(t, object("x", 4, 0), "A", "B", "C").mustAccept(t, store)
		if got.stalled != nil || len(got.aggregate.Before) != 0 || got.aggregate.Source.Generation != 4 {
			t.Errorf("what keeps all is %v, and in force is %+v", got.stalled, got.aggregate)
		}
	})
	t.Run("what drops nothing is final at once", func(t *testing.T) {
		store := memory.New(memory.Options{})
		offering(t, object("x", 1, 0), "A").mustAccept(t, store)
		if got := offering(t, object("x", 2, 0), "A", "B").mustAccept(t, store); len(got.aggregate.Before) != 0 {
			t.Error("it is provisional")
		}
	})
}
