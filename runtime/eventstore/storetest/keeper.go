package storetest

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/leftfold/leftfold/runtime/eventstore"
)

func snapshot(a eventstore.AggregateID, entity string, version int64) eventstore.Snapshot {
	return eventstore.Snapshot{
		Aggregate: a, Entity: entity, Version: version, Seq: version * 10, Hash: eventstore.Hash{byte(version), 1},
		Time: dawn.Add(time.Duration(version) * time.Microsecond), State: []byte(fmt.Sprint("state\x00\xff", version)),
		Window: []byte{0, byte(version)}, Behavior: eventstore.Hash{9},
	}
}

func outcome(entity, command string, version int64, microseconds int) eventstore.Outcome {
	return eventstore.Outcome{
		Entity: entity, CommandID: command, RequestHash: eventstore.Hash{1, byte(version)}, Version: version,
		Answer: []byte("answer\x00\xff" + command), Time: dawn.Add(time.Duration(microseconds) * time.Microsecond),
	}
}

// loading is what an entity is loaded from, with one event.
func loading(t *testing.T, s eventstore.Store, a eventstore.AggregateID, entity string) eventstore.Loading {
	t.Helper()
	l, err := s.LoadEntity(t.Context(), a, entity, 1)
	if err != nil {
		t.Fatalf("LoadEntity(%q): %v", entity, err)
	}
	return l
}

func wantOutcomes(t *testing.T, s eventstore.Store, a eventstore.AggregateID, entity string, want ...eventstore.Outcome) {
	t.Helper()
	if d := cmp.Diff(want, loading(t, s, a, entity).Outcomes, cmpopts.EquateEmpty()); d != "" {
		t.Errorf("outcomes of %q:\n%s", entity, d)
	}
}

func wantSnapshot(t *testing.T, s eventstore.Store, want eventstore.Snapshot) {
	t.Helper()
	if d := cmp.Diff(want, loading(t, s, want.Aggregate, want.Entity).Snapshot, cmpopts.EquateEmpty()); d != "" {
		t.Errorf("snapshot of %q:\n%s", want.Entity, d)
	}
}

func save(t *testing.T, s eventstore.Store, snapshots ...eventstore.Snapshot) {
	t.Helper()
	if err := s.SaveSnapshots(t.Context(), snapshots); err != nil {
		t.Fatalf("SaveSnapshots: %v", err)
	}
}

var keeperTests = []test{
	{"a snapshot comes back whole, and a higher version replaces it", func(t *testing.T, s eventstore.Store) {
		a, _ := aggregate(t, s, "account", 1)
		save(t, s)
		for _, version := range []int64{1, 2, 100} {
			save(t, s, snapshot(a.ID, "a", version), snapshot(a.ID, "b", version))
			wantSnapshot(t, s, snapshot(a.ID, "a", version))
			wantSnapshot(t, s, snapshot(a.ID, "b", version))
		}
		bare := eventstore.Snapshot{Aggregate: a.ID, Entity: "c", Version: 1, Time: dawn}
		save(t, s, bare)
		wantSnapshot(t, s, bare)
	}},
	{"a lower version never replaces a higher one of the same behavior", func(t *testing.T, s eventstore.Store) {
		a, _ := aggregate(t, s, "account", 1)
		save(t, s, snapshot(a.ID, "a", 5))
		save(t, s, snapshot(a.ID, "b", 1), snapshot(a.ID, "a", 4), snapshot(a.ID, "c", 1))
		wantSnapshot(t, s, snapshot(a.ID, "a", 5))
		wantSnapshot(t, s, snapshot(a.ID, "b", 1))
		wantSnapshot(t, s, snapshot(a.ID, "c", 1))
	}},
	{"a snapshot of another behavior replaces any version", func(t *testing.T, s eventstore.Store) {
		a, _ := aggregate(t, s, "account", 1)
		save(t, s, snapshot(a.ID, "a", 5))
		for _, version := range []int64{4, 6, 1} {
			other := snapshot(a.ID, "a", version)
			other.Behavior = eventstore.Hash{byte(version)}
			save(t, s, other)
			wantSnapshot(t, s, other)
		}
	}},
	{"snapshots of aggregates with the same entity are apart", func(t *testing.T, s eventstore.Store) {
		a, _ := aggregate(t, s, "account", 1)
		b, _ := aggregate(t, s, "other", 1)
		save(t, s, snapshot(a.ID, "x", 1), snapshot(b.ID, "x", 2))
		wantSnapshot(t, s, snapshot(a.ID, "x", 1))
		wantSnapshot(t, s, snapshot(b.ID, "x", 2))
	}},
	{"outcomes come oldest first: by version, then by time", func(t *testing.T, s eventstore.Store) {
		o := single(t, s)
		b := o.batch()
		b.Outcomes = []eventstore.Outcome{
			outcome("a", "five", 2, 1), outcome("a", "two", 0, 9), outcome("a", "four", 1, 3),
			outcome("b", "two", 0, 0), outcome("a", "three", 1, 2), outcome("a", "one", 0, 8),
		}
		wantStatus(t, send(t, s, b), eventstore.Appended)
		wantOutcomes(t, s, o.lease.Shard.Aggregate, "a", b.Outcomes[5], b.Outcomes[1], b.Outcomes[4], b.Outcomes[2], b.Outcomes[0])
	}},
	{"an outcome is deleted only while its time is the given one", func(t *testing.T, s eventstore.Store) {
		o := single(t, s)
		a := o.lease.Shard.Aggregate
		b := o.batch()
		b.Outcomes = []eventstore.Outcome{outcome("a", "gone", 0, 1), outcome("a", "lives again", 0, 2), outcome("b", "gone", 0, 1), outcome("a", "kept", 0, 4)}
		wantStatus(t, send(t, s, b), eventstore.Appended)
		again := o.batch()
		again.Outcomes = []eventstore.Outcome{outcome("a", "lives again", 0, 3)}
		wantStatus(t, send(t, s, again), eventstore.Appended)
		err := s.DeleteOutcomes(t.Context(), a, []eventstore.Outcome{b.Outcomes[0], b.Outcomes[1], outcome("a", "never was", 0, 1)})
		if err != nil {
			t.Fatal(err)
		}
		wantOutcomes(t, s, a, "a", again.Outcomes[0], b.Outcomes[3])
		wantOutcomes(t, s, a, "b", b.Outcomes[2])
		if err := s.DeleteOutcomes(t.Context(), a+1, []eventstore.Outcome{b.Outcomes[3]}); err != nil {
			t.Fatal(err)
		}
		if err := s.DeleteOutcomes(t.Context(), a, nil); err != nil {
			t.Fatal(err)
		}
		wantOutcomes(t, s, a, "a", again.Outcomes[0], b.Outcomes[3])
	}},
}
