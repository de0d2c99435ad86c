package postgres

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"go.uber.org/goleak"

	"github.com/leftfold/leftfold/api/postgres/pgtest"
)

var (
	bank  = Owner{Cluster: "c1", Namespace: "team", Name: "bank", UID: "1"}
	again = Owner{Cluster: "c1", Namespace: "team", Name: "bank", UID: "2"}
	other = Owner{Cluster: "c2", Namespace: "team", Name: "bank", UID: "3"}
)

func TestASchemaBelongsToOneEventStore(t *testing.T) {
	for name, test := range map[string]struct {
		before *Owner // who has it
		from   string // whose place is taken
		inUse  bool
		change bool
	}{
		"a schema that is nobody's": {change: true},
		"its own":                   {before: &bank},
		"its own, before the object was made again":                 {before: &again, change: true},
		"another cluster's":                                         {before: &other, inUse: true},
		"another's, who is known to be gone":                        {before: &other, from: other.String(), change: true},
		"another's, while somebody else is known to be gone":        {before: &other, from: "c3/team/bank", inUse: true},
		"nobody's, while somebody is known to be gone":              {from: other.String(), change: true},
		"its own, while somebody is still said to be known as gone": {before: &bank, from: other.String()},
	} {
		t.Run(name, func(t *testing.T) {
			r := migrated(t)
			if test.before != nil {
				if _, err := r.Claim(t.Context(), *test.before, ""); err != nil {
					t.Fatal(err)
				}
			}
			may := r.MayClaim(t.Context(), bank, test.from)
			changed, err := r.Claim(t.Context(), bank, test.from)
			var inUse *InUseError
			if errors.As(err, &inUse) != test.inUse || errors.As(may, &inUse) != test.inUse || changed != test.change || !test.inUse && err != nil {
				t.Fatalf("changed is %v, error %v, and before it %v; want changed %v, in use %v", changed, err, may, test.change, test.inUse)
			}
			owner, uid, err := r.owner(t.Context())
			switch {
			case err != nil:
				t.Fatal(err)
			case test.inUse && (owner != other.String() || inUse.Owner != owner):
				t.Errorf("it belongs to %s, the error names %s; want both %s", owner, inUse.Owner, other)
			case !test.inUse && (owner != bank.String() || uid != bank.UID):
				t.Errorf("it belongs to %s with UID %s; want %s, %s", owner, uid, bank, bank.UID)
			}
		})
	}
}

func TestOfManyWhoClaimASchemaOneGetsIt(t *testing.T) {
	r := migrated(t)
	var wait sync.WaitGroup
	claims := make([]error, 8)
	for i := range claims {
		wait.Go(func() {
			_, claims[i] = r.Claim(t.Context(), Owner{Cluster: "c", Namespace: "team", Name: fmt.Sprint(i)}, "")
		})
	}
	wait.Wait()
	won := 0
	for _, err := range claims {
		var inUse *InUseError
		switch {
		case err == nil:
			won++
		case !errors.As(err, &inUse):
			t.Error(err)
		}
	}
	if won != 1 {
		t.Errorf("%d got the schema", won)
	}
}

func TestAReleasedSchemaIsFreeAndKeepsItsData(t *testing.T) {
	r := migrated(t)
	r.run(t, "INSERT INTO aggregate (name, shards) VALUES ('account', 4)")
	if _, err := r.Claim(t.Context(), bank, ""); err != nil {
		t.Fatal(err)
	}
	if released, err := r.Release(t.Context(), other); err != nil || released {
		t.Errorf("another released it: %v, %v", released, err)
	}
	if released, err := r.Release(t.Context(), again); err != nil || !released {
		t.Fatalf("released is %v, %v; want true", released, err)
	}
	if _, err := r.Claim(t.Context(), other, ""); err != nil {
		t.Errorf("the next one cannot have it: %v", err)
	}
	if !r.is(t, "SELECT count(*) = 1 FROM aggregate") {
		t.Error("the data is gone")
	}
}

func TestADropTakesAllThatLeftfoldMadeAndNothingElse(t *testing.T) {
	for name, test := range map[string]struct {
		before string
		kept   []string // what is still there; the schema goes when nothing is
	}{
		"the tables of the log": {"", nil},
		"tables and views of projections, and views on them": {
			`INSERT INTO projection_relation (relation, projection) VALUES ('balances', 1);
			 CREATE TABLE _projection_1_v2 (a text); CREATE VIEW balances AS SELECT a FROM _projection_1_v2;
			 CREATE VIEW report AS SELECT a FROM balances`, nil},
		"not tables of others in the schema": {
			"CREATE TABLE diary (a text); CREATE TABLE _projection_notes (a text)", []string{"diary", "_projection_notes"}},
	} {
		t.Run(name, func(t *testing.T) {
			r := migrated(t)
			if _, err := r.Claim(t.Context(), bank, ""); err != nil {
				t.Fatal(err)
			}
			if test.before != "" {
				r.run(t, test.before)
			}
			if dropped, err := r.Drop(t.Context(), bank); err != nil || !dropped {
				t.Fatalf("dropped is %v, %v; want true", dropped, err)
			}
			if exists := r.schemaExists(t); exists != (test.kept != nil) {
				t.Errorf("the schema exists: %v", exists)
			}
			if n := r.count(t, "SELECT count(*) FROM pg_class WHERE relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = $1)", r.schema); n != len(test.kept) {
				t.Errorf("%d things are in the schema, want %d", n, len(test.kept))
			}
			for _, table := range test.kept {
				if !r.tableExists(t, table) {
					t.Errorf("%s is gone", table)
				}
			}
			if dropped, err := r.Drop(t.Context(), bank); err != nil || dropped {
				t.Errorf("dropped again: %v, %v", dropped, err)
			}
		})
	}
}

