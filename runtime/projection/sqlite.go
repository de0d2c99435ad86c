package projection

import (
	"context"
	"database/sql"
	"errors"
	"strings"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// SQLite is the Dialect of SQLite, where one transaction writes at a time: it
// needs no locks and waits for nobody.
type SQLite struct{}

// Name is sqlite.
func (SQLite) Name() string { return "sqlite" }

// ForUpdate is empty: the writing transaction has the whole file.
func (SQLite) ForUpdate() string { return "" }

// BeginSchema has nothing to limit.
func (SQLite) BeginSchema(context.Context, *sql.Tx) error { return nil }

// Refused is true for values that are too big or of a wrong kind.
func (SQLite) Refused(err error) bool {
	var e *sqlite.Error
	if !errors.As(err, &e) {
		return false
	}
	switch e.Code() & 0xff {
	case sqlite3.SQLITE_TOOBIG, sqlite3.SQLITE_MISMATCH, sqlite3.SQLITE_RANGE:
		return true
	}
	return false
}

// Gone is true when a statement names a table that is not there: SQLite has no
// code of its own for it.
func (SQLite) Gone(err error) bool {
	var e *sqlite.Error
	return errors.As(err, &e) && e.Code()&0xff == sqlite3.SQLITE_ERROR && strings.Contains(err.Error(), "no such table")
}
