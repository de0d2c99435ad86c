package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/leftfold/leftfold/runtime/eventstore"
)

const aggregateColumns = "id, name, definition, generation, shards"

func scanAggregate(row scanner) (eventstore.Aggregate, error) {
	var a eventstore.Aggregate
	err := row.Scan(&a.ID, &a.Name, &a.Definition, &a.Generation, &a.Shards)
	return a, err
}

// EnsureAggregate implements eventstore.Catalog.
func (s *Store) EnsureAggregate(ctx context.Context, name string, shards int) (eventstore.Aggregate, error) {
	if shards < 1 || shards > eventstore.MaxShards {
		return eventstore.Aggregate{}, fmt.Errorf("aggregate %q: %d shards, not 1..%d", name, shards, eventstore.MaxShards)
	}
	var a eventstore.Aggregate
	err := s.write(ctx, func(tx *sql.Tx) (err error) {
		a, err = scanAggregate(tx.QueryRow("SELECT "+aggregateColumns+" FROM aggregate WHERE name = ?", name))
		if errors.Is(err, sql.ErrNoRows) {
			a, err = makeAggregate(tx, name, shards)
		}
		if err == nil && int(a.Shards) != shards {
			return reject("%w: %d, not %d", eventstore.ErrShardsDiffer, a.Shards, shards)
		}
		return err
	})
	if err != nil {
		return eventstore.Aggregate{}, fmt.Errorf("aggregate %q: %w", name, err)
	}
	return a, nil
}

func makeAggregate(tx *sql.Tx, name string, shards int) (eventstore.Aggregate, error) {
	a, err := scanAggregate(tx.QueryRow("INSERT INTO aggregate (name, shards) VALUES (?, ?) RETURNING "+aggregateColumns, name, shards))
	if err != nil {
		return a, err
	}
	for i, slots := range eventstore.DivideSlots(shards) {
		if _, err := tx.Exec("INSERT INTO shard (aggregate, shard, first_slot, last_slot) VALUES (?, ?, ?, ?)",
			a.ID, i, slots.First, slots.Last); err != nil {
			return a, err
		}
	}
	return a, nil
}

// Aggregates implements eventstore.Catalog.
func (s *Store) Aggregates(ctx context.Context) ([]eventstore.Aggregate, error) {
	all, err := ask(ctx, s, "SELECT "+aggregateColumns+" FROM aggregate ORDER BY name",
		func(rows *sql.Rows) (eventstore.Aggregate, error) { return scanAggregate(rows) })
	if err != nil {
		return nil, fmt.Errorf("list aggregates: %w", err)
	}
	return all, nil
}

// ask is list for a query that is too rare to keep prepared.
func ask[T any](ctx context.Context, s *Store, query string, scan func(*sql.Rows) (T, error), args ...any) ([]T, error) {
	if !s.begin() {
		return nil, errClosed
	}
	defer s.calls.Done()
	statement, err := s.reader.PrepareContext(ctx, query)
	if err != nil {
		return nil, err
	}
	defer statement.Close()
	return list(ctx, s, statement, scan, args...)
}

// AcceptDefinition implements eventstore.Catalog.
func (s *Store) AcceptDefinition(ctx context.Context, id eventstore.AggregateID, expected int64, definition []byte) (eventstore.Aggregate, error) {
	var a eventstore.Aggregate
	err := s.write(ctx, func(tx *sql.Tx) (err error) {
		a, err = scanAggregate(tx.QueryRow(`UPDATE aggregate SET definition = ?, generation = generation + 1
			WHERE id = ? AND generation = ? RETURNING `+aggregateColumns, notNil(definition), id, expected))
		if !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		var generation int64
		err = tx.QueryRow("SELECT generation FROM aggregate WHERE id = ?", id).Scan(&generation)
		switch {
		case errors.Is(err, sql.ErrNoRows):
			return reject("%w", eventstore.ErrUnknownName)
		case err != nil:
			return err
		}
		return reject("%w: generation %d, expected %d", eventstore.ErrRefused, generation, expected)
	})
	if err != nil {
		return eventstore.Aggregate{}, fmt.Errorf("accept a definition of aggregate %d: %w", id, err)
	}
	return a, nil
}

// EventTypes implements eventstore.Catalog. It reads the whole log of the
// aggregate.
func (s *Store) EventTypes(ctx context.Context, id eventstore.AggregateID) ([]string, error) {
	types, err := ask(ctx, s, "SELECT DISTINCT type FROM event WHERE aggregate = ? ORDER BY type", func(rows *sql.Rows) (name string, err error) {
		err = rows.Scan(&name)
		return name, err
	}, id)
	if err != nil {
		return nil, fmt.Errorf("list the event types of aggregate %d: %w", id, err)
	}
	return types, nil
}
