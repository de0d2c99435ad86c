package projection

import (
	"context"
	"database/sql"
	"fmt"
)

// DB is the store's database as projections use it.
type DB struct {
	// Writer is for transactions that write, Reader for those that only read; in
	// SQLite they differ. Both see the store's schema without qualification, and
	// bound how long a transaction idles or waits for a lock.
	Writer *sql.DB
	Reader *sql.DB
	Dialect
}

// Dialect is what the two databases do differently, as far as it concerns
// projections as such; package table has its own differences.
type Dialect interface {
	// Name is postgres or sqlite.
	Name() string
	// ForUpdate ends a SELECT that locks its rows.
	ForUpdate() string
	// BeginSchema begins a transaction that changes what readers use: it gives up
	// soon rather than make readers queue behind it.
	BeginSchema(ctx context.Context, tx *sql.Tx) error
	// Refused reports whether err says that the database cannot hold a value
	// (too long, out of range), so that trying again is of no use.
	Refused(err error) bool
	// Gone reports whether err says that a table does not exist.
	Gone(err error) bool
}

// Write runs f in one writing transaction.
func (db *DB) Write(ctx context.Context, f func(tx *sql.Tx) error) error {
	tx, err := db.Writer.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	defer tx.Rollback() //nolint:errcheck // after Commit it does nothing; otherwise the first error is the one to tell
	if err := f(tx); err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	return nil
}

// writeSchema is Write for a transaction that changes what readers use.
func (db *DB) writeSchema(ctx context.Context, f func(tx *sql.Tx) error) error {
	return db.Write(ctx, func(tx *sql.Tx) error {
		if err := db.BeginSchema(ctx, tx); err != nil {
			return fmt.Errorf("begin: %w", err)
		}
		return f(tx)
	})
}

// Read runs f in one transaction in which all statements see the same moment.
func (db *DB) Read(ctx context.Context, f func(tx *sql.Tx) error) error {
	tx, err := db.Reader.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true})
	if err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	defer tx.Rollback() //nolint:errcheck // it has written nothing
	return f(tx)
}
