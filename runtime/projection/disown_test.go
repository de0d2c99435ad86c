package projection_test

import (
	"context"
	"database/sql"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/leftfold/leftfold/runtime/eventstore"
	"github.com/leftfold/leftfold/runtime/projection"
	"github.com/leftfold/leftfold/runtime/projection/projectiontest"
)

// gated is a target whose first transaction waits at its end for the gate.
type gated struct {
	projection.Target
	first   *sync.Once
	arrived chan struct{}
	gate    chan struct{}
}

func (g gated) Writer(v projection.Version, aggregate string) projection.Writer {
	return gatedWriter{g.Target.Writer(v, aggregate), g}
}

type gatedWriter struct {
	projection.Writer
	target gated
}

func (w gatedWriter) Apply(ctx context.Context, tx *sql.Tx, events []eventstore.Event) ([]projection.Failure, error) {
	failures, err := w.Writer.Apply(ctx, tx, events)
	w.target.first.Do(func() {
		close(w.target.arrived)
		<-w.target.gate
	})
	return failures, err
}

// A shard that is lost while a projection's transaction hangs, on a connection that
// a fault left in doubt, is free at once for its next claim, which may be here. The
// workers of both then have the same events.
func TestAShardIsDisownedAndOwnedAgainWhileATransactionIsUnderWay(t *testing.T) {
	projectiontest.Each(t, func(t *testing.T, r *projectiontest.Rig) {
		a := r.Aggregate("till", 1, till)
		def := r.Define("totals", totals)
		target := gated{def.Target, &sync.Once{}, make(chan struct{}), make(chan struct{})}
		def.Target = target
		m := r.Manager()
		a.Own(m)
		apply(t, m, def)
		a.Append("x", "Added", added{"", 1})
		<-target.arrived
		disowned := make(chan struct{})
		go func() {
			m.Disown(a.Shards[0].ID)
			close(disowned)
		}()
		select {
		case <-disowned:
		case <-time.After(patience):
			close(target.gate)
			t.Fatal("disowning waits for the transaction")
		}
		a.Own(m)
		p := a.Append("x", "Added", added{"", 1})
		close(target.gate)
		wait(t, m, "totals", p)
		if diff := cmp.Diff(map[string]string{`"x"`: `{"seen":2,"sum":2}`}, r.Rows("totals")); diff != "" {
			t.Errorf("rows (-want +got):\n%s", diff)
		}
	})
}
