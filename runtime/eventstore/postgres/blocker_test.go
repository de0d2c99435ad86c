package postgres_test

import (
	"errors"
	"testing"
	"time"

	"github.com/leftfold/leftfold/api/postgres/pgtest"
	"github.com/leftfold/leftfold/runtime/eventstore"
	"github.com/leftfold/leftfold/runtime/eventstore/postgres"
)

func TestAClaimEndsAHalfSentAppendThatHoldsTheShard(t *testing.T) {
	p, s, o := tapped(t)
	rival := reopen(t, postgres.Options{URL: pgtest.URL(t), Schema: s.Schema()})
	p.freezeNextAppend()
	results := make(chan eventstore.AppendResult, 1)
	b := o.batch("anna", `{}`, 1)
	go func() { results <- one(t, s, b) }()
	receive(t, p.frozen)
	watcher := session(t, pgtest.URL(t), s)
	eventually(t, "the server waits for the append's end", func() bool { return waiting(t, watcher, "Client") == 1 })

	begun := time.Now()
	next := claim(t, rival, o.lease.Shard, o.lease.Epoch)
	t.Logf("the claim took %v", time.Since(begun))
	if r := receive(t, results); r.Status != eventstore.Unknown {
		t.Errorf("the half-sent append: status %d, %v; want Unknown", r.Status, r.Err)
	}
	if next.head != 0 || len(log(t, rival, o.lease.Shard)) != 0 {
		t.Errorf("the half-sent append left something: head %d", next.head)
	}
	next.mustAppend(rival, next.batch("anna", `{}`, 1))
	if r := one(t, s, b); r.Status != eventstore.Refused {
		t.Errorf("the old owner's append: status %d, %v; want Refused", r.Status, r.Err)
	}
}

func TestAClaimEndsASessionOfOurRoleThatIsIdleInATransactionEvenBehindOthers(t *testing.T) {
	s := open(t)
	id := aggregate(t, s, 1)[0]
	o := claim(t, s, id, 0)
	idle := session(t, pgtest.URL(t), s)
	exec(t, idle, "BEGIN")
	exec(t, idle, "SELECT FROM shard FOR UPDATE")
	// The append queues first: the claim waits for it, and only it for the idle one.
	results := make(chan eventstore.AppendResult, 1)
	b := o.batch("anna", `{}`, 1)
	go func() { results <- one(t, s, b) }()
	watcher := session(t, pgtest.URL(t), s)
	eventually(t, "the append waits for the row", func() bool { return waiting(t, watcher, "Lock") == 1 })

	state, err := s.Claim(t.Context(), request(id, 1))
	if err != nil {
		t.Fatalf("claim behind an idle session: %v", err)
	}
	switch r := receive(t, results); {
	case r.Status == eventstore.Appended && state.Head == 1:
	case r.Status == eventstore.Refused && state.Head == 0:
	default:
		t.Errorf("append: status %d, %v, but the claim saw head %d", r.Status, r.Err, state.Head)
	}
	if err := idle.Ping(t.Context()); err == nil {
		t.Error("the idle session is still there")
	}
}

func TestAClaimWaitsForASessionThatIsAtWork(t *testing.T) {
	s := open(t, func(o *postgres.Options) { o.StuckAfter = 20 * time.Millisecond })
	id := aggregate(t, s, 1)[0]
	working := session(t, pgtest.URL(t), s)
	done := make(chan error, 1)
	go func() {
		_, err := working.Exec(t.Context(), "WITH held AS MATERIALIZED (SELECT FROM shard FOR UPDATE) SELECT pg_sleep(1) FROM held")
		done <- err
	}()
	watcher := session(t, pgtest.URL(t), s)
	eventually(t, "the session works", func() (sleeps bool) {
		err := watcher.QueryRow(t.Context(), "SELECT coalesce(wait_event = 'PgSleep', false) FROM pg_stat_activity WHERE pid = $1",
			working.PgConn().PID()).Scan(&sleeps)
		if err != nil {
			t.Fatal(err)
		}
		return sleeps
	})
	claim(t, s, id, 0)
	if err := receive(t, done); err != nil {
		t.Errorf("the working session was disturbed: %v", err)
	}
}

func TestAClaimGivesUpOnASessionOfAnotherRole(t *testing.T) {
	server := pgtest.Start(t)
	s := open(t, func(o *postgres.Options) {
		o.URL, o.Schema = server.URL(), "leftfold"
		o.StuckAfter, o.ClaimTimeout = 20*time.Millisecond, 300*time.Millisecond
	})
	id := aggregate(t, s, 1)[0]
	other := session(t, server.SuperuserURL(), s)
	exec(t, other, "BEGIN")
	exec(t, other, "SELECT FROM shard FOR UPDATE")
	if _, err := s.Claim(t.Context(), request(id, 0)); !errors.Is(err, eventstore.ErrNotAttempted) {
		t.Fatalf("claim: %v; want ErrNotAttempted", err)
	}
	exec(t, other, "COMMIT")
	claim(t, s, id, 0)
}
