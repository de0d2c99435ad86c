package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Database is a short visit to the schema of an event store, by who manages it and
// not by who keeps events in it: at most two connections, which end with Close.
type Database struct {
	pool   *pgxpool.Pool
	config *pgxpool.Config
	schema string
	facts  Facts
}

// Open connects and checks the server; ctx bounds that. The configuration comes
// from [ParseURL]. The schema need not be there. The error wraps [ErrUnsuitable]
// when the server must not be used; any other means that it could not be asked. No
// error of a Database holds the password.
func Open(ctx context.Context, config *pgxpool.Config, schema string) (*Database, error) {
	config = config.Copy()
	config.MaxConns = 2 // one holds a lock while the other works
	config.ConnConfig.RuntimeParams["application_name"] = "leftfold-operator"
	validate := config.ConnConfig.ValidateConnect
	config.ConnConfig.ValidateConnect = func(ctx context.Context, conn *pgconn.PgConn) error {
		if validate != nil { // target_session_attrs
			if err := validate(ctx, conn); err != nil {
				return err
			}
		}
		_, err := Establish(ctx, conn, map[string]string{"search_path": pgx.Identifier{schema}.Sanitize()})
		return err
	}
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, tell(config, err)
	}
	d := &Database{pool: pool, config: config, schema: schema}
	if err := d.look(ctx); err != nil {
		pool.Close()
		return nil, tell(config, err)
	}
	return d, nil
}

func (d *Database) look(ctx context.Context) error {
	conn, err := d.pool.Acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release()
	d.facts = FactsOf(conn.Conn().PgConn())
	return RefuseSharedSessions(ctx, d.pool, conn)
}

// Close ends the visit.
func (d *Database) Close() { d.pool.Close() }

// Facts are the server's.
func (d *Database) Facts() Facts { return d.facts }

// Connections is [ServerConnections].
func (d *Database) Connections(ctx context.Context) (int, error) {
	n, err := ServerConnections(ctx, d.pool)
	return n, tell(d.config, err)
}

// Current tells whether the schema has all tables of this release, so that Migrate
// would do nothing. The error may be [ErrSchemaTooNew].
func (d *Database) Current(ctx context.Context) (bool, error) {
	current, err := isCurrent(ctx, d.pool, d.schema)
	return current, tell(d.config, err)
}

// Migrate is [Migrate].
func (d *Database) Migrate(ctx context.Context) (Migration, error) {
	m, err := Migrate(ctx, d.pool, d.schema)
	return m, tell(d.config, err)
}

// ServerConnections is how many connections the server allows to ordinary roles,
// as its settings, the database and the role limit them.
func ServerConnections(ctx context.Context, pool *pgxpool.Pool) (int, error) {
	var n int
	err := pool.QueryRow(ctx, `SELECT least(
		current_setting('max_connections')::int
			- current_setting('superuser_reserved_connections')::int
			- coalesce(current_setting('reserved_connections', true), '0')::int,
		(SELECT nullif(datconnlimit, -1) FROM pg_database WHERE datname = current_database()),
		(SELECT nullif(rolconnlimit, -1) FROM pg_roles WHERE rolname = session_user))`).Scan(&n)
	if err != nil {
		return 0, fmt.Errorf("read max_connections: %w", err)
	}
	return n, nil
}

// told is an error with other words: those that its user may read, and can use.
type told struct {
	text string
	err  error
}

func (t *told) Error() string { return t.text }
func (t *told) Unwrap() error { return t.err }

// tell takes the password out of an error, and calls a server unsuitable where the
// role lacks a right.
func tell(config *pgxpool.Config, err error) error {
	if err == nil {
		return nil
	}
	var refused *pgconn.PgError
	if errors.As(err, &refused) && refused.Code == insufficientPrivilege {
		err = unsuitable("role %q lacks a right (%s); let it own the schema (CREATE SCHEMA ... AUTHORIZATION, ALTER SCHEMA ... OWNER TO), or create it (GRANT CREATE ON DATABASE)",
			config.ConnConfig.User, refused.Message)
	}
	return &told{WithoutPassword(config, err), err}
}
