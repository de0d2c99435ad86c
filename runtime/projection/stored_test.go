package projection_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/leftfold/leftfold/runtime/eventstore"
	"github.com/leftfold/leftfold/runtime/projection"
	"github.com/leftfold/leftfold/runtime/projection/projectiontest"
)

func TestADefinitionOfAnOlderViewDoesNotTakeTheNewersPlace(t *testing.T) {
	projectiontest.Each(t, func(t *testing.T, r *projectiontest.Rig) {
		created := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
		a := r.Aggregate("till", 1, till)
		first, second := r.Manager(), r.Manager()
		define := func(spec string, source eventstore.Source) projection.Definition {
			d := r.Define("totals", spec)
			d.Source = source
			return d
		}
		older, newer := eventstore.Source{UID: "x", Generation: 1, Created: created}, eventstore.Source{UID: "x", Generation: 2, Created: created}
		wantSource := func(want eventstore.Source) {
			t.Helper()
			all, err := first.Stored(t.Context())
			if err != nil || len(all) != 1 {
				t.Fatalf("stored are %+v (%v)", all, err)
			}
			if d := cmp.Diff(want, all[0].Source); d != "" || all[0].Name != "totals" || len(all[0].Spec) == 0 {
				t.Errorf("stored is %q of %s", all[0].Name, d)
			}
		}

		apply(t, first, define(doubled, newer))
		a.Own(second)
		apply(t, second, define(totals, older)) // goes by the stored one instead
		wantSource(newer)
		a.Append("e", "Added", added{"", 1})
		wait(t, second, "totals", a.Head())
		for _, row := range r.Rows("totals") {
			if row != `{"seen":"x","sum":2}` {
				t.Errorf("the row is %s, which is not the newer definition's", row)
			}
		}
		if n := len(r.Rows("totals")); n != 1 {
			t.Errorf("there are %d rows", n)
		}
		if n := tables(t, r); n != 1 {
			t.Errorf("there are %d versions", n)
		}

		// The same rules read anew build nothing, and an object made again may change them.
		newer.Generation = 3
		apply(t, first, define(doubled, newer))
		wantSource(newer)
		again := eventstore.Source{UID: "y", Generation: 1, Created: created.Add(time.Hour)}
		if n := tables(t, r); n != 1 {
			t.Errorf("there are %d versions", n)
		}
		apply(t, first, define(totals, again))
		wantSource(again)
	})
}
