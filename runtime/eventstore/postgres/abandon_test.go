package postgres_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/leftfold/leftfold/api/postgres/pgtest"
	"github.com/leftfold/leftfold/runtime/eventstore"
	"github.com/leftfold/leftfold/runtime/eventstore/postgres"
)

// patience bounds every wait of these tests.
const patience = 30 * time.Second

// eventually polls until the condition holds.
func eventually(t testing.TB, what string, condition func() bool) {
	t.Helper()
	deadline := time.After(patience)
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	for !condition() {
		select {
		case <-ticker.C:
		case <-deadline:
			t.Fatalf("never: %s", what)
		}
	}
}

// receive waits for a value.
func receive[T any](t testing.TB, from <-chan T) (value T) {
	t.Helper()
	select {
	case value = <-from:
	case <-time.After(patience):
		t.Fatal("never came back")
	}
	return value
}

// session is a plain connection of the given URL that sees the store's schema.
func session(t testing.TB, url string, s *postgres.Store) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	exec(t, conn, "SET search_path TO "+pgx.Identifier{s.Schema()}.Sanitize())
	return conn
}

func exec(t testing.TB, conn *pgx.Conn, sql string, args ...any) {
	t.Helper()
	if _, err := conn.Exec(t.Context(), sql, args...); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

// waiting tells how many sessions of the database wait for a lock.
func waiting(t testing.TB, conn *pgx.Conn, waitEventType string) (n int) {
	t.Helper()
	err := conn.QueryRow(t.Context(), `SELECT count(*) FROM pg_stat_activity
		WHERE wait_event_type = $1 AND datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'
		AND state = 'active'`, waitEventType).Scan(&n)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// appending waits until one append waits for a row, and gives its server process.
func appending(t testing.TB, conn *pgx.Conn) (process uint32) {
	t.Helper()
	eventually(t, "the append waits for the row", func() bool { return waiting(t, conn, "Lock") == 1 })
	err := conn.QueryRow(t.Context(), `SELECT pid FROM pg_stat_activity
		WHERE wait_event_type = 'Lock' AND datname = current_database() AND state = 'active'`).Scan(&process)
	if err != nil {
		t.Fatal(err)
	}
	return process
}

// tapped opens a store behind a tap, with a shard and its owner.
func tapped(t testing.TB, change ...func(*postgres.Options)) (*tap, *postgres.Store, *owner) {
	t.Helper()
	url := pgtest.URL(t)
	p := newTap(t, host(t, url))
	s := open(t, append(change, func(o *postgres.Options) { o.URL = p.through(t, url) })...)
	return p, s, claim(t, s, aggregate(t, s, 1)[0], 0)
}

func TestAnAppendWhoseContextEndsRunsOnAndIsNotCancelled(t *testing.T) {
	p, s, o := tapped(t)
	holder := session(t, pgtest.URL(t), s)
	exec(t, holder, "BEGIN")
	exec(t, holder, "SELECT FROM shard FOR UPDATE")

	ctx, cancel := context.WithCancel(t.Context())
	results := make(chan eventstore.AppendResult, 1)
	b := o.batch("anna", `{"n":1}`, 3)
	go func() { results <- s.Append(ctx, []eventstore.Batch{b})[0] }()
	watcher := session(t, pgtest.URL(t), s)
	process := appending(t, watcher)
	cancel()
	if r := receive(t, results); r.Status != eventstore.Unknown || !errors.Is(r.Err, context.Canceled) {
		t.Fatalf("abandoned append: status %d, %v; want Unknown, context canceled", r.Status, r.Err)
	}
	exec(t, holder, "COMMIT")
	eventually(t, "the abandoned append commits", func() bool { return len(log(t, s, o.lease.Shard)) == 3 })
	if p.cancelled(process) {
		t.Error("the append was asked to be cancelled")
	}
}

func TestABrokenSocketSendsNoCancelRequestForAnAppend(t *testing.T) {
	p, s, o := tapped(t)
	holder := session(t, pgtest.URL(t), s)
	exec(t, holder, "BEGIN")
	exec(t, holder, "SELECT FROM shard FOR UPDATE")

	results := make(chan eventstore.AppendResult, 1)
	b := o.batch("anna", `{}`, 1)
	go func() { results <- one(t, s, b) }()
	watcher := session(t, pgtest.URL(t), s)
	process := appending(t, watcher)
	p.cut()
	if r := receive(t, results); r.Status != eventstore.Unknown {
		t.Fatalf("append on a cut connection: status %d, %v; want Unknown", r.Status, r.Err)
	}
	exec(t, holder, "COMMIT")
	eventually(t, "the cut-off append commits in the server", func() bool {
		events, err := s.ReadShard(t.Context(), o.lease.Shard, 0, 10)
		return err == nil && len(events) == 1
	})
	// The driver sends a cancel request, if it does, before it gives the socket
	// up; closing the store waits for that.
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if p.cancelled(process) {
		t.Error("the append was asked to be cancelled")
	}
}

func TestAbandonedAppendsDoNotStarveTheOthers(t *testing.T) {
	_, s, _ := tapped(t, func(o *postgres.Options) {
		o.AppendConnections, o.AbandonedConnections = 2, 2
	})
	a, err := s.EnsureAggregate(t.Context(), "other", 2)
	if err != nil {
		t.Fatal(err)
	}
	stuck := claim(t, s, eventstore.ShardID{Aggregate: a.ID, Number: 0}, 0)
	free := claim(t, s, eventstore.ShardID{Aggregate: a.ID, Number: 1}, 0)
	holder := session(t, pgtest.URL(t), s)
	exec(t, holder, "BEGIN")
	exec(t, holder, "SELECT FROM shard WHERE aggregate = $1 AND shard = 0 FOR UPDATE", a.ID)
	watcher := session(t, pgtest.URL(t), s)

	for i := range 5 { // two more than may be left behind
		ctx, cancel := context.WithCancel(t.Context())
		results := make(chan eventstore.AppendResult, 1)
		b := stuck.batch("anna", `{}`, 1)
		go func() { results <- s.Append(ctx, []eventstore.Batch{b})[0] }()
		eventually(t, "the append waits for the row", func() bool { return waiting(t, watcher, "Lock") >= min(i+1, 2) })
		cancel()
		if r := receive(t, results); r.Status != eventstore.Unknown && r.Status != eventstore.NotAttempted {
			t.Fatalf("append %d: status %d, %v; want Unknown or NotAttempted", i, r.Status, r.Err)
		}
		free.mustAppend(s, free.batch("berta", `{}`, 1))
	}
	exec(t, holder, "COMMIT")
	eventually(t, "one of the abandoned appends commits", func() bool { return len(log(t, s, stuck.lease.Shard)) == 1 })
}

func TestAClosedStoreAttemptsNothing(t *testing.T) {
	s := open(t)
	o := claim(t, s, aggregate(t, s, 1)[0], 0)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if r := one(t, s, o.batch("anna", `{}`, 1)); r.Status != eventstore.NotAttempted {
		t.Errorf("append: status %d, %v; want NotAttempted", r.Status, r.Err)
	}
	if _, err := s.Claim(t.Context(), request(o.lease.Shard, 1)); !errors.Is(err, eventstore.ErrNotAttempted) {
		t.Errorf("claim: %v; want ErrNotAttempted", err)
	}
}
