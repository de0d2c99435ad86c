package postgres

import (
	"context"

	"github.com/leftfold/leftfold/runtime/eventstore"
)

// page reads up to limit events after a place, as many as eventstore.Within lets it.
// The statement's first two arguments are the aggregate and what it reads of that,
// the others the place and how many; place is an event's.
//
// The server sends all that it is asked for, and what has no room is read to its end
// and dropped, a row at a time. So a page that is bounded in bytes is asked for in
// parts.
func (s *Store) page(
	ctx context.Context, sql string, aggregate eventstore.AggregateID, of any, after int64, limit int, place func(*eventstore.Event) int64,
) ([]eventstore.Event, error) {
	p := eventstore.NewPage(ctx)
	if err := s.goOn(ctx, p, sql, aggregate, of, after, limit, place); err != nil {
		return nil, err
	}
	return p.Events, nil
}

// goOn is page for a page that may have its first part.
func (s *Store) goOn(
	ctx context.Context, p *eventstore.Page, sql string, aggregate eventstore.AggregateID, of any, after int64, limit int, place func(*eventstore.Event) int64,
) error {
	for {
		asked, had := p.Ask(limit), len(p.Events)
		if asked <= 0 {
			return nil
		}
		if err := s.queryEvents(ctx, p, sql, aggregate, of, after, asked); err != nil {
			return err
		}
		if len(p.Events)-had < asked {
			return nil
		}
		after = place(&p.Events[len(p.Events)-1])
	}
}

func seqOf(e *eventstore.Event) int64     { return e.Seq }
func versionOf(e *eventstore.Event) int64 { return e.Version }
