package projectiontest

import (
	"log/slog"
	"testing"

	"github.com/leftfold/leftfold/api/language"
	"github.com/leftfold/leftfold/api/postgres/pgtest"
	"github.com/leftfold/leftfold/runtime/eventstore"
	"github.com/leftfold/leftfold/runtime/eventstore/postgres"
	"github.com/leftfold/leftfold/runtime/eventstore/sqlite"
	"github.com/leftfold/leftfold/runtime/projection"
)

// Each runs a test on every store.
func Each(t *testing.T, test func(t *testing.T, r *Rig)) {
	t.Helper()
	t.Run("PostgreSQL", func(t *testing.T) { test(t, Postgres(t)) })
	t.Run("SQLite", func(t *testing.T) { test(t, SQLite(t)) })
}

// Postgres gives a rig on a schema of its own.
func Postgres(t testing.TB, change ...func(*postgres.Options)) *Rig {
	t.Helper()
	o := postgres.Options{URL: pgtest.URL(t), Schema: pgtest.Schema(t), Logger: Logger(t)}
	for _, f := range change {
		f(&o)
	}
	store, err := postgres.Open(t.Context(), o)
	if err != nil {
		t.Fatalf("open PostgreSQL: %v", err)
	}
	db := store.ProjectionDB()
	return newRig(t, store, projection.DB{Writer: db, Reader: db, Dialect: projection.Postgres{}})
}

// SQLite gives a rig on a folder of its own.
func SQLite(t testing.TB) *Rig {
	t.Helper()
	store, err := sqlite.Open(t.Context(), sqlite.Options{Dir: t.TempDir(), Logger: Logger(t)})
	if err != nil {
		t.Fatalf("open SQLite: %v", err)
	}
	writer, reader := store.ProjectionDB()
	return newRig(t, store, projection.DB{Writer: writer, Reader: reader, Dialect: projection.SQLite{}})
}

func newRig(t testing.TB, store eventstore.Store, db projection.DB) *Rig {
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Errorf("close the store: %v", err)
		}
	})
	return &Rig{T: t, Store: store, DB: db, compiled: map[string]*language.Aggregate{}}
}

// Logger writes to the test's own log, which is shown when it fails.
func Logger(t testing.TB) *slog.Logger {
	return slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))
}
