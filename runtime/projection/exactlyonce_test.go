package projection_test

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/leftfold/leftfold/runtime/eventstore"
	"github.com/leftfold/leftfold/runtime/projection"
	"github.com/leftfold/leftfold/runtime/projection/projectiontest"
)

func wait(t *testing.T, m *projection.Manager, name string, p eventstore.Position) {
	t.Helper()
	if err := m.Wait(t.Context(), name, p, patience); err != nil {
		status, _ := m.Status(t.Context(), name)
		t.Fatalf("wait for %s: %v; it is %+v", name, err, status)
	}
}

// Whatever step of whatever transaction fails, and whether the failing commit
// took effect or not, every event counts once.
func TestEveryEventCountsOnceWhicheverStepFails(t *testing.T) {
	projectiontest.Each(t, func(t *testing.T, r *projectiontest.Rig) {
		a := r.Aggregate("till", 1, till)
		db, fault := r.Faulty()
		m := r.Manager(func(c *projection.Config) { c.DB = db })
		a.Own(m)
		apply(t, m, r.Define("sales", sales), r.Define("totals", totals))
		want := map[string]int{}
		round := func(n int) {
			for _, key := range []string{"same", fmt.Sprintf("key%d", n)} {
				a.Append("till", "Added", added{key, 1})
				want[key]++
			}
			// A key whose row is made and removed within the batch, or was there.
			a.Append("till", "Spread", spread{[]string{"stub", "same"}, 1})
			a.Append("till", "Spread", spread{[]string{"stub"}, -1})
			want["same"]++
			wait(t, m, "sales", a.Head())
			wait(t, m, "totals", a.Head())
		}
		fault.Arm(0, false)
		round(0)
		// Timing decides how events fall into batches: several times the steps of
		// one round covers them all.
		steps := fault.Steps() + 4
		struck := 0
		for n := 1; n <= steps; n++ {
			for _, after := range []bool{false, true} {
				fault.Arm(n, after)
				round(n)
				select {
				case <-fault.Fired():
					struck++
				default: // the events of this round took fewer steps
				}
			}
		}
		if struck < 10 {
			t.Errorf("only %d failures struck", struck)
		}
		rows := map[string]string{}
		for key, sum := range want {
			rows[fmt.Sprintf("%q", key)] = fmt.Sprintf(`{"sum":%d}`, sum)
		}
		if diff := cmp.Diff(rows, r.Rows("sales")); diff != "" {
			t.Errorf("sales (-want +got):\n%s", diff)
		}
		_, head, _ := a.Shards[0].Committed(0, 0)
		t.Logf("%d events, %d failures at steps 1 to %d", head, struck, steps)
	})
}

// Two processes may both believe that they own a shard. Both project it, and
// rows are right all the same.
func TestTwoWorkersOfOneShardAreHarmless(t *testing.T) {
	projectiontest.Each(t, func(t *testing.T, r *projectiontest.Rig) {
		a := r.Aggregate("till", 2, till)
		var managers []*projection.Manager
		for range 3 {
			m := r.Manager(func(c *projection.Config) { c.MaxBatch = 7 })
			a.Own(m)
			apply(t, m, r.Define("sales", sales), r.Define("totals", totals))
			managers = append(managers, m)
		}
		want := map[string]string{}
		const events = 300
		for i := range events {
			a.Append(fmt.Sprintf("till%d", i%5), "Added", added{fmt.Sprintf("key%d", i%3), 1})
			if i == events/2 {
				managers[0].Close() // one of them dies in the middle
			}
		}
		for i := range 3 {
			want[fmt.Sprintf(`"key%d"`, i)] = fmt.Sprintf(`{"sum":%d}`, events/3)
		}
		totals := map[string]string{}
		for i := range 5 {
			totals[fmt.Sprintf(`"till%d"`, i)] = fmt.Sprintf(`{"seen":%d,"sum":%d}`, events/5, events/5)
		}
		wait(t, managers[1], "sales", a.Head())
		wait(t, managers[2], "totals", a.Head())
		if diff := cmp.Diff(want, r.Rows("sales")); diff != "" {
			t.Errorf("sales (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff(totals, r.Rows("totals")); diff != "" {
			t.Errorf("totals (-want +got):\n%s", diff)
		}
	})
}
