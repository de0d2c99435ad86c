package shard_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/leftfold/leftfold/runtime/problem"
	"github.com/leftfold/leftfold/runtime/shard"
)

func TestAnEarlierState(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, define(func(d *shard.Definition) { d.SnapshotEvery = 10 }))
		r.must("a", "Open", "")
		var times []time.Time
		for range 600 { // more than a page
			time.Sleep(time.Second)
			times = append(times, r.must("a", "Deposit", `{"amount":1}`).Events[0].Meta.Time)
		}
		synctest.Wait()
		for _, version := range []int64{1, 2, 9, 10, 11, 250, 600, 601} {
			v, err := r.s.At(t.Context(), "a", version)
			wantNone(t, err)
			if n := r.balanceOf(v); n != version-1 || v.Version != version {
				t.Errorf("at version %d: version %d, balance %d", version, v.Version, n)
			}
		}
		_, err := r.s.At(t.Context(), "a", 602)
		wantReason(t, err, problem.NoSuchEntity)
		_, err = r.s.At(t.Context(), "nobody", 1)
		wantReason(t, err, problem.NoSuchEntity)

		for _, i := range []int{0, 5, 300, 599} {
			for name, tt := range map[string]struct {
				at   time.Time
				want int64
			}{
				"exactly then":          {times[i], int64(i + 1)},
				"a microsecond earlier": {times[i].Add(-time.Microsecond), int64(i)},
				"a little later":        {times[i].Add(time.Millisecond), int64(i + 1)},
			} {
				v, err := r.s.AtTime(t.Context(), "a", tt.at)
				wantNone(t, err)
				if n := r.balanceOf(v); n != tt.want || v.Time.After(tt.at) {
					t.Errorf("%s, deposit %d: balance %d, want %d", name, i+1, n, tt.want)
				}
			}
		}
		_, err = r.s.AtTime(t.Context(), "a", times[0].Add(-time.Hour))
		wantReason(t, err, problem.NoSuchEntity)
	})
}

func TestTheFeedGivesCommittedEventsInOrder(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, limits(func(l *shard.Limits) { l.FeedEvents = 10 }))
		events, head, ok := r.s.Committed(0, 100)
		if len(events) != 0 || head != 0 || !ok {
			t.Fatalf("empty: %d events, head %d, %v", len(events), head, ok)
		}
		changed := r.s.Changed()
		r.must("a", "Open", "")
		<-changed
		for range 6 {
			r.must("a", "Deposit", `{"amount":1}`)
		}
		for _, tt := range []struct {
			after    int64
			max      int
			from, to int64
		}{
			{0, 100, 1, 7}, {3, 100, 4, 7}, {3, 2, 4, 5}, {7, 100, 0, 0}, {9, 100, 0, 0},
		} {
			events, head, ok := r.s.Committed(tt.after, tt.max)
			if !ok || head != 7 {
				t.Errorf("after %d: head %d, %v", tt.after, head, ok)
			}
			if tt.from == 0 {
				if len(events) != 0 {
					t.Errorf("after %d: %d events", tt.after, len(events))
				}
				continue
			}
			if len(events) != int(tt.to-tt.from+1) || events[0].Seq != tt.from || events[len(events)-1].Seq != tt.to {
				t.Errorf("after %d: got %d events", tt.after, len(events))
			}
		}
		for range 50 {
			r.must("a", "Deposit", `{"amount":1}`)
		}
		if _, head, ok := r.s.Committed(20, 100); ok || head != 57 {
			t.Errorf("what has left memory: head %d, ok %v", head, ok)
		}
		if events, _, ok := r.s.Committed(47, 100); !ok || len(events) != 10 {
			t.Errorf("the last ten: %d, %v", len(events), ok)
		}
		b := r.another()
		if events, head, ok := b.s.Committed(57, 10); !ok || head != 57 || len(events) != 0 {
			t.Errorf("a new owner: head %d, %v", head, ok)
		}
		if _, _, ok := b.s.Committed(56, 10); ok {
			t.Error("a new owner has none of the old events")
		}
	})
}

func TestTheFeedShowsNothingThatIsNotCommitted(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		g, _ := r.stall()
		r.start(t.Context(), r.command("a", "Open", ""))
		synctest.Wait()
		if events, head, ok := r.s.Committed(0, 10); len(events) != 0 || head != 0 || !ok {
			t.Errorf("%d events, head %d", len(events), head)
		}
		g.open()
	})
}
