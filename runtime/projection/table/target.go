package table

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/leftfold/leftfold/runtime/projection"
)

// Target writes one compiled projection into its table.
type Target struct {
	// Name is the SQL name of the rows.
	Name string
	// Columns is the table's shape.
	Columns Layout
	Rules   Rules
	// Shared tells that several shards can reach the same row: a key is not the
	// entity, or there are several sources.
	Shared bool
	// Database is the dialect of the store's database.
	Database projection.Dialect
}

var _ projection.Target = (*Target)(nil)

// Relation implements projection.Target.
func (t *Target) Relation() string { return t.Name }

// Layout implements projection.Target.
func (t *Target) Layout() string { return t.Columns.String() }

// Create implements projection.Target.
func (t *Target) Create(ctx context.Context, tx *sql.Tx, v projection.Version) error {
	for _, statement := range dialectOf(t.Database).create(physical(v), &t.Columns) {
		if _, err := tx.ExecContext(ctx, statement); err != nil {
			return fmt.Errorf("create %s: %w", physical(v), err)
		}
	}
	return nil
}

// Writer implements projection.Target.
func (t *Target) Writer(v projection.Version, aggregate string) projection.Writer {
	w := &writer{
		target: t, table: physical(v), aggregate: aggregate,
		sql: dialectOf(t.Database).rows(physical(v), &t.Columns, t.Shared),
	}
	w.Forget()
	return w
}

// Storage implements projection.Storage for tables.
type Storage struct{ Database projection.Dialect }

var _ projection.Storage = Storage{}

// Show implements projection.Storage: a view under the name.
func (s Storage) Show(ctx context.Context, tx *sql.Tx, v projection.Version, layout, replaces string) error {
	l, err := parseLayout(layout)
	if err != nil {
		return err
	}
	// A view cannot change its columns' types in place, so it is made anew.
	if replaces != "" {
		if err := s.Hide(ctx, tx, replaces); err != nil {
			return err
		}
	}
	if _, err := tx.ExecContext(ctx, `CREATE VIEW `+quote(v.Relation)+` AS SELECT `+quoteAll(l.all())+` FROM `+quote(physical(v))); err != nil {
		return fmt.Errorf("show %s: %w", v.Relation, err)
	}
	return nil
}

// Hide implements projection.Storage.
func (s Storage) Hide(ctx context.Context, tx *sql.Tx, relation string) error {
	if _, err := tx.ExecContext(ctx, `DROP VIEW IF EXISTS `+quote(relation)); err != nil {
		return fmt.Errorf("hide %s: %w", relation, err)
	}
	return nil
}

// Drop implements projection.Storage.
func (s Storage) Drop(ctx context.Context, tx *sql.Tx, v projection.Version) error {
	if _, err := tx.ExecContext(ctx, `DROP TABLE IF EXISTS `+quote(physical(v))); err != nil {
		return fmt.Errorf("drop %s: %w", physical(v), err)
	}
	return nil
}

// Taken implements projection.Storage.
func (s Storage) Taken(ctx context.Context, tx *sql.Tx, relation string) (bool, error) {
	var taken bool
	err := tx.QueryRowContext(ctx, dialectOf(s.Database).taken(), relation).Scan(&taken)
	return taken, err
}
