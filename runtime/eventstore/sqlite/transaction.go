package sqlite

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/leftfold/leftfold/runtime/eventstore"
)

// write runs do in a transaction of the one writer, and commits it when do
// returns nil. An error of do rolls back; its own errors (those of package
// eventstore, and of data) come out as they are, what went wrong in the database
// wraps ErrNotAttempted or ErrOutcomeUnknown.
//
// When ctx ends while do runs, write returns ErrOutcomeUnknown at once and do
// goes on: it must not share what it writes with the caller, unless the caller
// looks only when write returned nil.
func (s *Store) write(ctx context.Context, do func(tx *sql.Tx) error) error {
	if !s.begin() {
		return errClosed
	}
	conn, err := s.writer.Conn(ctx)
	if err != nil {
		s.calls.Done()
		return fmt.Errorf("%w: %w", eventstore.ErrNotAttempted, err)
	}
	done := make(chan error, 1)
	go func() {
		defer s.calls.Done()
		defer conn.Close()
		done <- s.transact(conn, do)
	}()
	select {
	case err = <-done:
		return err
	case <-ctx.Done():
	}
	select {
	case err = <-done: // both are ready: the answer is worth more
		return err
	default:
		return fmt.Errorf("%w: %w", eventstore.ErrOutcomeUnknown, ctx.Err())
	}
}

// transact runs to its end, whatever becomes of the caller: an interrupted
// statement would leave a half-done transaction.
func (s *Store) transact(conn *sql.Conn, do func(tx *sql.Tx) error) error {
	tx, err := conn.BeginTx(context.Background(), nil)
	if err != nil {
		return s.notAttempted(conn, err)
	}
	if err := do(tx); err != nil {
		if rollback := tx.Rollback(); rollback != nil {
			s.discard(conn, rollback)
		}
		var own *rejection
		if errors.As(err, &own) {
			return own.err
		}
		return s.notAttempted(conn, err)
	}
	if err := tx.Commit(); err != nil {
		if primary(err) == sqlite3.SQLITE_FULL {
			// A frame could not be written, so the one that commits, the last,
			// is not whole: nothing is there, nor ever will be.
			return s.notAttempted(conn, err)
		}
		s.discard(conn, err)
		return fmt.Errorf("%w: commit: %w", eventstore.ErrOutcomeUnknown, err)
	}
	return nil
}

// rejection is an error by which do itself ends a transaction, as opposed to one
// that the database gave it.
type rejection struct{ err error }

func (r *rejection) Error() string { return r.err.Error() }

func reject(format string, args ...any) error {
	return &rejection{fmt.Errorf(format, args...)}
}

func (s *Store) notAttempted(conn *sql.Conn, err error) error {
	switch primary(err) {
	case sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_CANTOPEN:
		s.discard(conn, err)
	}
	return fmt.Errorf("%w: %w", eventstore.ErrNotAttempted, err)
}

// discard throws the writer's connection away; the next write opens another.
func (s *Store) discard(conn *sql.Conn, why error) {
	s.log.Warn("reopening the event store's connection after an error", "error", why)
	_ = conn.Raw(func(any) error { return driver.ErrBadConn }) // that is how database/sql is told
}

// primary is the primary result code of a database error; 0 for other errors.
func primary(err error) int {
	var e *sqlite.Error
	if errors.As(err, &e) {
		return e.Code() & 0xff
	}
	return 0
}
