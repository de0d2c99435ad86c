package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/leftfold/leftfold/runtime/eventstore"
)

// forgetMembersAfter is when a member that left no word is forgotten. Any
// process that asked about it has acted long before.
const forgetMembersAfter = 24 * time.Hour

// Heartbeat implements eventstore.Membership.
func (s *Store) Heartbeat(ctx context.Context, m eventstore.Member) error {
	return s.onControl(ctx, "heartbeat", func(conn *pgxpool.Conn) error {
		_, err := conn.Exec(ctx, `
			WITH forgotten AS (
				DELETE FROM member WHERE incarnation = ANY (ARRAY(
					SELECT incarnation FROM member
					WHERE heartbeat < clock_timestamp() - $4::interval AND incarnation <> $1
					FOR UPDATE SKIP LOCKED))
			)
			INSERT INTO member (incarnation, runtime, address, heartbeat) VALUES ($1, $2, $3, clock_timestamp())
			ON CONFLICT (incarnation) DO UPDATE
			SET runtime = excluded.runtime, address = excluded.address, heartbeat = clock_timestamp()`,
			string(m.Incarnation), m.Runtime, m.Address, forgetMembersAfter)
		return err
	})
}

// Leave implements eventstore.Membership.
func (s *Store) Leave(ctx context.Context, i eventstore.Incarnation) error {
	return s.onControl(ctx, "leave", func(conn *pgxpool.Conn) error {
		_, err := conn.Exec(ctx, "DELETE FROM member WHERE incarnation = $1", string(i))
		return err
	})
}

// Members implements eventstore.Membership. They come by incarnation.
func (s *Store) Members(ctx context.Context) ([]eventstore.Member, error) {
	var members []eventstore.Member
	err := s.onControl(ctx, "list members", func(conn *pgxpool.Conn) error {
		rows, err := conn.Query(ctx, `SELECT incarnation, runtime, address,
			greatest(0, extract(epoch FROM clock_timestamp() - heartbeat) * 1000000)::int8 FROM member ORDER BY incarnation`)
		if err != nil {
			return err
		}
		members, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (m eventstore.Member, err error) {
			var age int64
			err = row.Scan(&m.Incarnation, &m.Runtime, &m.Address, &age)
			m.Age = time.Duration(age) * time.Microsecond
			return m, err
		})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("members: %w", err)
	}
	return members, nil
}
