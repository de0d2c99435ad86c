package postgres

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"hash/fnv"
	"io/fs"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
)

// ErrSchemaTooNew says that the tables were changed by a newer release so that this
// one cannot use them any more.
var ErrSchemaTooNew = errors.New("the schema is too new for this release")

// The migrations expand first: a release only adds what its predecessor can
// ignore, and takes away a release later, so that both run on one schema while
// pods are replaced. One that takes away raises compatibility.minimum_version.
//
//go:embed migrations/*.sql
var migrationFiles embed.FS

// versionTable is goose's own, in the store's schema.
const versionTable = "goose_db_version"

// lockProbe is how often a process that waits for another's migration looks
// again. It polls, since a session that waits in the server for an advisory lock
// holds a snapshot, on which a CREATE INDEX CONCURRENTLY of the other would wait.
const lockProbe = 50 * time.Millisecond

// farewell bounds what is done after a context has ended.
const farewell = 5 * time.Second

// Migration is what [Migrate] found and did, in versions of the schema. From is 0
// when there were no tables. Both are the same when nothing was to be done.
type Migration struct{ From, To int64 }

// Migrate brings the schema to this release's version, and makes it first when it
// is not there. A schema that is current is left alone without a lock, and so is
// one that is newer; that may be [ErrSchemaTooNew]. The pool's search path is the
// schema, and the pool can lend two connections at once.
func Migrate(ctx context.Context, pool *pgxpool.Pool, schema string) (Migration, error) {
	files, err := fs.Sub(migrationFiles, "migrations")
	if err != nil {
		return Migration{}, err
	}
	return migrate(ctx, pool, schema, files)
}

func migrate(ctx context.Context, pool *pgxpool.Pool, schema string, files fs.FS) (Migration, error) {
	known, err := newest(files)
	if err != nil {
		return Migration{}, err
	}
	current, err := readable(ctx, pool, schema, known)
	if err != nil || current >= known {
		return Migration{From: current, To: current}, err
	}
	done := Migration{To: known}
	if err := underMigrationLock(ctx, pool, schema, func(conn *pgxpool.Conn) error {
		if err := createSchema(ctx, conn, schema); err != nil {
			return err
		}
		// A newer release may have been here while this one waited.
		if done.From, err = readable(ctx, conn, schema, known); err != nil || done.From >= known {
			done.To = done.From
			return err
		}
		return up(ctx, pool, files)
	}); err != nil {
		return Migration{}, fmt.Errorf("bring schema %q up to date: %w", schema, err)
	}
	return done, nil
}

// up runs the migrations that the schema lacks. The lock is not goose's: it looks
// for its table, and makes it, before it takes its lock.
func up(ctx context.Context, pool *pgxpool.Pool, files fs.FS) error {
	db := stdlib.OpenDBFromPool(pool)
	defer db.Close()
	provider, err := goose.NewProvider(goose.DialectPostgres, db, files, goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return err
	}
	_, err = provider.Up(ctx)
	var refused *pgconn.PgError
	if errors.As(err, &refused) && slices.Contains([]string{duplicateTable, duplicateObject}, refused.Code) {
		return unsuitable("the schema holds something that is not Leftfold's (%s); give Leftfold a schema of its own", refused.Message)
	}
	return err
}

// newest is the version that the last of the migrations leads to.
func newest(files fs.FS) (int64, error) {
	names, err := fs.Glob(files, "*.sql")
	if err != nil {
		return 0, err
	}
	var last int64
	for _, name := range names {
		version, err := goose.NumericComponent(name)
		if err != nil {
			return 0, fmt.Errorf("migration %s: %w", name, err)
		}
		last = max(last, version)
	}
	return last, nil
}

// isCurrent tells whether Migrate has nothing to do.
func isCurrent(ctx context.Context, pool *pgxpool.Pool, schema string) (bool, error) {
	files, err := fs.Sub(migrationFiles, "migrations")
	if err != nil {
		return false, err
	}
	known, err := newest(files)
	if err != nil {
		return false, err
	}
	current, err := readable(ctx, pool, schema, known)
	return err == nil && current >= known, err
}

// querier is a pool or one connection of it.
type querier interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// readable is the schema's version, 0 when there is none, or ErrSchemaTooNew for a
// release that knows versions up to known.
func readable(ctx context.Context, db querier, schema string, known int64) (int64, error) {
	current, err := highest(ctx, db, schema, versionTable, "max(version_id) FILTER (WHERE is_applied)")
	if err != nil || current <= known {
		return current, err
	}
	minimum, err := highest(ctx, db, schema, "compatibility", "max(minimum_version)")
	if err == nil && minimum > known {
		err = fmt.Errorf("%w: schema %q is at version %d, which releases with version %d and later can use; this one has version %d: use the release that changed it, or a later one",
			ErrSchemaTooNew, schema, current, minimum, known)
	}
	return current, err
}

// highest is an aggregate over a table of the schema; 0 when there is no such
// table, or no row.
func highest(ctx context.Context, db querier, schema, table, expression string) (int64, error) {
	name := pgx.Identifier{schema, table}.Sanitize()
	var exists bool
	err := db.QueryRow(ctx, "SELECT to_regclass($1) IS NOT NULL", name).Scan(&exists)
	var n int64
	if err == nil && exists {
		err = db.QueryRow(ctx, "SELECT coalesce("+expression+", 0) FROM "+name).Scan(&n)
	}
	if err != nil {
		return 0, fmt.Errorf("read the version of schema %q: %w", schema, err)
	}
	return n, nil
}

// underMigrationLock runs do while no other process migrates or drops this schema.
// The lock ends with its connection.
func underMigrationLock(ctx context.Context, pool *pgxpool.Pool, schema string, do func(*pgxpool.Conn) error) error {
	conn, err := pool.Acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release()
	key := migrationKey(schema)
	if err := awaitLock(ctx, conn, key); err != nil {
		return err
	}
	err = do(conn)
	// Detached: a lock that outlives a context that ended would stay with a
	// connection of the pool.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), farewell)
	defer cancel()
	_, unlockErr := conn.Exec(ctx, "SELECT pg_advisory_unlock($1)", key)
	return errors.Join(err, unlockErr)
}

func migrationKey(schema string) int64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte("leftfold migrations of " + schema)) // never fails, says hash.Hash
	return int64(h.Sum64())
}

// awaitLock waits until the advisory lock is taken or ctx ends.
func awaitLock(ctx context.Context, conn *pgxpool.Conn, key int64) error {
	for {
		var locked bool
		if err := conn.QueryRow(ctx, "SELECT pg_try_advisory_lock($1)", key).Scan(&locked); err != nil {
			return fmt.Errorf("take the migration lock: %w", err)
		}
		if locked {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for another process's migration: %w", context.Cause(ctx))
		case <-time.After(lockProbe):
		}
	}
}

// createSchema looks before it creates: the role may own the schema without the
// right to create others.
func createSchema(ctx context.Context, conn *pgxpool.Conn, schema string) error {
	var exists bool
	const query = "SELECT EXISTS (SELECT FROM pg_catalog.pg_namespace WHERE nspname = $1)"
	err := conn.QueryRow(ctx, query, schema).Scan(&exists)
	if err == nil && !exists {
		_, err = conn.Exec(ctx, "CREATE SCHEMA "+pgx.Identifier{schema}.Sanitize())
	}
	if err != nil {
		return fmt.Errorf("create schema %q: %w", schema, err)
	}
	return nil
}
