package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/leftfold/leftfold/runtime/eventstore"
)

const claimSQL = `
UPDATE shard SET epoch = epoch + 1, token = $4, owner = $5, address = $6
WHERE aggregate = $1 AND shard = $2 AND epoch = $3 AND NOT closed`

// Claim implements eventstore.Log. It waits in the server for the shard's row,
// up to Options.ClaimTimeout, and meanwhile ends backends that hold it and do
// nothing (see watchBlockers). The row is read in the same transaction, and the same
// round trip, by a statement that begins when the row has been had: what the claim had
// to wait for may have been decided by a definition that is newer than its beginning.
func (s *Store) Claim(ctx context.Context, r eventstore.ClaimRequest) (eventstore.ShardState, error) {
	what := fmt.Sprintf("claim shard %s", r.Shard)
	if r.Owner == "" {
		return eventstore.ShardState{}, fmt.Errorf("%s: %w: no owner is given", what, eventstore.ErrNotAttempted)
	}
	select {
	case s.claims <- struct{}{}:
		defer func() { <-s.claims }()
	case <-ctx.Done():
		return eventstore.ShardState{}, fmt.Errorf("%s: %w: %w", what, eventstore.ErrNotAttempted, context.Cause(ctx))
	}
	var claimed bool
	var state eventstore.ShardState
	err := s.onControl(ctx, what, func(conn *pgxpool.Conn) error {
		stop := s.watchBlockers(r.Shard, stateOf(conn.Conn().PgConn()).backend)
		defer stop()
		var b pgx.Batch
		b.Queue(claimSQL, r.Shard.Aggregate, r.Shard.Number, r.Expected, r.Token[:], string(r.Owner), r.Address).Exec(
			func(tag pgconn.CommandTag) error {
				claimed = tag.RowsAffected() > 0
				return nil
			})
		b.Queue(shardSQL, r.Shard.Aggregate, r.Shard.Number).QueryRow(func(row pgx.Row) (err error) {
			state, err = readShard(row)
			return err
		})
		return conn.SendBatch(ctx, &b).Close() // it returns when all is committed
	})
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return eventstore.ShardState{}, fmt.Errorf("%s: %w", what, eventstore.ErrUnknownName)
	case err != nil:
		return eventstore.ShardState{}, claimError(what, err)
	case !claimed:
		return eventstore.ShardState{}, fmt.Errorf("%s: %w", what, eventstore.ErrRefused)
	}
	return state, nil
}

// claimError adds what an operator can do about a row that stays locked.
func claimError(what string, err error) error {
	var pg *pgconn.PgError
	if errors.As(err, &pg) && pg.Code == codeLockNotAvailable {
		return fmt.Errorf("%s: %w: the shard's row is held by another session that is at work, or that this role may not end "+
			"(see pg_stat_activity): %w", what, eventstore.ErrNotAttempted, err)
	}
	return err
}

// hasty begins a statement that need not be durable, and so does not wait for the
// disk or for a standby, nor keeps the appends waiting for its own turn at the disk.
// The rest of the statement must read from it.
const hasty = "WITH hasty AS (SELECT set_config('synchronous_commit', 'off', true))"

// Without a release the next owner claims all the same, and callers wait for it.
const releaseSQL = hasty + `
UPDATE shard SET owner = '', address = '', token = $5 FROM hasty
WHERE aggregate = $1 AND shard = $2 AND epoch = $3 AND token = $4 AND owner <> '' AND head = $6 AND head_hash = $7`

// Release implements eventstore.Log.
func (s *Store) Release(ctx context.Context, t eventstore.Tenure) error {
	what := fmt.Sprintf("release shard %s", t.Shard)
	var tag pgconn.CommandTag
	err := s.onControl(ctx, what, func(conn *pgxpool.Conn) (err error) {
		tag, err = conn.Exec(ctx, releaseSQL, t.Shard.Aggregate, t.Shard.Number, t.Epoch, t.Token[:], make([]byte, len(t.Token)), t.Head, t.HeadHash[:])
		return err
	})
	switch {
	case err != nil:
		return err
	case tag.RowsAffected() == 0:
		return fmt.Errorf("%s: %w", what, eventstore.ErrRefused)
	}
	return nil
}

// Check implements eventstore.Log.
func (s *Store) Check(ctx context.Context, tenures []eventstore.Tenure) ([]bool, error) {
	held := make([]bool, len(tenures))
	if len(tenures) == 0 {
		return held, nil
	}
	n := len(tenures)
	ordinals, aggregates, shards, epochs, tokens := make([]int32, n), make([]int32, n), make([]int32, n), make([]int64, n), make([][]byte, n)
	heads, hashes := make([]int64, n), make([][]byte, n)
	for i := range tenures {
		t := &tenures[i]
		ordinals[i], aggregates[i], shards[i], epochs[i] = int32(i), int32(t.Shard.Aggregate), t.Shard.Number, t.Epoch
		tokens[i], heads[i], hashes[i] = t.Token[:], t.Head, t.HeadHash[:]
	}
	err := s.onControl(ctx, "check leases", func(conn *pgxpool.Conn) error {
		rows, err := conn.Query(ctx, `
			SELECT t.ordinal FROM unnest($1::int4[], $2::int4[], $3::int4[], $4::int8[], $5::bytea[], $6::int8[], $7::bytea[])
				AS t (ordinal, aggregate, shard, epoch, token, head, head_hash)
			JOIN shard s ON s.aggregate = t.aggregate AND s.shard = t.shard AND s.epoch = t.epoch AND s.token = t.token
				AND s.owner <> '' AND (s.head > t.head OR s.head = t.head AND s.head_hash = t.head_hash)`,
			ordinals, aggregates, shards, epochs, tokens, heads, hashes)
		if err != nil {
			return err
		}
		var ordinal int32
		_, err = pgx.ForEachRow(rows, []any{&ordinal}, func() error {
			held[ordinal] = true
			return nil
		})
		return err
	})
	if err != nil {
		return nil, err
	}
	return held, nil
}

// onControl runs one statement on a control connection. Its error wraps
// ErrNotAttempted or ErrOutcomeUnknown, but for pgx.ErrNoRows, which is passed
// on as it is.
func (s *Store) onControl(ctx context.Context, what string, do func(*pgxpool.Conn) error) error {
	return withConn(ctx, s.control, what, do)
}

func withConn(ctx context.Context, pool *pgxpool.Pool, what string, do func(*pgxpool.Conn) error) error {
	conn, err := pool.Acquire(ctx)
	if err != nil {
		return fmt.Errorf("%s: %w: no connection: %w", what, eventstore.ErrNotAttempted, err)
	}
	defer conn.Release()
	state := stateOf(conn.Conn().PgConn())
	warned := state.warnings.Load()
	err = do(conn)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return err
	case err != nil:
		return writeError(what, err)
	case state.warnings.Load() != warned:
		return fmt.Errorf("%s: %w: committed with a warning: %v", what, eventstore.ErrOutcomeUnknown, state.lastWarning.Load())
	}
	return nil
}
