package sqlite

import (
	"context"
	"database/sql"

	"github.com/leftfold/leftfold/runtime/eventstore"
)

// page reads events, as many as eventstore.Within lets it.
func (s *Store) page(ctx context.Context, query *sql.Stmt, args ...any) ([]eventstore.Event, error) {
	if !s.begin() {
		return nil, errClosed
	}
	defer s.calls.Done()
	rows, err := query.QueryContext(ctx, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	p := eventstore.NewPage(ctx)
	for rows.Next() {
		e, err := scanEvent(rows)
		if err != nil {
			return nil, err
		}
		if !p.Add(e) {
			break
		}
	}
	return p.Events, rows.Err()
}
