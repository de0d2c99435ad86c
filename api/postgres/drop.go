package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// LivingAfter is how long a runtime process counts as living after its last
// heartbeat, by the database's clock. It beats every second or more often.
const LivingAfter = 10 * time.Second

// dropLockTimeout is how long a drop waits for somebody who reads a table.
const dropLockTimeout = 5 * time.Second

// LivingError says that runtime processes still use the schema.
type LivingError struct {
	Schema string
	// Runtimes are the names of theirs, sorted.
	Runtimes []string
}

// Error names the Runtimes.
func (e *LivingError) Error() string {
	return fmt.Sprintf("schema %q is still used by pods of %s", e.Schema, strings.Join(e.Runtimes, ", "))
}

// The tables of the migrations, and goose's own. Projections bring more.
const tablesSQL = `
SELECT c.relname, c.relkind::text
FROM pg_class c
WHERE c.relnamespace = $1::text::regnamespace AND (
	c.relkind = 'v' AND c.relname IN (SELECT relation FROM projection_relation)
	OR c.relkind = 'r' AND (c.relname ~ '^_projection_[0-9]+_v[0-9]+$' OR c.relname = ANY ($2)))
ORDER BY c.relkind DESC, c.relname`

// ownTables are the tables that the migrations make.
var ownTables = []string{
	"aggregate", "shard", "event", "outcome", "snapshot", "member",
	"projection", "projection_relation", "projection_version", "projection_offset", "projection_quarantine",
	"owner", "compatibility", versionTable,
}

// Drop drops what Leftfold made in the schema, events included, with all that
// hangs on it, and the schema itself when nothing else is in it and the role may.
// It does so for the owner alone: dropped is false when the schema is nobody's,
// another's or not there. While runtime processes live the error is a
// *[LivingError].
func (d *Database) Drop(ctx context.Context, o Owner) (dropped bool, err error) {
	if has, _, err := d.owner(ctx); err != nil || has != o.String() {
		return false, tell(d.config, err)
	}
	err = underMigrationLock(ctx, d.pool, d.schema, func(conn *pgxpool.Conn) error {
		return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
			dropped, err = d.drop(ctx, tx, o)
			return err
		})
	})
	if err != nil {
		return false, tell(d.config, fmt.Errorf("drop schema %q: %w", d.schema, err))
	}
	return dropped, nil
}

func (d *Database) drop(ctx context.Context, tx pgx.Tx, o Owner) (bool, error) {
	// Whoever would claim or begin to live meanwhile waits for these two.
	if _, err := tx.Exec(ctx, fmt.Sprintf("SET LOCAL lock_timeout = %d; LOCK TABLE owner, member IN EXCLUSIVE MODE",
		dropLockTimeout.Milliseconds())); err != nil {
		return false, err
	}
	var ours bool
	if err := tx.QueryRow(ctx, "SELECT EXISTS (SELECT FROM owner WHERE owner = $1)", o.String()).Scan(&ours); err != nil || !ours {
		return false, err
	}
	rows, err := tx.Query(ctx, "SELECT DISTINCT runtime FROM member WHERE heartbeat > clock_timestamp() - $1::interval ORDER BY runtime", LivingAfter)
	if err != nil {
		return false, err
	}
	living, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return false, err
	}
	if len(living) > 0 {
		return false, &LivingError{Schema: d.schema, Runtimes: living}
	}
	if err := d.dropTables(ctx, tx); err != nil {
		return false, err
	}
	return true, d.dropEmptySchema(ctx, tx)
}

func (d *Database) dropTables(ctx context.Context, tx pgx.Tx) error {
	schema := pgx.Identifier{d.schema}.Sanitize()
	rows, err := tx.Query(ctx, tablesSQL, schema, ownTables)
	if err != nil {
		return err
	}
	type relation struct{ Name, Kind string }
	relations, err := pgx.CollectRows(rows, pgx.RowToStructByPos[relation])
	if err != nil {
		return err
	}
	for _, r := range relations {
		kind := "TABLE"
		if r.Kind == "v" {
			kind = "VIEW"
		}
		// A view may have gone with another one that it was made of.
		if _, err := tx.Exec(ctx, "DROP "+kind+" IF EXISTS "+schema+"."+pgx.Identifier{r.Name}.Sanitize()+" CASCADE"); err != nil {
			return err
		}
	}
	return nil
}

// dropEmptySchema leaves a schema that holds what Leftfold did not make, and one
// that another role owns.
func (d *Database) dropEmptySchema(ctx context.Context, tx pgx.Tx) error {
	err := pgx.BeginFunc(ctx, tx, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, "DROP SCHEMA "+pgx.Identifier{d.schema}.Sanitize())
		return err
	})
	var refused *pgconn.PgError
	if errors.As(err, &refused) && (refused.Code == dependentObjects || refused.Code == insufficientPrivilege) {
		return nil
	}
	return err
}

// SQLSTATEs that mean something here.
const (
	dependentObjects      = "2BP01"
	insufficientPrivilege = "42501"
	duplicateTable        = "42P07"
	duplicateObject       = "42710"
)
