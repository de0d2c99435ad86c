package projection_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/leftfold/leftfold/runtime/problem"
	"github.com/leftfold/leftfold/runtime/projection"
	"github.com/leftfold/leftfold/runtime/projection/projectiontest"
)

func status(t *testing.T, m *projection.Manager, name string) projection.Status {
	t.Helper()
	s, err := m.Status(t.Context(), name)
	if err != nil {
		t.Fatalf("status of %s: %v", name, err)
	}
	return s
}

func TestAnEventThatCannotBeAppliedParksItsEntityOnly(t *testing.T) {
	projectiontest.Each(t, func(t *testing.T, r *projectiontest.Rig) {
		a := r.Aggregate("till", 1, till)
		m := r.Manager()
		a.Own(m)
		apply(t, m, r.Define("totals", totals))
		a.Append("good", "Added", added{"k", 8})
		before := a.Append("bad", "Added", added{"k", 6})
		failed := a.Append("bad", "Divided", divided{0})
		queued := a.Append("bad", "Added", added{"k", 100})
		after := a.Append("good", "Divided", divided{2})

		for _, c := range []struct {
			name    string
			waiting error
			want    bool
		}{
			{"an event of another entity", m.Wait(t.Context(), "totals", after, patience), false},
			{"the entity's event before it", m.Wait(t.Context(), "totals", before, patience), false},
			{"the event that failed", m.Wait(t.Context(), "totals", failed, patience), true},
			{"an event that queues behind it", m.Wait(t.Context(), "totals", queued, patience), true},
			{"the same, without time to wait", m.Wait(t.Context(), "totals", queued, 0), true},
		} {
			if got := problem.Is(c.waiting, problem.Quarantined); got != c.want || !got && c.waiting != nil {
				t.Errorf("waiting for %s gives %v; quarantined is %t, want %t", c.name, c.waiting, got, c.want)
			}
		}
		want := map[string]string{`"good"`: `{"seen":2,"sum":4}`, `"bad"`: `{"seen":1,"sum":6}`}
		if diff := cmp.Diff(want, r.Rows("totals")); diff != "" {
			t.Errorf("rows (-want +got):\n%s", diff)
		}
		parked := status(t, m, "totals").Parked
		if len(parked) != 1 || parked[0].Entity != "bad" || parked[0].Version != 2 || parked[0].Seq != 3 || parked[0].Error == "" {
			t.Errorf("parked are %+v, want bad from its second event, seq 3, on, with an error", parked)
		}
	})
}

// The event itself cannot change, so what makes a retry succeed is that the
// row it reads has: here another shard's entity sets the divisor.
const ratio = `
sources: [{aggregate: till}]
table:
  key: {name: key, type: string, value: "'all'"}
  columns: [{name: by, type: int}, {name: sum, type: int}]
  apply:
  - {event: Divided, set: {by: "event.by"}}
  - {event: Added, set: {sum: "row.sum + event.amount / row.by"}}
`

func TestARetryAppliesWhatWasParkedInOrder(t *testing.T) {
	projectiontest.Each(t, func(t *testing.T, r *projectiontest.Rig) {
		a := r.Aggregate("till", 1, till)
		m := r.Manager(func(c *projection.Config) { c.MaxBatch = 3 }) // a retry takes several pages
		a.Own(m)
		apply(t, m, r.Define("ratio", ratio))
		for range 10 {
			a.Append("parked", "Added", added{"", 8})
		}
		wait(t, m, "ratio", a.Append("other", "Divided", divided{4}))
		if rows := r.Rows("ratio"); rows[`"all"`] != `{"by":4,"sum":0}` {
			t.Fatalf("rows before the retry: %v", rows)
		}
		if err := m.Retry(t.Context(), "ratio"); err != nil {
			t.Fatal(err)
		}
		eventually(t, "nothing is parked any more", func() bool { return len(status(t, m, "ratio").Parked) == 0 })
		wait(t, m, "ratio", a.Append("parked", "Added", added{"", 4}))
		if rows := r.Rows("ratio"); rows[`"all"`] != `{"by":4,"sum":21}` {
			t.Errorf("rows after the retry: %v, want the ten parked events and the one after them, once each: 21", rows)
		}
	})
}

func TestARetryThatFailsLeavesTheEntityParkedAtTheNextFailure(t *testing.T) {
	projectiontest.Each(t, func(t *testing.T, r *projectiontest.Rig) {
		a := r.Aggregate("till", 1, till)
		m := r.Manager()
		a.Own(m)
		apply(t, m, r.Define("ratio", ratio))
		a.Append("parked", "Added", added{"", 8})
		a.Append("parked", "Divided", divided{0})
		a.Append("parked", "Added", added{"", 8})
		wait(t, m, "ratio", a.Append("other", "Divided", divided{4}))
		if err := m.Retry(t.Context(), "ratio"); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the entity is parked at its third event", func() bool {
			parked := status(t, m, "ratio").Parked
			return len(parked) == 1 && parked[0].Version == 3
		})
		if rows := r.Rows("ratio"); rows[`"all"`] != `{"by":0,"sum":2}` {
			t.Errorf("rows: %v, want the first two of the parked events", rows)
		}
	})
}

