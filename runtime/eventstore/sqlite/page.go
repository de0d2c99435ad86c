package sqlite

import (
	"context"
	"database/sql"

	"github.com/leftfold/leftfold/runtime/eventstore"
)

// page reads events, as many as eventstore.Within lets it.
func (s *Store) page(ctx context.Context, query *sql.Stmt, args ...any) ([]eventstore.Event, error) {
	p := eventstore.NewPage(ctx)
	err := each(ctx, s, query, scanEvent, p.Add, args...)
	return p.Events, err
}
