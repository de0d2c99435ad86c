package projection_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/leftfold/leftfold/runtime/eventstore"
	"github.com/leftfold/leftfold/runtime/projection"
	"github.com/leftfold/leftfold/runtime/projection/projectiontest"
	"github.com/leftfold/leftfold/runtime/projection/table"
)

// doubled is totals with another meaning and another column.
var doubled = strings.NewReplacer(
	"row.sum + event.amount", "row.sum + 2 * event.amount",
	"{name: seen, type: int}", "{name: seen, type: string}",
	`"row.seen + 1"`, `"row.seen + 'x'"`,
).Replace(totals)

// tables counts the physical tables of projections.
func tables(t *testing.T, r *projectiontest.Rig) (n int) {
	t.Helper()
	query := `SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name LIKE '\_projection%' ESCAPE '\'`
	if r.DB.Name() == "postgres" {
		query = `SELECT count(*) FROM pg_tables WHERE schemaname = current_schema() AND tablename LIKE '\_projection%'`
	}
	if err := r.DB.Reader.QueryRowContext(t.Context(), query).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestAChangedDefinitionTakesOverWhileEventsComeIn(t *testing.T) {
	projectiontest.Each(t, func(t *testing.T, r *projectiontest.Rig) {
		a := r.Aggregate("till", 3, till)
		m := r.Manager()
		a.Own(m)
		apply(t, m, r.Define("totals", totals))
		for i := range 100 {
			a.Append(fmt.Sprintf("e%d", i%7), "Added", added{"", 1})
		}
		wait(t, m, "totals", a.Head())

		stop := make(chan struct{})
		var readers, writers sync.WaitGroup
		end := sync.OnceFunc(func() {
			close(stop)
			writers.Wait()
			readers.Wait()
		})
		defer end()
		writers.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
					p := a.Append(fmt.Sprintf("e%d", i%7), "Added", added{"", 1})
					if i%50 == 49 { // writers that nobody can keep up with prove nothing
						if err := m.Wait(context.Background(), "totals", p, patience); err != nil {
							t.Errorf("wait: %v", err)
							return
						}
					}
				}
			}
		})
		readers.Go(func() { readOnAndOn(t, r, stop) })
		apply(t, m, r.Define("totals", doubled))
		eventually(t, "the second version serves, alone", func() bool {
			s := status(t, m, "totals")
			return s.Version == 2 && s.Next == 0 && tables(t, r) == 1
		})
		end()
		wait(t, m, "totals", a.Head())

		want, counts := map[string]string{}, map[string]int{}
		for _, s := range a.Shards {
			all, _, _ := s.Committed(0, 1<<30)
			for _, e := range all {
				counts[e.Entity]++
			}
		}
		for entity, n := range counts {
			want[fmt.Sprintf("%q", entity)] = fmt.Sprintf(`{"seen":%q,"sum":%d}`, strings.Repeat("x", n), 2*n)
		}
		if diff := cmp.Diff(want, r.Rows("totals")); diff != "" {
			t.Errorf("rows (-want +got):\n%s", diff)
		}
	})
}

// readOnAndOn reads as programs and people do while versions change: through
// the API, whose position never goes back, and through the view.
func readOnAndOn(t *testing.T, r *projectiontest.Rig, stop <-chan struct{}) {
	var last eventstore.Position
	reader := table.Reader{DB: r.DB}
	for n := 0; ; n++ {
		select {
		case <-stop:
			if n < 10 {
				t.Errorf("only %d reads", n)
			}
			return
		default:
		}
		page, err := reader.Query(context.Background(), "totals", table.Query{})
		if err != nil {
			t.Errorf("a read: %v", err)
			return
		}
		if !page.Position.Covers(last) {
			t.Errorf("the position went back from %v to %v", last, page.Position)
		}
		last = page.Position
		var rows int
		if err := r.DB.Reader.QueryRowContext(context.Background(), `SELECT count(*) FROM totals`).Scan(&rows); err != nil || rows != 7 {
			t.Errorf("a read through the view gives %d rows, %v; want 7", rows, err)
			return
		}
	}
}

