package postgres_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/leftfold/leftfold/api/postgres/pgtest"
	"github.com/leftfold/leftfold/runtime/eventstore"
	"github.com/leftfold/leftfold/runtime/eventstore/postgres"
)

// A pool that has no connection gets one, however busy those are that have more.
func TestNoPoolIsLeftWithoutAConnectionWhereThereAreFew(t *testing.T) {
	t.Parallel()
	database := pgtest.Start(t)
	admin, err := database.Superuser(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close(t.Context())
	s := reopen(t, postgres.Options{URL: database.URL()})
	id := aggregate(t, s, 1)[0]
	var (
		reads   atomic.Int64
		reading sync.WaitGroup
		stop    = make(chan struct{})
	)
	for range 8 {
		reading.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if _, err := s.ReadShard(t.Context(), id, 0, 1); err == nil {
					reads.Add(1)
				}
			}
		})
	}
	defer reading.Wait()
	defer close(stop)
	o := claim(t, s, id, 0)
	for round := range 5 {
		// A pool needs one, and control two.
		exec(t, admin, fmt.Sprintf("ALTER ROLE leftfold CONNECTION LIMIT %d", 5+round%2))
		exec(t, admin, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'leftfold'")
		within(t, "a check", func() error {
			_, err := s.Check(t.Context(), []eventstore.Tenure{{Lease: o.lease}})
			return err
		})
		within(t, "an append", func() error {
			r := one(t, s, o.batch("anna", `{}`, 0))
			if r.Status == eventstore.Appended {
				return nil
			}
			return fmt.Errorf("%v: %w", r.Status, r.Err)
		})
		within(t, "a projection's transaction", func() error {
			tx, err := s.ProjectionDB().BeginTx(t.Context(), nil)
			if err != nil {
				return err
			}
			return tx.Commit()
		})
		before := reads.Load()
		within(t, "a read", func() error {
			if reads.Load() == before {
				return fmt.Errorf("none of the readers has read")
			}
			return nil
		})
	}
}

// within tries until there is no error.
func within(t *testing.T, what string, try func() error) {
	t.Helper()
	begun := time.Now()
	var last error
	defer func() {
		if last != nil {
			t.Log(last)
		}
	}()
	eventually(t, what, func() bool {
		last = try()
		return last == nil
	})
	t.Logf("%s: after %v", what, time.Since(begun).Round(time.Millisecond))
}
