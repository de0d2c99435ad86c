package postgres

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"hash/fnv"
	"io/fs"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
)

// The migrations expand first: a release only adds what its predecessor can
// ignore, and takes away a release later, so that both run on one schema while
// pods are replaced.
//
//go:embed migrations/*.sql
var migrationFiles embed.FS

// versionTable is goose's own, in the store's schema.
const versionTable = "goose_db_version"

// lockProbe is how often a pod that waits for another's migration looks again.
// It polls, since a session that waits in the server for an advisory lock holds
// a snapshot, on which a CREATE INDEX CONCURRENTLY of the other would wait.
const lockProbe = 50 * time.Millisecond

// migrate brings the schema to this release's version. A schema that is current,
// or newer, is left alone without a lock.
func (s *Store) migrate(ctx context.Context) error {
	files, err := fs.Sub(migrationFiles, "migrations")
	if err != nil {
		return err
	}
	db := stdlib.OpenDBFromPool(s.control)
	defer db.Close()
	// Locked here and not by goose: it looks for its table, and makes it, before
	// it takes its lock.
	provider, err := goose.NewProvider(goose.DialectPostgres, db, files, goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return fmt.Errorf("migrations: %w", err)
	}
	sources := provider.ListSources()
	current, err := s.schemaVersion(ctx)
	if err != nil {
		return fmt.Errorf("read the schema's version: %w", err)
	}
	if newest := sources[len(sources)-1].Version; current >= newest {
		return nil
	}
	var results []*goose.MigrationResult
	if err := s.underMigrationLock(ctx, func() (err error) {
		results, err = provider.Up(ctx)
		return err
	}); err != nil {
		return fmt.Errorf("bring schema %q up to date: %w", s.options.Schema, err)
	}
	if n := len(results); n > 0 {
		s.log.Info("brought the event store's schema up to date", "schema", s.options.Schema, "from", current, "to", results[n-1].Source.Version)
	}
	return nil
}

// schemaVersion is 0 when there is no schema yet.
func (s *Store) schemaVersion(ctx context.Context) (int64, error) {
	var exists bool
	table := pgx.Identifier{s.options.Schema, versionTable}.Sanitize()
	if err := s.control.QueryRow(ctx, "SELECT to_regclass($1) IS NOT NULL", table).Scan(&exists); err != nil || !exists {
		return 0, err
	}
	var version int64
	err := s.control.QueryRow(ctx, "SELECT coalesce(max(version_id), 0) FROM "+table+" WHERE is_applied").Scan(&version)
	return version, err
}

// underMigrationLock runs do while no other process migrates this schema, which
// it creates first when it is not there. The lock ends with its connection.
func (s *Store) underMigrationLock(ctx context.Context, do func() error) error {
	conn, err := s.control.Acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release()
	key := migrationKey(s.options.Schema)
	if err := awaitLock(ctx, conn, key); err != nil {
		return err
	}
	err = s.createSchema(ctx, conn)
	if err == nil {
		err = do()
	}
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
func (s *Store) createSchema(ctx context.Context, conn *pgxpool.Conn) error {
	var exists bool
	const query = "SELECT EXISTS (SELECT FROM pg_catalog.pg_namespace WHERE nspname = $1)"
	err := conn.QueryRow(ctx, query, s.options.Schema).Scan(&exists)
	if err == nil && !exists {
		_, err = conn.Exec(ctx, "CREATE SCHEMA "+s.quotedSchema())
	}
	if err != nil {
		return fmt.Errorf("create schema %q: %w", s.options.Schema, err)
	}
	return nil
}
