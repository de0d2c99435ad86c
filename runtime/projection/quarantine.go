package projection

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/leftfold/leftfold/runtime/eventstore"
)

// Parked is an entity whose events are not applied any more.
type Parked struct {
	Aggregate eventstore.AggregateID
	Shard     int32
	Entity    string
	// Version and Seq are those of the entity's first event that is not applied.
	Version int64
	Seq     int64
	Error   string
}

// maxErrorText bounds what is kept of an error: enough for any message of an
// expression, and little beside a row of events.
const maxErrorText = 1000

// park records failures, each with its entity's first event that is not
// applied.
func park(ctx context.Context, tx *sql.Tx, f feed, failures []Failure) error {
	for _, x := range failures {
		if _, err := tx.ExecContext(ctx, `INSERT INTO projection_quarantine
			(projection, version, aggregate, entity, shard, failed_version, failed_seq, error)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`,
			f.projection, f.version, int32(f.shard.Aggregate), x.Entity, f.shard.Number,
			x.Version, x.Seq, errorText(x.Err)); err != nil {
			return fmt.Errorf("park %q of %s: %w", x.Entity, f, err)
		}
	}
	return nil
}

// repark records that an entity got as far as, but not past, another event.
func repark(ctx context.Context, tx *sql.Tx, f feed, entity string, version, seq int64, text string, retry bool) error {
	_, err := tx.ExecContext(ctx, `UPDATE projection_quarantine SET failed_version = $5, failed_seq = $6, error = $7, retry = $8
		WHERE projection = $1 AND version = $2 AND aggregate = $3 AND entity = $4`,
		f.projection, f.version, int32(f.shard.Aggregate), entity, version, seq, text, retry)
	if err != nil {
		return fmt.Errorf("park %q of %s again: %w", entity, f, err)
	}
	return nil
}

// unpark ends an entity's quarantine.
func unpark(ctx context.Context, tx *sql.Tx, f feed, entity string) error {
	_, err := tx.ExecContext(ctx, `DELETE FROM projection_quarantine
		WHERE projection = $1 AND version = $2 AND aggregate = $3 AND entity = $4`,
		f.projection, f.version, int32(f.shard.Aggregate), entity)
	if err != nil {
		return fmt.Errorf("end the quarantine of %q of %s: %w", entity, f, err)
	}
	return nil
}

// readParked gives a version's parked entities.
func readParked(ctx context.Context, q querier, projection int64, version int) ([]Parked, error) {
	rows, err := q.QueryContext(ctx, `SELECT aggregate, shard, entity, failed_version, failed_seq, error
		FROM projection_quarantine WHERE projection = $1 AND version = $2 ORDER BY aggregate, shard, failed_seq`,
		projection, version)
	if err != nil {
		return nil, fmt.Errorf("read the quarantine: %w", err)
	}
	defer rows.Close()
	var all []Parked
	for rows.Next() {
		var p Parked
		if err := rows.Scan(&p.Aggregate, &p.Shard, &p.Entity, &p.Version, &p.Seq, &p.Error); err != nil {
			return nil, fmt.Errorf("read the quarantine: %w", err)
		}
		all = append(all, p)
	}
	return all, rows.Err()
}

// parkedEntity is a worker's memory of one parked entity.
type parkedEntity struct {
	version, seq int64
	retry        bool
}

// readFeedParked gives the parked entities of one feed.
func readFeedParked(ctx context.Context, q querier, f feed) (map[string]parkedEntity, error) {
	rows, err := q.QueryContext(ctx, `SELECT entity, failed_version, failed_seq, retry FROM projection_quarantine
		WHERE projection = $1 AND version = $2 AND aggregate = $3 AND shard = $4`,
		f.projection, f.version, int32(f.shard.Aggregate), f.shard.Number)
	if err != nil {
		return nil, fmt.Errorf("read the quarantine of %s: %w", f, err)
	}
	defer rows.Close()
	all := make(map[string]parkedEntity)
	for rows.Next() {
		var entity string
		var p parkedEntity
		if err := rows.Scan(&entity, &p.version, &p.seq, &p.retry); err != nil {
			return nil, fmt.Errorf("read the quarantine of %s: %w", f, err)
		}
		all[entity] = p
	}
	return all, rows.Err()
}

// requestRetry asks the workers, wherever they run, to try parked entities
// again.
func requestRetry(ctx context.Context, db *DB, name string) error {
	return db.Write(ctx, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, `UPDATE projection_quarantine SET retry = true
			WHERE projection = (SELECT id FROM projection WHERE name = $1)`, name); err != nil {
			return fmt.Errorf("retry %s: %w", name, err)
		}
		return nil
	})
}

// retryRequested gives the feeds of a projection that have something to retry.
func retryRequested(ctx context.Context, q querier, projection int64) (map[feed]bool, error) {
	rows, err := q.QueryContext(ctx, `SELECT DISTINCT version, aggregate, shard FROM projection_quarantine
		WHERE projection = $1 AND retry = true`, projection)
	if err != nil {
		return nil, fmt.Errorf("read retries: %w", err)
	}
	defer rows.Close()
	all := make(map[feed]bool)
	for rows.Next() {
		f := feed{projection: projection}
		if err := rows.Scan(&f.version, &f.shard.Aggregate, &f.shard.Number); err != nil {
			return nil, fmt.Errorf("read retries: %w", err)
		}
		all[f] = true
	}
	return all, rows.Err()
}

// errorText makes an error fit for any database: valid UTF-8, no U+0000, short.
func errorText(err error) string {
	text := strings.ReplaceAll(strings.ToValidUTF8(err.Error(), "�"), "\x00", "�")
	if len(text) <= maxErrorText {
		return text
	}
	cut := maxErrorText
	for !utf8.RuneStart(text[cut]) {
		cut--
	}
	return text[:cut]
}