func TestARebuildMakesTheRowsAnew(t *testing.T) {
	projectiontest.Each(t, func(t *testing.T, r *projectiontest.Rig) {
		a := r.Aggregate("till", 2, till)
		m := r.Manager()
		a.Own(m)
		apply(t, m, r.Define("totals", totals))
		wait(t, m, "totals", a.Append("x", "Added", added{"", 5}))
		if _, err := r.DB.Writer.ExecContext(t.Context(), `DELETE FROM "_projection_1_v1"`); err != nil {
			t.Fatal(err)
		}
		if err := m.Rebuild(t.Context(), "totals"); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the rebuilt version serves", func() bool { return status(t, m, "totals").Version == 2 })
		if rows := r.Rows("totals"); rows[`"x"`] != `{"seen":1,"sum":5}` {
			t.Errorf("rows: %v, want the lost one back", rows)
		}
	})
}

func TestAVersionThatParksMoreDoesNotTakeOver(t *testing.T) {
	projectiontest.Each(t, func(t *testing.T, r *projectiontest.Rig) {
		a := r.Aggregate("till", 2, till)
		m := r.Manager()
		a.Own(m)
		apply(t, m, r.Define("totals", totals))
		a.Append("x", "Added", added{"", 5})
		wait(t, m, "totals", a.Append("y", "Added", added{"", 0}))
		apply(t, m, r.Define("totals", strings.Replace(totals, "row.sum + event.amount", "10 / event.amount", 1)))
		eventually(t, "the new version is blocked", func() bool {
			s := status(t, m, "totals")
			return s.State == projection.Blocked && s.NextLagEvents == 0 && len(s.NextParked) == 1 && s.NextParked[0].Entity == "y"
		})
		// Any command looks at the versions before it returns.
		if err := m.Resume(t.Context(), "totals"); err != nil {
			t.Fatal(err)
		}
		wait(t, m, "totals", a.Append("x", "Added", added{"", 1}))
		if rows := r.Rows("totals"); rows[`"x"`] != `{"seen":2,"sum":6}` {
			t.Errorf("rows: %v, want the old version to go on", rows)
		}
		apply(t, m, r.Define("totals", totals))
		if s := status(t, m, "totals"); s.State != projection.Live || s.Version != 1 {
			t.Errorf("after the definition went back it is %+v, want the first version, live", s)
		}
		eventually(t, "the blocked version is gone", func() bool { return tables(t, r) == 1 })
	})
}

func TestAnOldVersionGoesOnAfterARestart(t *testing.T) {
	projectiontest.Each(t, func(t *testing.T, r *projectiontest.Rig) {
		a := r.Aggregate("till", 2, till)
		m := r.Manager()
		a.Own(m)
		apply(t, m, r.Define("totals", totals))
		wait(t, m, "totals", a.Append("x", "Added", added{"", 0}))
		m.Close()

		// The new process knows the new definition only, which cannot take over.
		m = r.Manager()
		a.Own(m)
		apply(t, m, r.Define("totals", strings.Replace(totals, "row.sum + event.amount", "10 / event.amount", 1)))
		wait(t, m, "totals", a.Append("y", "Added", added{"", 2}))
		want := map[string]string{`"x"`: `{"seen":1,"sum":0}`, `"y"`: `{"seen":1,"sum":2}`}
		if diff := cmp.Diff(want, r.Rows("totals")); diff != "" {
			t.Errorf("rows (-want +got):\n%s", diff)
		}
		if s := status(t, m, "totals"); s.Version != 1 || s.State != projection.Blocked {
			eventually(t, "the new version is blocked", func() bool { return status(t, m, "totals").State == projection.Blocked })
		}
	})
}

func TestARestartResumesWhereItWas(t *testing.T) {
	projectiontest.Each(t, func(t *testing.T, r *projectiontest.Rig) {
		a := r.Aggregate("till", 2, till)
		for i := range 4 {
			m := r.Manager()
			a.Own(m)
			apply(t, m, r.Define("totals", totals))
			a.Append("x", "Added", added{"", 1})
			wait(t, m, "totals", a.Head())
			m.Close()
			a.Append("x", "Added", added{"", 10}) // nobody sees this one yet
			if want, got := fmt.Sprintf(`{"seen":%d,"sum":%d}`, 2*i+1, 11*i+1), r.Rows("totals")[`"x"`]; got != want {
				t.Fatalf("round %d: %s, want %s", i, got, want)
			}
		}
		if n := tables(t, r); n != 1 {
			t.Errorf("there are %d tables, want the one", n)
		}
	})
}

