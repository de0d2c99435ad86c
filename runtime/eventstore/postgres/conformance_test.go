package postgres_test

import (
	"context"
	"testing"

	"go.uber.org/goleak"

	"github.com/leftfold/leftfold/runtime/eventstore/postgres"
	"github.com/leftfold/leftfold/runtime/eventstore/postgres/pgtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// open opens a store in a schema of its own and closes it with the test.
func open(t testing.TB, change ...func(*postgres.Options)) *postgres.Store {
	t.Helper()
	o := postgres.Options{URL: pgtest.URL(t), Schema: pgtest.Schema(t)}
	for _, c := range change {
		c(&o)
	}
	return reopen(t, o)
}

func reopen(t testing.TB, o postgres.Options) *postgres.Store {
	t.Helper()
	s, err := postgres.Open(context.Background(), o)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return s
}
