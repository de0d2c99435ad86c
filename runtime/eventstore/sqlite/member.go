package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/leftfold/leftfold/runtime/eventstore"
)

// The database's clock is this process's: nobody else has the database.

// Heartbeat implements eventstore.Membership.
func (s *Store) Heartbeat(ctx context.Context, m eventstore.Member) error {
	err := s.write(ctx, func(tx *sql.Tx) error {
		_, err := tx.Exec(`INSERT INTO member (incarnation, runtime, address, heartbeat) VALUES (?, ?, ?, ?)
			ON CONFLICT (incarnation) DO UPDATE SET runtime = excluded.runtime, address = excluded.address, heartbeat = excluded.heartbeat`,
			string(m.Incarnation), m.Runtime, m.Address, time.Now().UnixMicro())
		return err
	})
	if err != nil {
		return fmt.Errorf("heartbeat of %s: %w", m.Incarnation, err)
	}
	return nil
}

// Leave implements eventstore.Membership.
func (s *Store) Leave(ctx context.Context, i eventstore.Incarnation) error {
	err := s.write(ctx, func(tx *sql.Tx) error {
		_, err := tx.Exec("DELETE FROM member WHERE incarnation = ?", string(i))
		return err
	})
	if err != nil {
		return fmt.Errorf("leave %s: %w", i, err)
	}
	return nil
}

// Members implements eventstore.Membership.
func (s *Store) Members(ctx context.Context) ([]eventstore.Member, error) {
	members, err := ask(ctx, s, "SELECT incarnation, runtime, address, heartbeat FROM member ORDER BY incarnation",
		func(rows *sql.Rows) (eventstore.Member, error) {
			var m eventstore.Member
			var at int64
			err := rows.Scan(&m.Incarnation, &m.Runtime, &m.Address, &at)
			m.Age = max(0, time.Since(time.UnixMicro(at))) // the clock may have been set back
			return m, err
		})
	if err != nil {
		return nil, fmt.Errorf("list members: %w", err)
	}
	return members, nil
}
