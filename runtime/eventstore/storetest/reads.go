package storetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/leftfold/leftfold/runtime/eventstore"
)

var readTests = []test{
	{"a shard is read in order, from any sequence, up to the limit", func(t *testing.T, s eventstore.Store) {
		_, ids := aggregate(t, s, "account", 2)
		o, other := claim(t, s, ids[0]), claim(t, s, ids[1])
		log := o.append(t, deposits("a", 25)...).Events
		other.append(t, deposits("b", 5)...)
		for _, c := range []struct {
			after int64
			limit int
			want  []eventstore.Event
		}{
			{0, 1, log[:1]}, {0, 25, log}, {0, 1000, log}, {3, 4, log[3:7]}, {24, 10, log[24:]}, {25, 10, nil}, {1000, 1, nil}, {-1, 2, log[:2]},
		} {
			got, err := s.ReadShard(t.Context(), ids[0], c.after, c.limit)
			if err != nil {
				t.Fatalf("after %d, limit %d: %v", c.after, c.limit, err)
			}
			wantEvents(t, got, c.want)
		}
	}},
	{"an entity is read in order, from any version, up to the limit", func(t *testing.T, s eventstore.Store) {
		o := single(t, s)
		var log []eventstore.Event
		for range 10 {
			b := o.append(t, deposit("b"), deposit("a"), deposit("A"), deposit("a"))
			log = append(log, b.Events[1], b.Events[3])
		}
		for _, c := range []struct {
			after int64
			limit int
			want  []eventstore.Event
		}{
			{0, 1, log[:1]}, {0, 20, log}, {0, 1000, log}, {3, 4, log[3:7]}, {19, 10, log[19:]}, {20, 10, nil}, {1000, 1, nil},
		} {
			got, err := s.ReadEntity(t.Context(), o.lease.Shard.Aggregate, "a", c.after, c.limit)
			if err != nil {
				t.Fatalf("after %d, limit %d: %v", c.after, c.limit, err)
			}
			wantEvents(t, got, c.want)
		}
	}},
	{"an entity is loaded from its snapshot, the events from that on, and its outcomes", func(t *testing.T, s eventstore.Store) {
		o := single(t, s)
		a := o.lease.Shard.Aggregate
		b := o.batch(append(deposits("a", 300), deposits("b", 2)...)...)
		b.Outcomes = []eventstore.Outcome{outcome("a", "one", 0, 1), outcome("a", "two", 1, 2), outcome("b", "one", 0, 3)}
		wantStatus(t, send(t, s, b), eventstore.Appended)
		log := b.Events[:300]
		for _, c := range []struct {
			snapshot int64
			limit    int
			want     []eventstore.Event
		}{
			{0, 1000, log}, {0, 300, log}, {0, 129, log[:129]}, {0, 1, log[:1]},
			{1, 2, log[:2]}, {170, 500, log[169:]}, {172, 129, log[171:]}, {173, 127, log[172:299]}, {300, 5, log[299:]}, {301, 5, nil},
		} {
			want := eventstore.Loading{Events: c.want, Outcomes: b.Outcomes[:2]}
			if c.snapshot > 0 {
				want.Snapshot = snapshot(a, "a", c.snapshot)
				save(t, s, want.Snapshot)
			}
			for _, ctx := range []context.Context{t.Context(), eventstore.Within(t.Context(), 1<<20)} {
				got, err := s.LoadEntity(ctx, a, "a", c.limit)
				if err != nil {
					t.Fatal(err)
				}
				wantEvents(t, got.Events, want.Events)
				got.Events, want.Events = nil, nil
				if d := cmp.Diff(want, got, cmpopts.EquateEmpty()); d != "" {
					t.Errorf("snapshot %d, limit %d:\n%s", c.snapshot, c.limit, d)
				}
				want.Events = c.want
			}
		}
	}},
	{"what is not there is empty, and a shard's row that is not there is unknown", func(t *testing.T, s eventstore.Store) {
		o := single(t, s)
		o.append(t, deposit("a"))
		a := o.lease.Shard.Aggregate
		for _, id := range []eventstore.ShardID{{Aggregate: a, Number: 1}, {Aggregate: a + 1}} {
			if events, err := s.ReadShard(t.Context(), id, 0, 10); err != nil || len(events) != 0 {
				t.Errorf("ReadShard(%s): %d, %v", id, len(events), err)
			}
			if _, err := s.Shard(t.Context(), id); !errors.Is(err, eventstore.ErrUnknownName) {
				t.Errorf("Shard(%s): %v, want ErrUnknownName", id, err)
			}
		}
		if _, err := s.Shards(t.Context(), a+1); !errors.Is(err, eventstore.ErrUnknownName) {
			t.Errorf("Shards: %v, want ErrUnknownName", err)
		}
		if events, err := s.ReadEntity(t.Context(), a, "b", 0, 10); err != nil || len(events) != 0 {
			t.Errorf("ReadEntity: %d, %v", len(events), err)
		}
		if events, err := s.ReadEntity(t.Context(), a+1, "a", 0, 10); err != nil || len(events) != 0 {
			t.Errorf("ReadEntity of another aggregate: %d, %v", len(events), err)
		}
		if d := cmp.Diff(eventstore.Loading{}, loading(t, s, a, "b"), cmpopts.EquateEmpty()); d != "" {
			t.Errorf("LoadEntity:\n%s", d)
		}
	}},
	{"entity ids are told apart by their bytes alone", oddEntities},
}

