package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

const (
	// poolerRounds is how often sessions are compared: a pooler that hands its
	// servers out in turn shows itself in the second round at the latest.
	poolerRounds = 4
	// poolerTimeout is when a pooler with a single server, which is taken, has
	// shown itself too.
	poolerTimeout = 5 * time.Second
)

// inspect looks once, at the start, at what a single connection cannot tell.
func (s *Store) inspect(ctx context.Context) error {
	conn, err := s.control.Acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release()
	f := stateOf(conn.Conn().PgConn()).facts
	if f.fsync != "on" {
		s.log.Warn("the PostgreSQL server runs with fsync off: unless its storage is durable by other means, a crash of the server loses commits", "fsync", f.fsync)
	}
	if f.major > newestServer {
		s.log.Warn("the PostgreSQL server is newer than any this release was tested with", "version", f.major, "newest", newestServer)
	}
	allowed, err := s.ServerConnections(ctx)
	if err != nil {
		return err
	}
	if n := s.Connections(); n > allowed {
		s.log.Warn("the PostgreSQL server allows fewer connections than this process may use: raise max_connections or lower the pools' sizes",
			"allowed", allowed, "used", n)
	}
	if !f.pooled {
		return nil
	}
	return s.refuseSharedSessions(ctx, conn)
}

// refuseSharedSessions tells a pooler that gives each client a server session
// of its own, which is fine, from one that shares sessions between transactions
// (PgBouncer's pool_mode = transaction or statement): there, settings, prepared
// statements and locks of a session end up with another client. Two clients
// watch on which backend they are, one of them inside a transaction.
func (s *Store) refuseSharedSessions(ctx context.Context, a *pgxpool.Conn) error {
	ctx, cancel := context.WithTimeout(ctx, poolerTimeout)
	defer cancel()
	b, err := s.control.Acquire(ctx)
	if err != nil {
		return fmt.Errorf("look for a pooler that shares sessions: %w", err)
	}
	defer b.Release()
	homeA, homeB := stateOf(a.Conn().PgConn()).backend, stateOf(b.Conn().PgConn()).backend
	for range poolerRounds {
		for _, pair := range [][2]*pgxpool.Conn{{a, b}, {b, a}} {
			inside, outside, err := backends(ctx, pair[0], pair[1])
			if pair[0] == b {
				inside, outside = outside, inside
			}
			if err != nil && !confused(err) {
				return fmt.Errorf("look for a pooler that shares sessions: %w", err)
			}
			if err != nil || inside != homeA || outside != homeB || homeA == homeB {
				return unsafe("between here and the server is a pooler that shares sessions between transactions " +
					"(PgBouncer's pool_mode = transaction or statement); connect to the server itself, or to a pool with pool_mode = session")
			}
		}
	}
	return nil
}

// backends tells on which backend each connection is while the first is inside
// a transaction.
func backends(ctx context.Context, inside, outside *pgxpool.Conn) (pidInside, pidOutside int32, err error) {
	tx, err := inside.Begin(ctx)
	if err != nil {
		return 0, 0, err
	}
	defer func() { _ = tx.Rollback(ctx) }() // it read only
	const query = "SELECT pg_backend_pid()"
	if err := tx.QueryRow(ctx, query).Scan(&pidInside); err != nil {
		return 0, 0, err
	}
	err = outside.QueryRow(ctx, query).Scan(&pidOutside)
	return pidInside, pidOutside, err
}

// confused reports whether an error looks like that of shared sessions: the
// server knows nothing of what this session did before, or the pooler has no
// session left to hand out.
func confused(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) || errors.Is(err, context.DeadlineExceeded)
}
