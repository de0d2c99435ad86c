package projection_test

import (
	"context"
	"database/sql"
	"strings"
	"testing"

	"github.com/leftfold/leftfold/runtime/eventstore"
	"github.com/leftfold/leftfold/runtime/problem"
	"github.com/leftfold/leftfold/runtime/projection"
	"github.com/leftfold/leftfold/runtime/projection/projectiontest"
)

// brittle is a target that panics at events of type Divided.
type brittle struct{ projection.Target }

func (b brittle) Writer(v projection.Version, aggregate string) projection.Writer {
	return brittleWriter{b.Target.Writer(v, aggregate)}
}

type brittleWriter struct{ projection.Writer }

func (w brittleWriter) Apply(ctx context.Context, tx *sql.Tx, events []eventstore.Event) ([]projection.Failure, error) {
	failures, err := w.Writer.Apply(ctx, tx, events)
	for _, e := range events {
		if e.Type == "Divided" {
			panic("brittle")
		}
	}
	return failures, err
}

// A panic in one worker would take the whole process with it, and again at each
// start, for the event stays.
func TestAnEventThatMakesAProjectionPanicParksItsEntityOnly(t *testing.T) {
	projectiontest.Each(t, func(t *testing.T, r *projectiontest.Rig) {
		a := r.Aggregate("till", 1, till)
		m := r.Manager()
		def := r.Define("totals", totals)
		def.Target = brittle{def.Target}
		apply(t, m, def)
		a.Append("good", "Added", added{"k", 8})
		a.Append("bad", "Added", added{"k", 6})
		failed := a.Append("bad", "Divided", divided{2})
		after := a.Append("good", "Added", added{"k", 1})
		a.Own(m) // all of them come in one batch
		wait(t, m, "totals", after)
		want := map[string]string{`"good"`: `{"seen":2,"sum":9}`, `"bad"`: `{"seen":1,"sum":6}`}
		for key, row := range want {
			if got := r.Rows("totals")[key]; got != row {
				t.Errorf("row %s is %s, want %s", key, got, row)
			}
		}
		for _, when := range []string{"at first", "after a retry"} {
			if err := m.Wait(t.Context(), "totals", failed, patience); !problem.Is(err, problem.Quarantined) {
				t.Errorf("%s: waiting for the event gives %v, want Quarantined", when, err)
			}
			if parked := status(t, m, "totals").Parked; len(parked) != 1 || !strings.Contains(parked[0].Error, "brittle") {
				t.Errorf("%s: parked are %+v", when, parked)
			}
			if err := m.Retry(t.Context(), "totals"); err != nil {
				t.Fatal(err)
			}
		}
	})
}