func TestATableNameBelongsToOneProjection(t *testing.T) {
	projectiontest.Each(t, func(t *testing.T, r *projectiontest.Rig) {
		r.Aggregate("till", 1, till)
		m := r.Manager()
		named := func(name string) string { return strings.Replace(totals, "table:", "table:\n  name: "+name, 1) }
		apply(t, m, r.Define("first", named("shared")))
		for _, c := range []struct{ name, relation, says string }{
			{"another projection's", "shared", "first"},
			{"a table of the store", "event", "event"},
			{"a table of projections", "projection_offset", "projection_offset"},
		} {
			err := m.Apply(t.Context(), []projection.Definition{r.Define("first", named("shared")), r.Define("second", named(c.relation))})
			var of *projection.DefinitionError
			if !errors.Is(err, projection.ErrTableNameTaken) || !errors.As(err, &of) || of.Projection != "second" || !strings.Contains(err.Error(), c.says) {
				t.Errorf("taking %s: %v, want TableNameTaken of projection second that names %s", c.name, err, c.says)
			}
		}
		// A name is free again when its projection has taken another.
		apply(t, m, r.Define("first", named("elsewhere")))
		eventually(t, "the renamed version serves, alone", func() bool { return status(t, m, "first").Relation == "elsewhere" && tables(t, r) == 1 })
		apply(t, m, r.Define("first", named("elsewhere")), r.Define("second", named("shared")))
	})
}

func TestASourceSharedByTwoAggregatesIsLocked(t *testing.T) {
	projectiontest.Each(t, func(t *testing.T, r *projectiontest.Rig) {
		a, b := r.Aggregate("till", 1, till), r.Aggregate("shelf", 1, till)
		m := r.Manager()
		a.Own(m)
		b.Own(m)
		apply(t, m, r.Define("both", `
sources: [{aggregate: till}, {aggregate: shelf}]
table:
  key: {name: id, type: string, value: meta.entity}
  columns: [{name: sum, type: int}]
  apply:
  - {aggregate: till, event: Added, set: {sum: "row.sum + event.amount"}}
  - {aggregate: shelf, event: Added, set: {sum: "row.sum + event.amount"}}
`))
		var wg sync.WaitGroup
		for _, x := range []*projectiontest.Aggregate{a, b} {
			wg.Go(func() {
				for range 200 {
					x.Append("same", "Added", added{"", 1})
				}
			})
		}
		wg.Wait()
		wait(t, m, "both", a.Head())
		wait(t, m, "both", b.Head())
		if rows := r.Rows("both"); rows[`"same"`] != `{"sum":400}` {
			t.Errorf("rows: %v, want both aggregates' events: 400", rows)
		}
	})
}

// Somebody has a transaction open that reads the old view: everything else goes
// on, and the view follows when they are done.
func TestTheViewFollowsWithoutHoldingReadersUp(t *testing.T) {
	r := projectiontest.Postgres(t)
	a := r.Aggregate("till", 1, till)
	m := r.Manager()
	a.Own(m)
	apply(t, m, r.Define("totals", totals))
	wait(t, m, "totals", a.Append("x", "Added", added{"", 1}))

	slow, err := r.DB.Reader.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer slow.Rollback() //nolint:errcheck // it has only read
	sum := func(q interface {
		QueryRowContext(context.Context, string, ...any) *sql.Row
	}) (n int) {
		if err := q.QueryRowContext(t.Context(), `SELECT sum FROM totals WHERE till = 'x'`).Scan(&n); err != nil {
			t.Fatalf("read the view: %v", err)
		}
		return n
	}
	if got := sum(slow); got != 1 {
		t.Fatalf("the view has %d", got)
	}
	apply(t, m, r.Define("totals", doubled))
	eventually(t, "the API reads the new version", func() bool { return strings.Contains(r.Rows("totals")[`"x"`], `"sum":2`) })
	for range 20 {
		if got := sum(r.DB.Reader); got != 1 {
			t.Fatalf("the view has %d while somebody reads the old version in a transaction", got)
		}
	}
	if err := slow.Commit(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the view shows the new version, and the old table is gone", func() bool {
		return sum(r.DB.Reader) == 2 && tables(t, r) == 1
	})
}
