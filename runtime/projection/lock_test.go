package projection_test

import (
	"context"
	"database/sql"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/leftfold/leftfold/runtime/eventstore"
	"github.com/leftfold/leftfold/runtime/projection"
	"github.com/leftfold/leftfold/runtime/projection/projectiontest"
)

// shared makes a version of sales and gives what one shard's worker does in a
// transaction.
func shared(t *testing.T, r *projectiontest.Rig) (begin func() *sql.Tx, apply func(tx *sql.Tx, key string) error) {
	t.Helper()
	r.Declare("till", till)
	def := r.Define("sales", sales)
	v := projection.Version{Projection: 1, Number: 1, Name: "sales", Relation: "sales"}
	if err := r.DB.Write(t.Context(), func(tx *sql.Tx) error { return def.Target.Create(t.Context(), tx, v) }); err != nil {
		t.Fatal(err)
	}
	begin = func() *sql.Tx {
		tx, err := r.DB.Writer.BeginTx(context.Background(), nil)
		if err != nil {
			t.Fatal(err)
		}
		return tx
	}
	apply = func(tx *sql.Tx, key string) error {
		e := eventstore.Event{Entity: "x", Version: 1, Seq: 1, Type: "Added", Data: []byte(`{"key":"` + key + `","amount":1}`)}
		failures, err := def.Target.Writer(v, "till").Apply(context.Background(), tx, []eventstore.Event{e})
		if err == nil && len(failures) > 0 {
			err = failures[0].Err
		}
		return err
	}
	return begin, apply
}

// Two shards add to a key that has no row. Reading it with a lock would lock
// nothing, and one of the two would be lost.
func TestAddingToAMissingRowFromTwoShardsLosesNothing(t *testing.T) {
	r := projectiontest.Postgres(t)
	begin, apply := shared(t, r)
	first, second := begin(), begin()
	if err := apply(first, "k"); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() {
		err := apply(second, "k")
		if err == nil {
			err = second.Commit()
		}
		done <- err
	}()
	waitUntilBlockedOrDone(t, r, done)
	if err := first.Commit(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	var sum int
	if err := r.DB.Reader.QueryRowContext(t.Context(), `SELECT sum FROM "_projection_1_v1" WHERE key = 'k'`).Scan(&sum); err != nil {
		t.Fatal(err)
	}
	if sum != 2 {
		t.Errorf("the row has %d, want both additions: 2", sum)
	}
}

// waitUntilBlockedOrDone returns when some backend waits for a lock, or when
// done has something, which it puts back.
func waitUntilBlockedOrDone(t *testing.T, r *projectiontest.Rig, done chan error) {
	t.Helper()
	eventually(t, "the second transaction waits for the first", func() bool {
		select {
		case err := <-done:
			done <- err
			return true
		default:
		}
		var blocked bool
		if err := r.DB.Reader.QueryRowContext(t.Context(), `SELECT EXISTS (SELECT 1 FROM pg_locks l
			JOIN pg_stat_activity a ON a.pid = l.pid WHERE NOT l.granted AND a.query LIKE '%_projection_1_v1%')`).Scan(&blocked); err != nil {
			t.Fatal(err)
		}
		return blocked
	})
}

// eventually looks again and again until ok.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for tick := time.NewTicker(2 * time.Millisecond); ; <-tick.C {
		if ok() {
			tick.Stop()
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("it never came to this: %s", what)
		}
	}
}

// Rows that only held a lock are no rows.
func TestStubsAreDeleted(t *testing.T) {
	projectiontest.Each(t, func(t *testing.T, r *projectiontest.Rig) {
		a := r.Aggregate("till", 1, till)
		m := r.Manager()
		a.Own(m)
		apply(t, m, r.Define("sales", sales))
		a.Shards[0].Append(
			projectiontest.Event{Entity: "x", Type: "Added", Data: added{"stub", 0}}, // sum 0: removed again
			projectiontest.Event{Entity: "x", Type: "Divided", Data: divided{0}},     // locks "divided", then fails
			projectiontest.Event{Entity: "y", Type: "Added", Data: added{"real", 1}},
		)
		wait(t, m, "sales", a.Head())
		if diff := cmp.Diff(map[string]string{`"real"`: `{"sum":1}`}, r.Rows("sales")); diff != "" {
			t.Errorf("rows (-want +got):\n%s", diff)
		}
		// Not even a reader of the table itself sees them.
		var n int
		if err := r.DB.Reader.QueryRowContext(t.Context(), `SELECT count(*) FROM "_projection_1_v1"`).Scan(&n); err != nil || n != 1 {
			t.Errorf("the table has %d rows (%v), want 1", n, err)
		}
	})
}

// A transaction that hangs must not keep a process from ending: nothing is lost
// with it, and another does it again.
func TestClosingWaitsForATransactionOnlySoLong(t *testing.T) {
	r := projectiontest.Postgres(t)
	a := r.Aggregate("till", 1, till)
	m := r.Manager()
	a.Own(m)
	apply(t, m, r.Define("totals", totals))
	wait(t, m, "totals", a.Append("x", "Added", added{"", 1}))
	inTheWay, err := r.DB.Writer.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer inTheWay.Rollback() //nolint:errcheck // it is in the way, nothing else
	if _, err := inTheWay.ExecContext(t.Context(), "SELECT FROM projection_offset FOR UPDATE"); err != nil {
		t.Fatal(err)
	}
	a.Append("x", "Added", added{"", 1})
	eventually(t, "the worker's transaction waits for the lock", func() bool {
		var n int
		err := r.DB.Writer.QueryRowContext(t.Context(), `SELECT count(*) FROM pg_locks l
			WHERE NOT l.granted AND l.pid <> pg_backend_pid() AND pg_blocking_pids(l.pid) && ARRAY(
				SELECT pid FROM pg_locks WHERE relation = 'projection_offset'::regclass)`).Scan(&n)
		return err == nil && n > 0
	})
	began := time.Now()
	m.Close()
	if took := time.Since(began); took > 6*time.Second { // without a bound it is the lock's, 10 s
		t.Errorf("closing took %s", took)
	}
}
