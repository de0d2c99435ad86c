package projection

import (
	"context"
	"database/sql"
	"errors"

	"github.com/jackc/pgx/v5/pgconn"
)

// Postgres is the Dialect of PostgreSQL.
type Postgres struct{}

// Name is postgres.
func (Postgres) Name() string { return "postgres" }

// ForUpdate locks the rows that a SELECT gives.
func (Postgres) ForUpdate() string { return " FOR UPDATE" }

// BeginSchema waits a short time only: while a DROP waits for one reader, all
// later readers wait for the DROP.
func (Postgres) BeginSchema(ctx context.Context, tx *sql.Tx) error {
	_, err := tx.ExecContext(ctx, `SET LOCAL lock_timeout = '200ms'`)
	return err
}

// Refused is true for data exceptions (class 22) and exceeded limits (54).
func (Postgres) Refused(err error) bool {
	var e *pgconn.PgError
	return errors.As(err, &e) && len(e.Code) == 5 && (e.Code[:2] == "22" || e.Code[:2] == "54")
}

// Gone is true for undefined_table.
func (Postgres) Gone(err error) bool {
	var e *pgconn.PgError
	return errors.As(err, &e) && e.Code == "42P01"
}
