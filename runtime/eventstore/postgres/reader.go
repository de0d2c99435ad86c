package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/leftfold/leftfold/runtime/eventstore"
)

// Shard implements eventstore.Reader.
func (s *Store) Shard(ctx context.Context, id eventstore.ShardID) (eventstore.ShardState, error) {
	state, err := readShard(s.query.QueryRow(ctx, shardSQL, id.Aggregate, id.Number))
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return state, fmt.Errorf("shard %s: %w", id, eventstore.ErrUnknownName)
	case err != nil:
		return state, readError(fmt.Sprintf("read shard %s", id), err)
	}
	return state, nil
}

// Shards implements eventstore.Reader.
func (s *Store) Shards(ctx context.Context, aggregate eventstore.AggregateID) ([]eventstore.ShardState, error) {
	shards, err := collect(ctx, s, readShard, "SELECT "+shardColumns+" FROM shard WHERE aggregate = $1 ORDER BY shard", aggregate)
	switch {
	case err != nil:
		return nil, readError(fmt.Sprintf("read the shards of aggregate %d", aggregate), err)
	case len(shards) == 0: // every aggregate has at least one
		return nil, fmt.Errorf("aggregate %d: %w", aggregate, eventstore.ErrUnknownName)
	}
	return shards, nil
}

const readShardSQL = "SELECT " + eventColumns + ` FROM event
	WHERE aggregate = $1 AND shard = $2 AND seq > $3 ORDER BY seq LIMIT $4`

// ReadShard implements eventstore.Reader.
func (s *Store) ReadShard(ctx context.Context, id eventstore.ShardID, after int64, limit int) ([]eventstore.Event, error) {
	events, err := s.page(ctx, readShardSQL, id.Aggregate, id.Number, after, limit, seqOf)
	if err != nil {
		return nil, readError(fmt.Sprintf("read shard %s after %d", id, after), err)
	}
	return events, nil
}

const readEntitySQL = "SELECT " + eventColumns + ` FROM event
	WHERE aggregate = $1 AND entity = $2 AND version > $3 ORDER BY version LIMIT $4`

// ReadEntity implements eventstore.Reader.
func (s *Store) ReadEntity(ctx context.Context, aggregate eventstore.AggregateID, entity string, after int64, limit int) ([]eventstore.Event, error) {
	events, err := s.page(ctx, readEntitySQL, aggregate, entity, after, limit, versionOf)
	if err != nil {
		return nil, readError(fmt.Sprintf("read an entity of aggregate %d after version %d", aggregate, after), err)
	}
	return events, nil
}

const (
	beginLoadSQL    = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
	endLoadSQL      = "COMMIT"
	loadSnapshotSQL = `SELECT version, seq, hash, time, state, dedup_window, behavior FROM snapshot
		WHERE aggregate = $1 AND entity = $2`
	loadEventsSQL = "SELECT " + eventColumns + ` FROM event
		WHERE aggregate = $1 AND entity = $2
			AND version >= coalesce((SELECT version FROM snapshot WHERE aggregate = $1 AND entity = $2), 0)
		ORDER BY version LIMIT $3`
	loadOutcomesSQL = `SELECT entity, command_id, request_hash, version, answer, time FROM outcome
		WHERE aggregate = $1 AND entity = $2 ORDER BY version, time, command_id`
)

// LoadEntity implements eventstore.Reader. Its statements go to the server together:
// the first command of an entity waits for one round trip and not for five.
func (s *Store) LoadEntity(ctx context.Context, aggregate eventstore.AggregateID, entity string, limit int) (eventstore.Loading, error) {
	var l eventstore.Loading
	p := eventstore.NewPage(ctx)
	asked := p.Ask(limit)
	var b pgx.Batch
	b.Queue(beginLoadSQL)
	b.Queue(loadSnapshotSQL, aggregate, entity).Query(func(rows pgx.Rows) error {
		for rows.Next() {
			l.Snapshot.Aggregate, l.Snapshot.Entity = aggregate, entity
			if err := readSnapshot(rows, &l.Snapshot); err != nil {
				return err
			}
		}
		return rows.Err()
	})
	b.Queue(loadEventsSQL, aggregate, entity, asked).Query(func(rows pgx.Rows) error { return addEvents(p, rows) })
	b.Queue(loadOutcomesSQL, aggregate, entity).Query(func(rows pgx.Rows) (err error) {
		l.Outcomes, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (eventstore.Outcome, error) { return readOutcome(row) })
		return err
	})
	b.Queue(endLoadSQL)
	err := s.query.SendBatch(ctx, &b).Close()
	if err == nil && len(p.Events) == asked {
		// The page that is asked for first may be smaller than the one that is wanted.
		err = s.goOn(ctx, p, readEntitySQL, aggregate, entity, versionOf(&p.Events[asked-1]), limit, versionOf)
	}
	if err != nil {
		return eventstore.Loading{}, readError(fmt.Sprintf("load an entity of aggregate %d", aggregate), err)
	}
	l.Events = p.Events
	return l, nil
}

func readSnapshot(row pgx.Row, v *eventstore.Snapshot) error {
	var hash, behavior []byte
	err := row.Scan(&v.Version, &v.Seq, &hash, &v.Time, &v.State, &v.Window, &behavior)
	if err != nil {
		return err
	}
	v.Time = v.Time.UTC()
	if v.Hash, err = hashOf(hash); err != nil {
		return err
	}
	v.Behavior, err = hashOf(behavior)
	return err
}

func readOutcome(row pgx.Row) (eventstore.Outcome, error) {
	var o eventstore.Outcome
	var request []byte
	err := row.Scan(&o.Entity, &o.CommandID, &request, &o.Version, &o.Answer, &o.Time)
	if err != nil {
		return o, err
	}
	o.Time = o.Time.UTC()
	o.RequestHash, err = hashOf(request)
	return o, err
}

// collect reads all rows of a query on the query pool.
func collect[T any](ctx context.Context, s *Store, read func(pgx.Row) (T, error), sql string, args ...any) ([]T, error) {
	rows, err := s.query.Query(ctx, sql, args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (T, error) { return read(row) })
}

// readError wraps the error of a statement that only reads: whatever happened,
// nothing was written.
func readError(what string, err error) error {
	return fmt.Errorf("%s: %w: %w", what, eventstore.ErrNotAttempted, err)
}
