package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/leftfold/leftfold/runtime/eventstore"
)

// scanner is a *sql.Row or *sql.Rows.
type scanner interface{ Scan(...any) error }

func scanShard(row scanner) (eventstore.ShardState, error) {
	var r eventstore.ShardState
	var token, hash []byte
	var at sql.NullInt64
	err := row.Scan(&r.Shard.Aggregate, &r.Shard.Number, &r.Slots.First, &r.Slots.Last, &r.Epoch, &token,
		&r.Owner, &r.Address, &r.Head, &hash, &at, &r.Generation)
	if err != nil {
		return eventstore.ShardState{}, err
	}
	copy(r.Token[:], token)
	copy(r.HeadHash[:], hash)
	if at.Valid {
		r.HeadTime = fromMicro(at.Int64)
	}
	return r, nil
}

func fromMicro(n int64) time.Time { return time.UnixMicro(n).UTC() }

// Shard implements eventstore.Reader.
func (s *Store) Shard(ctx context.Context, id eventstore.ShardID) (eventstore.ShardState, error) {
	if !s.begin() {
		return eventstore.ShardState{}, errClosed
	}
	defer s.calls.Done()
	row, err := scanShard(s.statements.shard.QueryRowContext(ctx, id.Aggregate, id.Number))
	if errors.Is(err, sql.ErrNoRows) {
		err = eventstore.ErrUnknownName
	}
	if err != nil {
		return eventstore.ShardState{}, fmt.Errorf("read shard %s: %w", id, err)
	}
	return row, nil
}

// Shards implements eventstore.Reader.
func (s *Store) Shards(ctx context.Context, aggregate eventstore.AggregateID) ([]eventstore.ShardState, error) {
	rows, err := list(ctx, s, s.statements.shards, func(rows *sql.Rows) (eventstore.ShardState, error) { return scanShard(rows) }, aggregate)
	if err == nil && len(rows) == 0 {
		err = eventstore.ErrUnknownName
	}
	if err != nil {
		return nil, fmt.Errorf("read the shards of aggregate %d: %w", aggregate, err)
	}
	return rows, nil
}

// list reads all rows of a query.
func list[T any](ctx context.Context, s *Store, query *sql.Stmt, scan func(*sql.Rows) (T, error), args ...any) ([]T, error) {
	var all []T
	err := each(ctx, s, query, scan, func(one T) bool {
		all = append(all, one)
		return true
	}, args...)
	return all, err
}

// each gives take the rows of a query, until it has enough.
func each[T any](ctx context.Context, s *Store, query *sql.Stmt, scan func(*sql.Rows) (T, error), take func(T) bool, args ...any) error {
	if !s.begin() {
		return errClosed
	}
	defer s.calls.Done()
	return rowsOf(ctx, query, scan, take, args...)
}

// rowsOf is each where the call has begun.
func rowsOf[T any](ctx context.Context, query *sql.Stmt, scan func(*sql.Rows) (T, error), take func(T) bool, args ...any) error {
	rows, err := query.QueryContext(ctx, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		one, err := scan(rows)
		if err != nil {
			return err
		}
		if !take(one) {
			break
		}
	}
	return rows.Err()
}

// ReadShard implements eventstore.Reader.
func (s *Store) ReadShard(ctx context.Context, id eventstore.ShardID, after int64, limit int) ([]eventstore.Event, error) {
	events, err := s.page(ctx, s.statements.readShard, id.Aggregate, id.Number, after, limit)
	if err != nil {
		return nil, fmt.Errorf("read the events of shard %s: %w", id, err)
	}
	return events, nil
}

// ReadEntity implements eventstore.Reader.
func (s *Store) ReadEntity(ctx context.Context, aggregate eventstore.AggregateID, entity string, after int64, limit int) ([]eventstore.Event, error) {
	events, err := s.page(ctx, s.statements.readEntity, aggregate, entity, after, limit)
	if err != nil {
		return nil, fmt.Errorf("read the events of an entity of aggregate %d: %w", aggregate, err)
	}
	return events, nil
}

func scanEvent(rows *sql.Rows) (eventstore.Event, error) {
	var e eventstore.Event
	var request, hash sql.RawBytes
	var at, recorded int64
	err := rows.Scan(&e.Shard.Aggregate, &e.Shard.Number, &e.Seq, &e.Entity, &e.Version, &e.Epoch, &e.Type, &e.TypeVersion,
		(*[]byte)(&e.Data), &at, &e.Meta.Principal, &e.CommandID, &request, &e.Generation, &recorded, &hash)
	copy(e.RequestHash[:], request)
	copy(e.Hash[:], hash)
	e.Meta.Time, e.RecordedAt = fromMicro(at), fromMicro(recorded)
	return e, err
}

// LoadEntity implements eventstore.Reader.
func (s *Store) LoadEntity(ctx context.Context, aggregate eventstore.AggregateID, entity string, limit int) (l eventstore.Loading, err error) {
	if !s.begin() {
		return l, errClosed
	}
	defer s.calls.Done()
	fail := func(err error) (eventstore.Loading, error) {
		return eventstore.Loading{}, fmt.Errorf("load an entity of aggregate %d: %w", aggregate, err)
	}
	tx, err := s.reader.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return fail(err)
	}
	defer tx.Rollback() //nolint:errcheck // it has written nothing
	of := []any{aggregate, entity}
	err = rowsOf(ctx, tx.StmtContext(ctx, s.statements.snapshot), scanSnapshot, func(v eventstore.Snapshot) bool {
		v.Aggregate, v.Entity = aggregate, entity
		l.Snapshot = v
		return true
	}, of...)
	if err != nil {
		return fail(err)
	}
	p := eventstore.NewPage(ctx)
	err = rowsOf(ctx, tx.StmtContext(ctx, s.statements.readEntity), scanEvent, p.Add, aggregate, entity, l.Snapshot.Version-1, limit)
	if err != nil {
		return fail(err)
	}
	l.Events = p.Events
	err = rowsOf(ctx, tx.StmtContext(ctx, s.statements.outcomes), scanOutcome, func(o eventstore.Outcome) bool {
		o.Entity = entity
		l.Outcomes = append(l.Outcomes, o)
		return true
	}, of...)
	if err != nil {
		return fail(err)
	}
	return l, nil
}

func scanSnapshot(rows *sql.Rows) (eventstore.Snapshot, error) {
	var v eventstore.Snapshot
	var hash, behavior sql.RawBytes
	var at int64
	err := rows.Scan(&v.Version, &v.Seq, &hash, &at, &v.State, &v.Window, &behavior)
	copy(v.Hash[:], hash)
	copy(v.Behavior[:], behavior)
	v.Time = fromMicro(at)
	return v, err
}

func scanOutcome(rows *sql.Rows) (eventstore.Outcome, error) {
	var o eventstore.Outcome
	var request sql.RawBytes
	var at int64
	err := rows.Scan(&o.CommandID, &request, &o.Version, &o.Answer, &at)
	copy(o.RequestHash[:], request)
	o.Time = fromMicro(at)
	return o, err
}
