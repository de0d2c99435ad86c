package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/leftfold/leftfold/runtime/eventstore"
)

const aggregateColumns = "id, name, definition, generation, shards, revision, before, source_uid, source_generation, source_created"

func readAggregate(row pgx.Row) (a eventstore.Aggregate, err error) {
	var created *time.Time
	err = row.Scan(&a.ID, &a.Name, &a.Definition, &a.Generation, &a.Shards, &a.Revision, &a.Before, &a.Source.UID, &a.Source.Generation, &created)
	if created != nil {
		a.Source.Created = created.UTC()
	}
	return a, err
}

// createSQL makes the aggregate and its shards in one statement, so that nobody
// sees one without the other, and nothing when the name is taken.
const createSQL = `
WITH made AS (
	INSERT INTO aggregate (name, shards) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING RETURNING id
)
INSERT INTO shard (aggregate, shard, first_slot, last_slot)
SELECT made.id, s.shard, s.first_slot, s.last_slot
FROM made, unnest($3::int4[], $4::int4[], $5::int4[]) AS s (shard, first_slot, last_slot)`

// EnsureAggregate implements eventstore.Catalog.
func (s *Store) EnsureAggregate(ctx context.Context, name string, shards int) (eventstore.Aggregate, error) {
	what := fmt.Sprintf("aggregate %q", name)
	if shards < 1 || shards > 256 {
		return eventstore.Aggregate{}, fmt.Errorf("%s: %w: %d shards; there are 1 to 256", what, eventstore.ErrNotAttempted, shards)
	}
	// Looked for first: an INSERT that does nothing still uses up a number.
	a, err := s.aggregate(ctx, name)
	if errors.Is(err, pgx.ErrNoRows) {
		numbers, first, last := make([]int32, shards), make([]int32, shards), make([]int32, shards)
		for i, r := range eventstore.DivideSlots(shards) {
			numbers[i], first[i], last[i] = int32(i), int32(r.First), int32(r.Last)
		}
		if err := s.onControl(ctx, what, func(conn *pgxpool.Conn) error {
			_, err := conn.Exec(ctx, createSQL, name, shards, numbers, first, last)
			return err
		}); err != nil {
			return eventstore.Aggregate{}, err
		}
		a, err = s.aggregate(ctx, name)
	}
	switch {
	case err != nil:
		return eventstore.Aggregate{}, fmt.Errorf("%s: %w", what, err)
	case int(a.Shards) != shards:
		return eventstore.Aggregate{}, fmt.Errorf("%s: %w: %d, not %d", what, eventstore.ErrShardsDiffer, a.Shards, shards)
	}
	return a, nil
}

func (s *Store) aggregate(ctx context.Context, name string) (a eventstore.Aggregate, err error) {
	err = s.onControl(ctx, "read the catalog", func(conn *pgxpool.Conn) (err error) {
		a, err = readAggregate(conn.QueryRow(ctx, "SELECT "+aggregateColumns+" FROM aggregate WHERE name = $1", name))
		return err
	})
	return a, err
}

// Aggregates implements eventstore.Catalog.
func (s *Store) Aggregates(ctx context.Context) ([]eventstore.Aggregate, error) {
	aggregates, err := collect(ctx, s, readAggregate, "SELECT "+aggregateColumns+" FROM aggregate ORDER BY name")
	if err != nil {
		return nil, readError("list aggregates", err)
	}
	return aggregates, nil
}

const revisionsSQL = "SELECT id, revision, generation, coalesce(length(before), 0) > 0 FROM aggregate ORDER BY id"

// Revisions implements eventstore.Catalog.
func (s *Store) Revisions(ctx context.Context) ([]eventstore.Revision, error) {
	revisions, err := collect(ctx, s, func(row pgx.Row) (r eventstore.Revision, err error) {
		err = row.Scan(&r.ID, &r.Revision, &r.Generation, &r.Provisional)
		return r, err
	}, revisionsSQL)
	if err != nil {
		return nil, readError("list the revisions of aggregates", err)
	}
	return revisions, nil
}