func TestNobodyDropsTheSchemaOfAnother(t *testing.T) {
	r := migrated(t)
	for name, owner := range map[string]*Owner{"nobody's": nil, "another's": &other} {
		t.Run(name, func(t *testing.T) {
			if owner != nil {
				if _, err := r.Claim(t.Context(), *owner, ""); err != nil {
					t.Fatal(err)
				}
			}
			if dropped, err := r.Drop(t.Context(), bank); err != nil || dropped || !r.tableExists(t, "event") {
				t.Errorf("dropped is %v, %v; want nothing touched", dropped, err)
			}
		})
	}
}

func TestASchemaIsNotDroppedUnderLivingProcesses(t *testing.T) {
	r := migrated(t)
	if _, err := r.Claim(t.Context(), bank, ""); err != nil {
		t.Fatal(err)
	}
	beat := func(incarnation, runtime string, ago time.Duration) {
		r.run(t, `INSERT INTO member VALUES ($1, $2, '', clock_timestamp() - $3::interval)
			ON CONFLICT (incarnation) DO UPDATE SET heartbeat = excluded.heartbeat`, incarnation, runtime, ago)
	}
	beat("a", "bank", 0)
	beat("b", "bank", 0)
	beat("c", "shop", 5*time.Second)
	beat("d", "gone", time.Minute)
	_, err := r.Drop(t.Context(), bank)
	var living *LivingError
	if !errors.As(err, &living) || strings.Join(living.Runtimes, " ") != "bank shop" {
		t.Fatalf("got %v; want a LivingError of bank and shop", err)
	}
	if !r.tableExists(t, "event") {
		t.Fatal("the log is gone")
	}
	for _, incarnation := range []string{"a", "b", "c"} {
		beat(incarnation, "bank", 11*time.Second)
	}
	if dropped, err := r.Drop(t.Context(), bank); err != nil || !dropped {
		t.Errorf("after their last heartbeats: dropped is %v, %v", dropped, err)
	}
}

func TestADropThatSomebodyHoldsUpGivesUpAndLeavesAll(t *testing.T) {
	r := migrated(t)
	if _, err := r.Claim(t.Context(), bank, ""); err != nil {
		t.Fatal(err)
	}
	reader, err := pgx.Connect(t.Context(), r.url)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close(t.Context())
	if _, err := reader.Exec(t.Context(), fmt.Sprintf("BEGIN; LOCK TABLE %q.event IN ACCESS SHARE MODE", r.schema)); err != nil {
		t.Fatal(err)
	}
	if dropped, err := r.Drop(t.Context(), bank); err == nil || dropped {
		t.Errorf("dropped is %v, %v; want an error", dropped, err)
	}
	if !r.tableExists(t, "snapshot") || !r.tableExists(t, "owner") {
		t.Error("some tables are gone")
	}
}

func TestNoErrorTellsThePassword(t *testing.T) {
	const password = "hunter-two"
	for name, url := range map[string]string{
		"a URL that does not parse":      "postgres://u:" + password + "@@host:5432:5/d",
		"a password with a stray @":      "postgres://u:" + password + "@x@host/d",
		"a server that is not there":     "postgres://u:" + password + "@127.0.0.1:1/d",
		"a password that is wrong":       as(t, pgtest.URL(t), "nobody", password),
		"keepalives that are no numbers": "postgres://u:" + password + "@h/d?keepalives_idle=" + password,
	} {
		t.Run(name, func(t *testing.T) {
			config, err := ParseURL(url, Network{})
			if err == nil {
				var d *Database
				if d, err = Open(t.Context(), config, "x"); err == nil {
					d.Close()
				}
			}
			if err == nil || strings.Contains(fmt.Sprintf("%v %+v", err, err), password) {
				t.Errorf("got %v; want an error without the password", err)
			}
		})
	}
}

func TestAVisitLeavesNoConnectionAndNoGoroutine(t *testing.T) {
	url, schema := pgtest.URL(t), pgtest.Schema(t)
	before := goleak.IgnoreCurrent()
	config, err := ParseURL(url, Network{})
	if err != nil {
		t.Fatal(err)
	}
	d, err := Open(t.Context(), config, schema)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	d.Close()
	goleak.VerifyNone(t, before)
}
