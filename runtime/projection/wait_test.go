package projection_test

import (
	"context"
	"errors"
	"math"
	"testing"
	"time"

	"github.com/leftfold/leftfold/runtime/eventstore"
	"github.com/leftfold/leftfold/runtime/problem"
	"github.com/leftfold/leftfold/runtime/projection"
	"github.com/leftfold/leftfold/runtime/projection/projectiontest"
)

func TestAWaiterMakesTheWorkerFlushAtOnce(t *testing.T) {
	projectiontest.Each(t, func(t *testing.T, r *projectiontest.Rig) {
		a := r.Aggregate("till", 1, till)
		m := r.Manager(func(c *projection.Config) { c.FlushInterval = time.Hour })
		a.Own(m)
		apply(t, m, r.Define("totals", totals))
		for range 5 {
			// An event that the projection has no rule for counts as any other.
			wait(t, m, "totals", a.Append("x", "Spread", spread{nil, 1}))
			wait(t, m, "totals", a.Append("x", "Added", added{"", 1}))
		}
		if rows := r.Rows("totals"); rows[`"x"`] != `{"seen":5,"sum":5}` {
			t.Errorf("rows: %v", rows)
		}
	})
}

func TestAWaitEnds(t *testing.T) {
	projectiontest.Each(t, func(t *testing.T, r *projectiontest.Rig) {
		a := r.Aggregate("till", 1, till)
		m := r.Manager()
		a.Own(m)
		apply(t, m, r.Define("totals", totals))
		here := a.Append("x", "Added", added{"", 1})
		wait(t, m, "totals", here)
		var ahead, elsewhere eventstore.Position
		ahead.Set(a.Shards[0].ID, 2)
		elsewhere.Set(eventstore.ShardID{Aggregate: 77, Number: 1}, 5)
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		for _, c := range []struct {
			name string
			err  error
			want func(error) bool
		}{
			{"at once when the position is reached", m.Wait(t.Context(), "totals", here, 0), func(err error) bool { return err == nil }},
			{"at once for a shard that the projection does not read", m.Wait(t.Context(), "totals", elsewhere, 0), func(err error) bool { return err == nil }},
			{"as not caught up when its time is over", m.Wait(t.Context(), "totals", ahead, time.Millisecond), func(err error) bool { return problem.Is(err, problem.NotCaughtUp) }},
			{"as not caught up without any time", m.Wait(t.Context(), "totals", ahead, 0), func(err error) bool { return problem.Is(err, problem.NotCaughtUp) }},
			{"with the caller", m.Wait(ended, "totals", ahead, time.Hour), func(err error) bool { return errors.Is(err, context.Canceled) }},
			{"as unknown for a projection that is not there", m.Wait(t.Context(), "nope", here, time.Hour), func(err error) bool { return problem.Is(err, problem.UnknownName) }},
		} {
			if !c.want(c.err) {
				t.Errorf("a wait ends %s: got %v", c.name, c.err)
			}
		}
	})
}

// Another process owns the shard: this one can wait for it and read all the
// same.
func TestAWaitReachesShardsThatAreOwnedElsewhere(t *testing.T) {
	projectiontest.Each(t, func(t *testing.T, r *projectiontest.Rig) {
		a := r.Aggregate("till", 2, till)
		owner, reader := r.Manager(), r.Manager()
		a.Own(owner)
		apply(t, owner, r.Define("totals", totals))
		apply(t, reader, r.Define("totals", totals))
		p := a.Append("bad", "Divided", divided{0})
		if err := reader.Wait(t.Context(), "totals", p, patience); !problem.Is(err, problem.Quarantined) {
			t.Errorf("waiting for a parked event: %v, want Quarantined", err)
		}
		wait(t, reader, "totals", a.Append("x", "Added", added{"", 1}))
		if rows := r.Rows("totals"); rows[`"x"`] != `{"seen":1,"sum":1}` {
			t.Errorf("rows: %v", rows)
		}
		// What one asks for, the other does.
		if err := reader.Pause(t.Context(), "totals"); err != nil {
			t.Fatal(err)
		}
		if err := reader.Resume(t.Context(), "totals"); err != nil {
			t.Fatal(err)
		}
		if err := reader.Rebuild(t.Context(), "totals"); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the owner builds what the other asked for", func() bool { return status(t, reader, "totals").Version == 2 })
	})
}

func TestADisownedShardGetsNothing(t *testing.T) {
	projectiontest.Each(t, func(t *testing.T, r *projectiontest.Rig) {
		a := r.Aggregate("till", 1, till)
		m := r.Manager()
		a.Own(m)
		apply(t, m, r.Define("totals", totals))
		wait(t, m, "totals", a.Append("x", "Added", added{"", 1}))
		m.Disown(a.Shards[0].ID)
		p := a.Append("x", "Added", added{"", 1})
		if err := m.Wait(t.Context(), "totals", p, 50*time.Millisecond); !problem.Is(err, problem.NotCaughtUp) {
			t.Errorf("waiting: %v, want NotCaughtUp", err)
		}
		a.Own(m)
		wait(t, m, "totals", p)
	})
}

// A position is the caller's word: one beyond the log must not make the worker
// hurry for ever.
func TestAWaitForWhatIsNotThereChangesNothing(t *testing.T) {
	projectiontest.Each(t, func(t *testing.T, r *projectiontest.Rig) {
		a := r.Aggregate("till", 1, till)
		flushed := make(chan struct{}, 100)
		m := r.Manager(func(c *projection.Config) {
			c.FlushInterval = time.Hour
			c.Observer.Flushed = func(string, int, time.Duration) { flushed <- struct{}{} }
		})
		a.Own(m)
		apply(t, m, r.Define("totals", totals))
		wait(t, m, "totals", a.Append("x", "Added", added{"", 1}))
		<-flushed
		var beyond eventstore.Position
		beyond.Set(a.Shards[0].ID, math.MaxInt64)
		if err := m.Wait(t.Context(), "totals", beyond, 0); !problem.Is(err, problem.NotCaughtUp) {
			t.Fatalf("waiting: %v, want NotCaughtUp", err)
		}
		p := a.Append("x", "Added", added{"", 1})
		select {
		case <-flushed:
			t.Error("the worker hurries although nobody waits for what there is")
		case <-time.After(100 * time.Millisecond): // long enough for a worker that hurries
		}
		wait(t, m, "totals", p)
	})
}