// AcceptDefinition implements eventstore.Catalog.
func (s *Store) AcceptDefinition(ctx context.Context, id eventstore.AggregateID, expected int64, a eventstore.Acceptance) (eventstore.Aggregate, error) {
	return s.redefine(ctx, fmt.Sprintf("accept a definition of aggregate %d", id), id, expected,
		"generation = generation + 1, definition = $7", a.Source, a.Before, notNil(a.Definition))
}

// AmendDefinition implements eventstore.Catalog.
func (s *Store) AmendDefinition(ctx context.Context, id eventstore.AggregateID, expected int64, source eventstore.Source, before []byte) (eventstore.Aggregate, error) {
	return s.redefine(ctx, fmt.Sprintf("amend the definition of aggregate %d", id), id, expected, "generation = generation", source, before)
}

// redefine changes an aggregate's row, if it has the expected revision.
func (s *Store) redefine(ctx context.Context, what string, id eventstore.AggregateID, expected int64, change string,
	source eventstore.Source, before []byte, more ...any,
) (a eventstore.Aggregate, err error) {
	var created *time.Time
	if !source.Created.IsZero() {
		created = &source.Created
	}
	err = s.onControl(ctx, what, func(conn *pgxpool.Conn) (err error) {
		a, err = readAggregate(conn.QueryRow(ctx, `UPDATE aggregate SET revision = revision + 1, before = $3,
			source_uid = $4, source_generation = $5, source_created = $6, `+change+`
			WHERE id = $1 AND revision = $2 RETURNING `+aggregateColumns,
			append([]any{id, expected, before, source.UID, source.Generation, created}, more...)...))
		return err
	})
	if !errors.Is(err, pgx.ErrNoRows) {
		return a, err
	}
	var exists bool
	if err := s.onControl(ctx, what, func(conn *pgxpool.Conn) error {
		return conn.QueryRow(ctx, "SELECT EXISTS (SELECT FROM aggregate WHERE id = $1)", id).Scan(&exists)
	}); err != nil {
		return eventstore.Aggregate{}, err
	}
	if exists {
		return eventstore.Aggregate{}, fmt.Errorf("%s: %w", what, eventstore.ErrRefused)
	}
	return eventstore.Aggregate{}, fmt.Errorf("%s: %w", what, eventstore.ErrUnknownName)
}

// RaiseFloor implements eventstore.Catalog. It waits for appends under way: they
// hold the rows that it writes. Rows are locked in the order of appends.
func (s *Store) RaiseFloor(ctx context.Context, id eventstore.AggregateID, generation int64) error {
	return s.onControl(ctx, fmt.Sprintf("raise the floor of aggregate %d", id), func(conn *pgxpool.Conn) error {
		_, err := conn.Exec(ctx, `
			WITH low AS MATERIALIZED (
				SELECT aggregate, shard FROM shard WHERE aggregate = $1 AND floor < $2 ORDER BY aggregate, shard FOR NO KEY UPDATE
			)
			UPDATE shard s SET floor = $2 FROM low WHERE s.aggregate = low.aggregate AND s.shard = low.shard`, id, generation)
		return err
	})
}

// EventTypes implements eventstore.Catalog. It reads the whole log of the
// aggregate.
func (s *Store) EventTypes(ctx context.Context, id eventstore.AggregateID) ([]string, error) {
	types, err := collect(ctx, s, func(row pgx.Row) (t string, err error) {
		err = row.Scan(&t)
		return t, err
	}, "SELECT DISTINCT type FROM event WHERE aggregate = $1 ORDER BY type", id)
	if err != nil {
		return nil, readError(fmt.Sprintf("list the event types of aggregate %d", id), err)
	}
	return types, nil
}