// A retry that is cut off at any step applies nothing twice.
func TestARetryCountsOnceWhicheverStepFails(t *testing.T) {
	projectiontest.Each(t, func(t *testing.T, r *projectiontest.Rig) {
		a := r.Aggregate("till", 1, till)
		db, fault := r.Faulty()
		m := r.Manager(func(c *projection.Config) { c.DB = db })
		a.Own(m)
		apply(t, m, r.Define("ratio", ratio))
		want := 0
		for n := 1; n <= 16; n++ {
			for _, after := range []bool{false, true} {
				a.Append("parked", "Divided", divided{0})
				wait(t, m, "ratio", a.Head())
				last := a.Append("late", "Added", added{"", 8})
				if err := m.Wait(t.Context(), "ratio", last, patience); !problem.Is(err, problem.Quarantined) {
					t.Fatalf("waiting for a parked event: %v", err)
				}
				wait(t, m, "ratio", a.Append("other", "Divided", divided{4}))
				if err := m.Retry(t.Context(), "ratio"); err != nil {
					t.Fatal(err)
				}
				fault.Arm(n, after)
				eventually(t, "nothing is parked any more", func() bool { return len(status(t, m, "ratio").Parked) == 0 })
				fault.Arm(0, false)
				want += 2
			}
		}
		eventually(t, "every parked event is applied once", func() bool {
			return r.Rows("ratio")[`"all"`] == `{"by":4,"sum":64}`
		})
		if want != 64 {
			t.Fatalf("the test's own sum is %d", want)
		}
	})
}

// A value that only the database refuses is no reason to stop the shard either.
func TestAValueThatTheDatabaseRefusesParksItsEntity(t *testing.T) {
	r := projectiontest.Postgres(t)
	a := r.Aggregate("till", 1, till)
	m := r.Manager()
	a.Own(m)
	apply(t, m, r.Define("sales", sales))
	long := make([]byte, 0, 100_000) // beyond what an index row holds, and not compressible
	for x := uint32(1); len(long) < cap(long); {
		x ^= x << 13
		x ^= x >> 17
		x ^= x << 5
		long = append(long, 'a'+byte(x%26))
	}
	a.Shards[0].Append(
		projectiontest.Event{Entity: "good", Type: "Added", Data: added{"k", 1}},
		projectiontest.Event{Entity: "bad", Type: "Added", Data: added{string(long), 1}},
		projectiontest.Event{Entity: "bad", Type: "Added", Data: added{"k", 10}},
		projectiontest.Event{Entity: "good", Type: "Added", Data: added{"k", 100}},
	)
	wait(t, m, "sales", a.Head())
	if diff := cmp.Diff(map[string]string{`"k"`: `{"sum":101}`}, r.Rows("sales")); diff != "" {
		t.Errorf("rows (-want +got):\n%s", diff)
	}
	if parked := status(t, m, "sales").Parked; len(parked) != 1 || parked[0].Entity != "bad" || parked[0].Version != 1 {
		t.Errorf("parked are %+v, want bad from its first event on", parked)
	}
	if err := m.Retry(t.Context(), "sales"); err != nil {
		t.Fatal(err)
	}
	wait(t, m, "sales", a.Append("good", "Added", added{"k", 1000}))
	eventually(t, "the retry is over, and the entity still parked at its first event", func() bool {
		var retry bool
		row := r.DB.Reader.QueryRowContext(t.Context(), `SELECT retry FROM projection_quarantine WHERE failed_version = 1`)
		return row.Scan(&retry) == nil && !retry
	})
}

func TestPauseRestsAndResumeGoesOn(t *testing.T) {
	projectiontest.Each(t, func(t *testing.T, r *projectiontest.Rig) {
		a := r.Aggregate("till", 1, till)
		m := r.Manager()
		a.Own(m)
		apply(t, m, r.Define("totals", totals))
		wait(t, m, "totals", a.Append("x", "Added", added{"", 1}))
		if err := m.Pause(t.Context(), "totals"); err != nil {
			t.Fatal(err)
		}
		p := a.Append("x", "Added", added{"", 1})
		if err := m.Wait(t.Context(), "totals", p, 50*time.Millisecond); !problem.Is(err, problem.NotCaughtUp) {
			t.Errorf("waiting for a paused projection: %v, want NotCaughtUp", err)
		}
		if s := status(t, m, "totals"); s.State != projection.Paused || s.LagEvents != 1 || s.Lag <= 0 {
			t.Errorf("it is %+v, want paused, one event behind", s)
		}
		if err := m.Resume(t.Context(), "totals"); err != nil {
			t.Fatal(err)
		}
		wait(t, m, "totals", p)
		if s := status(t, m, "totals"); s.State != projection.Live || s.LagEvents != 0 {
			t.Errorf("it is %+v, want live, not behind", s)
		}
	})
}

// halves has an event that changes one row before it fails at another.
const halves = `
sources: [{aggregate: till}]
table:
  key: {name: key, type: string, value: "'unused'"}
  columns: [{name: sum, type: int}]
  apply:
  - {event: Added, key: "'first'", set: {sum: "row.sum + 1"}}
  - {event: Added, key: "'second'", set: {sum: "row.sum + 10 / event.amount"}}
`

func TestAnEventThatFailsHalfwayChangesNothing(t *testing.T) {
	projectiontest.Each(t, func(t *testing.T, r *projectiontest.Rig) {
		a := r.Aggregate("till", 1, till)
		m := r.Manager()
		a.Own(m)
		apply(t, m, r.Define("halves", halves))
		wait(t, m, "halves", a.Shards[0].Append(
			projectiontest.Event{Entity: "x", Type: "Added", Data: added{"", 5}},
			projectiontest.Event{Entity: "y", Type: "Added", Data: added{"", 0}},
			projectiontest.Event{Entity: "x", Type: "Added", Data: added{"", 10}},
		))
		want := map[string]string{`"first"`: `{"sum":2}`, `"second"`: `{"sum":3}`}
		if diff := cmp.Diff(want, r.Rows("halves")); diff != "" {
			t.Errorf("rows (-want +got):\n%s", diff)
		}
	})
}
