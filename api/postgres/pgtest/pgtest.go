package pgtest

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

var shared = sync.OnceValues(func() (*Server, error) { return Launch() })

// URL returns the URL of the server that all tests of this process share, and
// starts it when need be. The test is skipped where PostgreSQL's binaries are
// missing, which continuous integration forbids.
func URL(t testing.TB) string {
	t.Helper()
	if url := os.Getenv("LEFTFOLD_TEST_POSTGRES"); url != "" {
		return url
	}
	s, err := shared()
	require(t, err)
	return s.URL()
}

// Schema returns the name of a schema on that server that no other test has. It
// does not exist yet; it is dropped when the test ends.
func Schema(t testing.TB) string {
	t.Helper()
	return SchemaOn(t, URL(t))
}

// SchemaOn is Schema on the server with the given URL.
func SchemaOn(t testing.TB, url string) string {
	t.Helper()
	random := make([]byte, 8)
	_, _ = rand.Read(random) // never fails, says crypto/rand
	schema := "test_" + hex.EncodeToString(random)
	t.Cleanup(func() { drop(t, url, schema) })
	return schema
}

// Start starts a server for this test alone and stops it when the test ends.
// Each setting is a line of postgresql.conf, such as "wal_level = logical".
func Start(t testing.TB, settings ...string) *Server {
	t.Helper()
	s, err := Launch(settings...)
	require(t, err)
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Errorf("stop the private PostgreSQL: %v", err)
		}
	})
	return s
}

func require(t testing.TB, err error) {
	t.Helper()
	switch {
	case errors.Is(err, ErrNoBinaries):
		t.Skipf("SKIPPED, this proves nothing about PostgreSQL: %v", err)
	case err != nil:
		t.Fatalf("start a private PostgreSQL: %v", err)
	}
}

func drop(t testing.TB, url, schema string) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return // the server is gone, by the test's own doing
	}
	defer conn.Close(ctx)
	if _, err := conn.Exec(ctx, "DROP SCHEMA IF EXISTS "+pgx.Identifier{schema}.Sanitize()+" CASCADE"); err != nil {
		t.Errorf("drop schema %s: %v", schema, err)
	}
}
