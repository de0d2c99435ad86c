package postgres_test

import (
	"context"
	"log/slog"
	"testing"

	"go.uber.org/goleak"

	"github.com/leftfold/leftfold/api/postgres/pgtest"
	"github.com/leftfold/leftfold/runtime/eventstore"
	"github.com/leftfold/leftfold/runtime/eventstore/postgres"
	"github.com/leftfold/leftfold/runtime/eventstore/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestConformance(t *testing.T) {
	storetest.Run(t, func(t *testing.T) eventstore.Store { return open(t) },
		storetest.WithReopen(func(t *testing.T, s eventstore.Store) eventstore.Store {
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			old, ok := s.(*postgres.Store)
			if !ok {
				t.Fatalf("reopen %T", s)
			}
			return reopen(t, postgres.Options{URL: pgtest.URL(t), Schema: old.Schema()})
		}))
}

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
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
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
