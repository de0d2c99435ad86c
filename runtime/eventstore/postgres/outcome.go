package postgres

import (
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/leftfold/leftfold/runtime/eventstore"
)

// verdict is what an error says about the one statement that met it.
type verdict uint8

const (
	// rolledBack: the server said so; the same statement may be sent again.
	rolledBack verdict = iota + 1
	// notSent: nothing reached the server.
	notSent
	// duplicate: a row with the same key is there.
	duplicate
	// badData: the server cannot hold the values.
	badData
	// unknown: it may have committed, or may yet.
	unknown
)

// SQLSTATE codes and classes, from the appendix "PostgreSQL Error Codes" of the
// manual.
const (
	codeUniqueViolation     = "23505"
	codeNotNullViolation    = "23502"
	codeCheckViolation      = "23514"
	codeLockNotAvailable    = "55P03"
	codeQueryCanceled       = "57014"
	codeReadOnlyTransaction = "25006"
	codeNoSuchStatement     = "26000"
	codeStatementExists     = "42P05"
	codeUndefinedTable      = "42P01"
	codeCardinality         = "21000"
	classDataException      = "22"
	classProgramLimit       = "54"
	classConnection         = "08"
)

// judge reads an error of an autocommit statement.
//
// An error of severity ERROR is reported before the commit record is written:
// after that, PostgreSQL has only warnings, and FATAL for a session it ends. So
// an ERROR means rolled back. The exceptions are two. A FATAL (57P01, the
// administrator's shutdown, above all) may end a session that has committed and
// only waits for its standby. And a cancellation (57014) that comes as late as
// that is told as an ERROR by some versions.
func judge(err error) verdict {
	var pg *pgconn.PgError
	if !errors.As(err, &pg) {
		if pgconn.SafeToRetry(err) {
			return notSent
		}
		return unknown
	}
	severity := pg.SeverityUnlocalized
	if severity == "" {
		severity = pg.Severity
	}
	if severity != "ERROR" || pg.Code == codeQueryCanceled || len(pg.Code) != 5 {
		return unknown
	}
	switch class := pg.Code[:2]; {
	case class == classConnection:
		return unknown
	case pg.Code == codeUniqueViolation:
		return duplicate
	case class == classDataException, class == classProgramLimit,
		pg.Code == codeNotNullViolation, pg.Code == codeCheckViolation, pg.Code == codeCardinality:
		return badData
	}
	return rolledBack
}

// spoils reports whether the session must not be used again after an error that
// PostgreSQL itself would let it survive: its server is not the primary any more,
// or it is not the session that was set up (its tables or its prepared statements
// are not there), because a pooler gave it to us in place of that.
func spoils(err *pgconn.PgError) bool {
	switch err.Code {
	case codeReadOnlyTransaction, codeNoSuchStatement, codeStatementExists, codeUndefinedTable:
		return true
	}
	return false
}

// writeError wraps the error of one statement that writes, for a caller that
// wants to know whether it did.
func writeError(what string, err error) error {
	switch judge(err) {
	case unknown:
		return fmt.Errorf("%s: %w: %w", what, eventstore.ErrOutcomeUnknown, err)
	default:
		return fmt.Errorf("%s: %w: %w", what, eventstore.ErrNotAttempted, err)
	}
}
