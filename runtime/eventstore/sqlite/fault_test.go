package sqlite_test

import (
	"context"
	"database/sql"
	"errors"
	"testing"
	"time"

	driver "modernc.org/sqlite"

	"github.com/leftfold/leftfold/runtime/eventstore"
	"github.com/leftfold/leftfold/runtime/eventstore/sqlite"
	"github.com/leftfold/leftfold/runtime/eventstore/storetest"
)

// onCommit makes every COMMIT of the writer's connection call f, which fails it by
// returning anything but 0. It ends with the connection.
func onCommit(t *testing.T, s *sqlite.Store, f func() int32) {
	t.Helper()
	writer, _ := s.ProjectionDB()
	conn, err := writer.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.Raw(func(c any) error {
		c.(driver.HookRegisterer).RegisterCommitHook(f)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

func TestAFailedCommitIsUnknownAndTheConnectionIsReplaced(t *testing.T) {
	s := open(t, t.TempDir())
	o := own(t, s)
	onCommit(t, s, func() int32 { return 1 })
	if r := o.append(t.Context(), s, 1); r.Status != eventstore.Unknown || !errors.Is(r.Err, eventstore.ErrOutcomeUnknown) {
		t.Fatalf("got %+v, want Unknown", r)
	}
	again := own(t, s) // the claim settles it
	if r := again.append(t.Context(), s, 1); r.Status != eventstore.Appended {
		t.Fatalf("after the claim: %+v", r)
	}
	storetest.CheckInvariants(t, s)
}

func TestAFailedCommitOfAClaimIsUnknown(t *testing.T) {
	s := open(t, t.TempDir())
	o := own(t, s)
	onCommit(t, s, func() int32 { return 1 })
	_, err := s.Claim(t.Context(), eventstore.ClaimRequest{Shard: o.lease.Shard, Expected: 1, Owner: "two"})
	if !errors.Is(err, eventstore.ErrOutcomeUnknown) {
		t.Errorf("got %v, want ErrOutcomeUnknown", err)
	}
}

func TestAnAbandonedAppendGoesOnAndCloseWaitsForIt(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	o := own(t, s)
	reached, release := make(chan struct{}), make(chan struct{})
	onCommit(t, s, func() int32 {
		close(reached)
		<-release
		return 0
	})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-reached
		cancel()
	}()
	if r := o.append(ctx, s, 3); r.Status != eventstore.Unknown || !errors.Is(r.Err, context.Canceled) {
		t.Fatalf("got %+v, want Unknown", r)
	}
	closed := make(chan error)
	go func() { closed <- s.Close() }()
	select {
	case err := <-closed:
		t.Fatalf("closed while a transaction was going on (%v)", err)
	case <-time.After(50 * time.Millisecond): // long enough for a Close that does not wait
	}
	close(release)
	if err := <-closed; err != nil {
		t.Fatal(err)
	}
	again := open(t, dir)
	if o := own(t, again); o.head != 3 {
		t.Errorf("the head is %d, want 3", o.head)
	}
	storetest.CheckInvariants(t, again)
}

func TestAnAppendThatNeverGotTheWriterIsNotAttempted(t *testing.T) {
	s := open(t, t.TempDir())
	o := own(t, s)
	writer, _ := s.ProjectionDB()
	tx, err := writer.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan eventstore.AppendResult)
	go func() { done <- o.append(ctx, s, 1) }()
	cancel()
	if r := <-done; r.Status != eventstore.NotAttempted || !errors.Is(r.Err, context.Canceled) {
		t.Errorf("got %+v, want NotAttempted", r)
	}
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	if r := o.append(t.Context(), s, 1); r.Status != eventstore.Appended {
		t.Errorf("afterwards: %+v", r)
	}
}

func TestAFullDatabaseIsNotAttemptedAndTheSameBatchGoesInWhenThereIsRoom(t *testing.T) {
	s := open(t, t.TempDir())
	o := own(t, s)
	writer, _ := s.ProjectionDB()
	limit := func(pages string) {
		t.Helper()
		var now int
		if err := writer.QueryRowContext(t.Context(), "PRAGMA max_page_count = "+pages).Scan(&now); err != nil {
			t.Fatal(err)
		}
	}
	limit("1") // SQLite makes it what there is
	b := o.batch(500)
	if r := s.Append(t.Context(), []eventstore.Batch{b})[0]; r.Status != eventstore.NotAttempted || !errors.Is(r.Err, eventstore.ErrNotAttempted) {
		t.Fatalf("got %+v, want NotAttempted", r)
	}
	if row, err := s.Shard(t.Context(), o.lease.Shard); err != nil || row.Head != 0 {
		t.Fatalf("head %d, %v", row.Head, err)
	}
	limit("4294967294")
	if r := s.Append(t.Context(), []eventstore.Batch{b})[0]; r.Status != eventstore.Appended {
		t.Fatalf("with room: %+v", r)
	}
	storetest.CheckInvariants(t, s)
}

func TestProjectionsShareTheWriterAndCannotWriteThroughTheReader(t *testing.T) {
	s := open(t, t.TempDir())
	writer, reader := s.ProjectionDB()
	if _, err := writer.ExecContext(t.Context(), "CREATE TABLE p (k TEXT PRIMARY KEY, n INTEGER)"); err != nil {
		t.Fatal(err)
	}
	if _, err := reader.ExecContext(t.Context(), "INSERT INTO p VALUES ('a', 1)"); err == nil {
		t.Error("the reader has written")
	}
	tx, err := writer.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.ExecContext(t.Context(), "INSERT INTO p VALUES ('a', 1)"); err != nil {
		t.Fatal(err)
	}
	if n := count(t, reader); n != 0 {
		t.Errorf("a reader sees %d uncommitted rows", n)
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	if n := count(t, reader); n != 1 {
		t.Errorf("a reader sees %d committed rows", n)
	}
}

func count(t *testing.T, db *sql.DB) (n int) {
	t.Helper()
	if err := db.QueryRowContext(t.Context(), "SELECT count(*) FROM p").Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}
