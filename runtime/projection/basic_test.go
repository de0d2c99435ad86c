package projection_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/leftfold/leftfold/runtime/projection"
	"github.com/leftfold/leftfold/runtime/projection/projectiontest"
)

// patience is how long a test waits for what must happen.
const patience = 20 * time.Second

func apply(t *testing.T, m *projection.Manager, defs ...projection.Definition) {
	t.Helper()
	if err := m.Apply(t.Context(), defs); err != nil {
		t.Fatalf("apply: %v", err)
	}
}

func TestEventsBecomeRows(t *testing.T) {
	projectiontest.Each(t, func(t *testing.T, r *projectiontest.Rig) {
		a := r.Aggregate("till", 4, till)
		m := r.Manager()
		a.Own(m)
		apply(t, m, r.Define("totals", totals), r.Define("sales", sales))
		a.Append("one", "Added", added{"apple", 3})
		a.Append("two", "Added", added{"apple", 4})
		a.Append("one", "Added", added{"pear", -2})
		a.Append("gone", "Added", added{"plum", 5})
		a.Append("gone", "Cleared", cleared{})
		a.Append("two", "Spread", spread{[]string{"plum", "apple", "fig", "apple"}, -5})
		for name, want := range map[string]map[string]string{
			"totals": {`"one"`: `{"seen":2,"sum":1}`, `"two"`: `{"seen":1,"sum":4}`},
			"sales":  {`"apple"`: `{"sum":-3}`, `"pear"`: `{"sum":-2}`, `"fig"`: `{"sum":-5}`},
		} {
			if err := m.Wait(t.Context(), name, a.Head(), patience); err != nil {
				t.Fatalf("wait for %s: %v", name, err)
			}
			if diff := cmp.Diff(want, r.Rows(name)); diff != "" {
				t.Errorf("%s (-want +got):\n%s", name, diff)
			}
		}
	})
}
