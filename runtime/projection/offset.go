package projection

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/leftfold/leftfold/runtime/eventstore"
)

// feed names one shard's events on their way into one version.
type feed struct {
	projection int64
	version    int
	shard      eventstore.ShardID
}

func (f feed) String() string {
	return fmt.Sprintf("projection %d version %d shard %s", f.projection, f.version, f.shard)
}

// errGone says that the version is retired or was never there.
var errGone = errors.New("the version is not built any more")

// errOvertaken says that another worker moved the offset.
var errOvertaken = errors.New("the offset has moved")

// readOffset gives where the feed is, and starts it at 0 when it is new.
func readOffset(ctx context.Context, db *DB, f feed) (int64, error) {
	const query = `SELECT seq FROM projection_offset
		WHERE projection = $1 AND version = $2 AND aggregate = $3 AND shard = $4`
	args := []any{f.projection, f.version, int32(f.shard.Aggregate), f.shard.Number}
	var seq int64
	err := db.Writer.QueryRowContext(ctx, query, args...).Scan(&seq)
	if err == nil {
		return seq, nil
	}
	if !errors.Is(err, sql.ErrNoRows) {
		return 0, fmt.Errorf("read the offset of %s: %w", f, err)
	}
	err = db.Write(ctx, func(tx *sql.Tx) error {
		// The lock on the version's row keeps a retirement from passing by, which
		// would leave this row behind.
		var one int
		err := tx.QueryRowContext(ctx, `SELECT 1 FROM projection_version
			WHERE projection = $1 AND version = $2 AND state <> 'retired'`+db.ForUpdate(), f.projection, f.version).Scan(&one)
		if errors.Is(err, sql.ErrNoRows) {
			return errGone
		}
		if err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, `INSERT INTO projection_offset (projection, version, aggregate, shard, seq)
			VALUES ($1, $2, $3, $4, 0) ON CONFLICT DO NOTHING`, args...); err != nil {
			return err
		}
		return tx.QueryRowContext(ctx, query, args...).Scan(&seq)
	})
	if err != nil {
		return 0, fmt.Errorf("start the offset of %s: %w", f, err)
	}
	return seq, nil
}

// moveOffset is the compare-and-set that gives exactly once. from may equal to:
// then it only keeps other workers from moving until the transaction ends.
func moveOffset(ctx context.Context, tx *sql.Tx, f feed, from, to int64) error {
	query := `UPDATE projection_offset SET seq = $6
		WHERE projection = $1 AND version = $2 AND aggregate = $3 AND shard = $4 AND seq = $5`
	if offsetUnguarded() {
		query = `UPDATE projection_offset SET seq = $6
			WHERE projection = $1 AND version = $2 AND aggregate = $3 AND shard = $4 AND CAST($5 AS bigint) IS NOT NULL`
	}
	done, err := tx.ExecContext(ctx, query,
		f.projection, f.version, int32(f.shard.Aggregate), f.shard.Number, from, to)
	if err != nil {
		return fmt.Errorf("move the offset of %s: %w", f, err)
	}
	n, err := done.RowsAffected()
	if err != nil {
		return fmt.Errorf("move the offset of %s: %w", f, err)
	}
	if n != 1 {
		return errOvertaken
	}
	return nil
}

// readOffsets gives all offsets of a version. lock is the dialect's ForUpdate,
// or empty.
func readOffsets(ctx context.Context, q querier, projection int64, version int, lock string) (map[eventstore.ShardID]int64, error) {
	rows, err := q.QueryContext(ctx, `SELECT aggregate, shard, seq FROM projection_offset
		WHERE projection = $1 AND version = $2 ORDER BY aggregate, shard`+lock, projection, version)
	if err != nil {
		return nil, fmt.Errorf("read offsets: %w", err)
	}
	defer rows.Close()
	offsets := make(map[eventstore.ShardID]int64)
	for rows.Next() {
		var id eventstore.ShardID
		var seq int64
		if err := rows.Scan(&id.Aggregate, &id.Number, &seq); err != nil {
			return nil, fmt.Errorf("read offsets: %w", err)
		}
		offsets[id] = seq
	}
	return offsets, rows.Err()
}
