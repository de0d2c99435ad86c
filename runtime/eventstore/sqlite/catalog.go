package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/leftfold/leftfold/runtime/eventstore"
)

const aggregateColumns = "id, name, definition, generation, shards, revision, before, source_uid, source_generation, source_created"

func scanAggregate(row scanner) (eventstore.Aggregate, error) {
	var a eventstore.Aggregate
	var created sql.NullInt64
	err := row.Scan(&a.ID, &a.Name, &a.Definition, &a.Generation, &a.Shards, &a.Revision, &a.Before, &a.Source.UID, &a.Source.Generation, &created)
	if created.Valid {
		a.Source.Created = time.UnixMicro(created.Int64).UTC()
	}
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

// Revisions implements eventstore.Catalog.
func (s *Store) Revisions(ctx context.Context) ([]eventstore.Revision, error) {
	all, err := ask(ctx, s, "SELECT id, revision, generation, coalesce(length(before), 0) > 0 FROM aggregate ORDER BY id",
		func(rows *sql.Rows) (r eventstore.Revision, err error) {
			err = rows.Scan(&r.ID, &r.Revision, &r.Generation, &r.Provisional)
			return r, err
		})
	if err != nil {
		return nil, fmt.Errorf("list the revisions of aggregates: %w", err)
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
func (s *Store) AcceptDefinition(ctx context.Context, id eventstore.AggregateID, expected int64, a eventstore.Acceptance) (eventstore.Aggregate, error) {
	made, err := s.redefine(ctx, id, expected, "generation = generation + 1, definition = ?7", a.Source, a.Before, notNil(a.Definition))
	if err != nil {
		return eventstore.Aggregate{}, fmt.Errorf("accept a definition of aggregate %d: %w", id, err)
	}
	return made, nil
}

// AmendDefinition implements eventstore.Catalog.
func (s *Store) AmendDefinition(ctx context.Context, id eventstore.AggregateID, expected int64, source eventstore.Source, before []byte) (eventstore.Aggregate, error) {
	a, err := s.redefine(ctx, id, expected, "generation = generation", source, before)
	if err != nil {
		return eventstore.Aggregate{}, fmt.Errorf("amend the definition of aggregate %d: %w", id, err)
	}
	return a, nil
}

// redefine changes an aggregate's row, if it has the expected revision.
func (s *Store) redefine(ctx context.Context, id eventstore.AggregateID, expected int64, change string,
	source eventstore.Source, before []byte, more ...any,
) (eventstore.Aggregate, error) {
	var created sql.NullInt64
	if !source.Created.IsZero() {
		created = sql.NullInt64{Int64: source.Created.UnixMicro(), Valid: true}
	}
	var a eventstore.Aggregate
	err := s.write(ctx, func(tx *sql.Tx) (err error) {
		a, err = scanAggregate(tx.QueryRow(`UPDATE aggregate SET revision = revision + 1, before = ?3,
			source_uid = ?4, source_generation = ?5, source_created = ?6, `+change+`
			WHERE id = ?1 AND revision = ?2 RETURNING `+aggregateColumns,
			append([]any{id, expected, before, source.UID, source.Generation, created}, more...)...))
		if !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		var revision int64
		err = tx.QueryRow("SELECT revision FROM aggregate WHERE id = ?", id).Scan(&revision)
		switch {
		case errors.Is(err, sql.ErrNoRows):
			return reject("%w", eventstore.ErrUnknownName)
		case err != nil:
			return err
		}
		return reject("%w: revision %d, expected %d", eventstore.ErrRefused, revision, expected)
	})
	return a, err
}

// RaiseFloor implements eventstore.Catalog.
func (s *Store) RaiseFloor(ctx context.Context, id eventstore.AggregateID, generation int64) error {
	err := s.write(ctx, func(tx *sql.Tx) error {
		_, err := tx.Exec("UPDATE shard SET floor = ?2 WHERE aggregate = ?1 AND floor < ?2", id, generation)
		return err
	})
	if err != nil {
		return fmt.Errorf("raise the floor of aggregate %d: %w", id, err)
	}
	return nil
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
