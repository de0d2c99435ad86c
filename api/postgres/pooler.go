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

// RefuseSharedSessions tells a pooler that gives each client a server session
// of its own, which is fine, from one that shares sessions between transactions
// (PgBouncer's pool_mode = transaction or statement): there, settings, prepared
// statements and locks of a session end up with another client. That is
// [ErrUnsuitable]. Two clients, a and another of the pool, watch on which backend
// they are, one of them inside a transaction. Both came through [Establish].
func RefuseSharedSessions(ctx context.Context, pool *pgxpool.Pool, a *pgxpool.Conn) error {
	if !FactsOf(a.Conn().PgConn()).Pooled {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, poolerTimeout)
	defer cancel()
	b, err := pool.Acquire(ctx)
	if err != nil {
		return fmt.Errorf("look for a pooler that shares sessions: %w", err)
	}
	defer b.Release()
	homeA, homeB := FactsOf(a.Conn().PgConn()).Backend, FactsOf(b.Conn().PgConn()).Backend
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
				return unsuitable("between here and the server is a pooler that shares sessions between transactions " +
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