// oddIDs are texts that databases like to take for each other, or to trim.
var oddIDs = []string{
	"a", "A", "a ", " a", "á", "a\u0301", "ａ", "ª", "ß", "ss", "SS", "İ", "i", "ı", "I", "1", "01", "1.0", "1e0", "١",
	"", " ", "\t", "\n", "\r\n", "\u007f", "\u0080", "\u0085", "\u00a0", "\u200b", "\u2028", "\ufeff", "\uffee", "\uffff",
	"\U0001f600", "\U0010ffff", "e\u0301\u0327", "e\u0327\u0301", "'", "''", "\"", "\\", "\\\\", "\\'", "%", "_", "$1", "?", ":a", "--", "/*", ";",
	"a/b", "a%2Fb", "null", "NULL", "{}", "{a,b}", "\\x00", "x'00'", "é", strings.Repeat("x", 256), strings.Repeat("\U0001f600", 64),
}

func oddEntities(t *testing.T, s eventstore.Store) {
	o := single(t, s)
	a := o.lease.Shard.Aggregate
	var events []eventstore.Event
	var snapshots []eventstore.Snapshot
	for i, id := range oddIDs {
		events = append(events, deposits(id, 1+i%3)...)
		snapshots = append(snapshots, snapshot(a, id, int64(i+1)))
	}
	b := o.batch(events...)
	for i, id := range oddIDs {
		b.Outcomes = append(b.Outcomes, outcome(id, id, int64(i), i))
	}
	wantStatus(t, send(t, s, b), eventstore.Appended)
	if err := s.SaveSnapshots(t.Context(), snapshots); err != nil {
		t.Fatal(err)
	}
	CheckInvariants(t, s)
	for i, id := range oddIDs {
		got, err := s.ReadEntity(t.Context(), a, id, 0, 10)
		if err != nil || len(got) != 1+i%3 {
			t.Errorf("entity %q has %d events (%v), want %d", id, len(got), err, 1+i%3)
		}
		if found := loading(t, s, a, id).Snapshot; found.Entity != id || found.Version != int64(i+1) {
			t.Errorf("entity %q has the snapshot of %q, version %d", id, found.Entity, found.Version)
		}
		wantOutcomes(t, s, a, id, b.Outcomes[i])
	}
}

// bytewise are names in the order of their bytes, which no locale shares.
var bytewise = []string{"", " a", "-", "A", "B", "Z", "_", "a", "a b", "ab", "b", "z", "ä", "é", "\ue000", "\uffee", "\U0001f600"}

// shuffled gives the names in an order that is neither theirs nor its reverse.
func shuffled(names []string) []string {
	out := make([]string, len(names))
	for i := range names {
		out[(i*7+3)%len(names)] = names[i] // 7 and 17 have no common divisor
	}
	return out
}

func wantNames(t *testing.T, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Error(cmp.Diff(fmt.Sprintf("%q", want), fmt.Sprintf("%q", got)))
	}
}
