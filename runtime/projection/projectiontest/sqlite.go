package projectiontest

import (
	"database/sql"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/leftfold/leftfold/runtime/eventstore/storetest/memory"
	"github.com/leftfold/leftfold/runtime/projection"
)

// SQLite gives a rig on a file of its own.
func SQLite(t testing.TB) *Rig {
	t.Helper()
	file := "file:" + filepath.Join(t.TempDir(), "x.db")
	w, _ := sql.Open("sqlite", file+"?_txlock=immediate&_pragma=journal_mode(wal)&_pragma=synchronous(full)&_pragma=busy_timeout(5000)")
	w.SetMaxOpenConns(1)
	r, _ := sql.Open("sqlite", file+"?_pragma=busy_timeout(5000)&_pragma=query_only(1)")
	t.Cleanup(func() { w.Close(); r.Close() })
	_, here, _, _ := runtime.Caller(0)
	b, err := os.ReadFile(filepath.Join(filepath.Dir(here), "../../eventstore/sqlite/migrations/00002_projection.sql"))
	if err != nil {
		t.Fatal(err)
	}
	up, _, _ := strings.Cut(string(b), "-- +goose Down")
	if _, err := w.Exec(up); err != nil {
		t.Fatal(err)
	}
	return newRig(t, memory.New(memory.Options{}), projection.DB{Writer: w, Reader: r, Dialect: projection.SQLite{}})
}
