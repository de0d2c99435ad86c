package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
)

// Owner is the EventStore that a schema belongs to.
type Owner struct {
	// Cluster is the UID of the Kubernetes cluster's namespace kube-system.
	Cluster string
	// Namespace and Name are the EventStore's. They decide: an EventStore of the
	// same name that was made again is the same owner.
	Namespace, Name string
	// UID is the EventStore's, for people.
	UID string
}

// String is the owner as the schema holds it: <cluster>/<namespace>/<name>.
func (o Owner) String() string { return strings.Join([]string{o.Cluster, o.Namespace, o.Name}, "/") }

// InUseError says that the schema belongs to another EventStore.
type InUseError struct {
	Schema string
	// Owner is the other, as Owner.String gives it.
	Owner string
}

// Error names the other.
func (e *InUseError) Error() string {
	return fmt.Sprintf("schema %q belongs to EventStore %s", e.Schema, e.Owner)
}

// MayClaim tells whether Claim would succeed, without changing anything: nil, or
// an *[InUseError]. A schema that is not there may be claimed.
func (d *Database) MayClaim(ctx context.Context, o Owner, from string) error {
	has, _, err := d.owner(ctx)
	if err == nil && has != "" && has != o.String() && has != from {
		err = &InUseError{Schema: d.schema, Owner: has}
	}
	return tell(d.config, err)
}

// Claim makes the schema the owner's: when it is nobody's, when it is his already,
// and when it belongs to from, who is known to be gone; from may be empty.
// Otherwise the error is an *[InUseError]. The schema has all tables. Claim tells
// whether anything changed.
func (d *Database) Claim(ctx context.Context, o Owner, from string) (changed bool, err error) {
	// Looked at first, so that a steady system writes nothing.
	if has, uid, err := d.owner(ctx); err != nil || has == o.String() && uid == o.UID {
		return false, tell(d.config, err)
	}
	tag, err := d.pool.Exec(ctx, `INSERT INTO owner AS o (owner, uid) VALUES ($1, $2)
		ON CONFLICT (one_row) DO UPDATE SET owner = excluded.owner, uid = excluded.uid, claimed_at = now()
		WHERE o.owner IN ($1, $3)`, o.String(), o.UID, from)
	switch {
	case err != nil:
		return false, tell(d.config, fmt.Errorf("claim schema %q: %w", d.schema, err))
	case tag.RowsAffected() == 0:
		return false, d.MayClaim(ctx, o, from)
	}
	return true, nil
}

// Release makes the schema nobody's, if it is the owner's, and leaves the data.
func (d *Database) Release(ctx context.Context, o Owner) (bool, error) {
	if has, _, err := d.owner(ctx); err != nil || has != o.String() {
		return false, tell(d.config, err)
	}
	tag, err := d.pool.Exec(ctx, "DELETE FROM owner WHERE owner = $1", o.String())
	if err != nil {
		return false, tell(d.config, fmt.Errorf("release schema %q: %w", d.schema, err))
	}
	return tag.RowsAffected() > 0, nil
}

// owner reads the row; both are empty when there is none, or no table for it.
func (d *Database) owner(ctx context.Context) (owner, uid string, err error) {
	table := pgx.Identifier{d.schema, "owner"}.Sanitize()
	var exists bool
	if err = d.pool.QueryRow(ctx, "SELECT to_regclass($1) IS NOT NULL", table).Scan(&exists); err == nil && exists {
		err = d.pool.QueryRow(ctx, "SELECT owner, uid FROM "+table).Scan(&owner, &uid)
	}
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return "", "", nil
	case err != nil:
		return "", "", fmt.Errorf("read whose schema %q is: %w", d.schema, err)
	}
	return owner, uid, nil
}
