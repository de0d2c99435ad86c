package projection_test

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/leftfold/leftfold/runtime/projection"
	"github.com/leftfold/leftfold/runtime/projection/projectiontest"
)

func TestTheObserverHearsOfLagAndQuarantine(t *testing.T) {
	r := projectiontest.SQLite(t)
	var lag, age, parked, flushed atomic.Int64
	m := r.Manager(func(c *projection.Config) {
		c.Observer = projection.Observer{
			Lag: func(_, _ string, _ int32, events int64, oldest time.Duration) {
				lag.Store(events)
				age.Store(int64(oldest))
			},
			Quarantined: func(_ string, n int) { parked.Store(int64(n)) },
			Flushed:     func(_ string, n int, _ time.Duration) { flushed.Add(int64(n)) },
		}
	})
	a := r.Aggregate("till", 1, till)
	a.Own(m)
	apply(t, m, r.Define("slow", `
sources: [{aggregate: till}]
table:
  key: {name: id, type: string, value: meta.entity}
  columns: [{name: sum, type: int}]
  apply:
  - {event: Divided, set: {sum: "10 / event.by"}}
`))
	a.Append("x", "Divided", divided{0})
	eventually(t, "one entity is parked, nothing waits, one event was flushed", func() bool {
		return parked.Load() == 1 && lag.Load() == 0 && age.Load() == 0 && flushed.Load() == 1
	})
	// The database refuses writes from now on: what comes in waits, and ages.
	if _, err := r.DB.Writer.ExecContext(t.Context(), `ALTER TABLE projection_offset RENAME TO hidden`); err != nil {
		t.Fatal(err)
	}
	a.Append("y", "Divided", divided{5})
	a.Append("y", "Divided", divided{5})
	eventually(t, "two events wait", func() bool {
		return lag.Load() == 2 && age.Load() > 0
	})
	if _, err := r.DB.Writer.ExecContext(t.Context(), `ALTER TABLE hidden RENAME TO projection_offset`); err != nil {
		t.Fatal(err)
	}
	wait(t, m, "slow", a.Head())
	eventually(t, "nothing waits any more", func() bool { return lag.Load() == 0 && age.Load() == 0 })
	if s := status(t, m, "slow"); s.Error != "" {
		t.Errorf("after it is well again the status still has the error %q", s.Error)
	}
}
