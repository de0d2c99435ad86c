package postgres

import (
	"context"
	"net/url"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/leftfold/leftfold/api/postgres/pgtest"
)

// rig is a visit to a schema that no other test has.
type rig struct {
	*Database
	url, schema string
}

func newRig(t *testing.T) *rig {
	t.Helper()
	r := &rig{url: pgtest.URL(t), schema: pgtest.Schema(t)}
	r.Database = visit(t, r.url, r.schema)
	return r
}

// migrated is a rig whose schema has all tables.
func migrated(t *testing.T) *rig {
	t.Helper()
	r := newRig(t)
	if _, err := r.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	return r
}

func visit(t *testing.T, url, schema string) *Database {
	t.Helper()
	config, err := ParseURL(url, Network{})
	if err != nil {
		t.Fatal(err)
	}
	d, err := Open(t.Context(), config, schema)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	return d
}

// as is the URL for another role.
func as(t *testing.T, text, role, password string) string {
	t.Helper()
	u, err := url.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.UserPassword(role, password)
	return u.String()
}

// run runs statements in the rig's schema.
func (r *rig) run(t *testing.T, sql string, args ...any) {
	t.Helper()
	if _, err := r.pool.Exec(context.Background(), sql, args...); err != nil {
		t.Fatal(err)
	}
}

// is tells whether a query about the rig's schema answers true.
func (r *rig) is(t *testing.T, query string, args ...any) bool {
	t.Helper()
	var is bool
	if err := r.pool.QueryRow(t.Context(), query, args...).Scan(&is); err != nil {
		t.Fatal(err)
	}
	return is
}

func (r *rig) schemaExists(t *testing.T) bool {
	t.Helper()
	return r.is(t, "SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = $1)", r.schema)
}

func (r *rig) tableExists(t *testing.T, name string) bool {
	t.Helper()
	return r.is(t, "SELECT to_regclass($1) IS NOT NULL", pgx.Identifier{r.schema, name}.Sanitize())
}
