package storetest

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/leftfold/leftfold/runtime/eventstore"
)

var pageTests = []test{
	{"a page that is bounded in bytes has all that there are of small events", func(t *testing.T, s eventstore.Store) {
		o := single(t, s)
		log := o.append(t, deposits("a", 300)...).Events
		a := o.lease.Shard.Aggregate
		for _, c := range []struct {
			after int64
			limit int
			want  []eventstore.Event
		}{
			{0, 1000, log}, {0, 300, log}, {0, 299, log[:299]}, {0, 129, log[:129]}, {0, 128, log[:128]}, {0, 127, log[:127]}, {172, 128, log[172:]}, {172, 129, log[172:]}, {300, 5, nil},
		} {
			ctx := eventstore.Within(t.Context(), 1<<20)
			got, err := s.ReadShard(ctx, o.lease.Shard, c.after, c.limit)
			if err != nil {
				t.Fatal(err)
			}
			wantEvents(t, got, c.want)
			ctx = eventstore.Within(t.Context(), 1<<20)
			if got, err = s.ReadEntity(ctx, a, "a", c.after, c.limit); err != nil {
				t.Fatal(err)
			}
			wantEvents(t, got, c.want)
		}
	}},
	{"a page ends with the event that reaches the bytes it may have", func(t *testing.T, s eventstore.Store) {
		o := single(t, s)
		events := deposits("a", 10)
		for i := range events {
			events[i].Data = json.RawMessage(`{"text": "` + strings.Repeat("x", 1000) + `"}`)
		}
		log := o.append(t, events...).Events
		a := o.lease.Shard.Aggregate
		for _, c := range []struct {
			after        int64
			limit, bytes int
			want         []eventstore.Event
		}{
			{0, 10, 1, log[:1]}, {0, 10, 0, log[:1]}, {0, 10, 1500, log[:2]}, {4, 10, 3500, log[4:8]},
			{0, 3, 5500, log[:3]}, {8, 10, 5500, log[8:]}, {9, 10, 1, log[9:]}, {10, 10, 1, nil}, {0, 10, 1 << 20, log},
		} {
			ctx := eventstore.Within(t.Context(), c.bytes)
			got, err := s.ReadShard(ctx, o.lease.Shard, c.after, c.limit)
			if err != nil {
				t.Fatalf("shard after %d, limit %d, %d bytes: %v", c.after, c.limit, c.bytes, err)
			}
			wantEvents(t, got, c.want)
			if got, err = s.ReadEntity(ctx, a, "a", c.after, c.limit); err != nil {
				t.Fatalf("entity after %d, limit %d, %d bytes: %v", c.after, c.limit, c.bytes, err)
			}
			wantEvents(t, got, c.want)
			if c.after == 0 {
				l, err := s.LoadEntity(ctx, a, "a", c.limit)
				if err != nil {
					t.Fatalf("load, limit %d, %d bytes: %v", c.limit, c.bytes, err)
				}
				wantEvents(t, l.Events, c.want)
			}
		}
		// What was not taken is in nobody's way.
		got, err := s.ReadShard(t.Context(), o.lease.Shard, 0, 10)
		if err != nil {
			t.Fatal(err)
		}
		wantEvents(t, got, log)
	}},
}
