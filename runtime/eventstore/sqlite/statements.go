package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
)

// shardColumns are in the order of scanShard.
const shardColumns = `aggregate, shard, first_slot, last_slot, epoch, token, owner, address, head, head_hash, head_time,
	(SELECT a.generation FROM aggregate a WHERE a.id = shard.aggregate)`

// eventColumns are in the order of eventValues and scanEvents.
const eventColumns = "aggregate, shard, seq, entity, version, epoch, type, type_version, data, time, principal, command_id, request_hash, generation, recorded_at, hash"

// holds is the condition under which a lease holds.
const holds = "aggregate = ? AND shard = ? AND owner <> '' AND epoch = ? AND token = ?"

// insertSizes are the numbers of rows that the prepared INSERTs of events have,
// descending; a batch is cut into them. Each row is 16 of SQLite's 32,766
// parameters; beyond 32 rows a larger statement gains nothing.
var insertSizes = [...]int{32, 8, 1}

// statements are prepared once: those of the writer must be, since preparing
// needs its one connection, which a transaction has.
type statements struct {
	claim, release, moveHead, proveHead, putOutcome *sql.Stmt
	insertEvents                                    [len(insertSizes)]*sql.Stmt
	putSnapshot, deleteOutcome                      *sql.Stmt

	shard, shards, check, readShard, readEntity, snapshot, outcomes *sql.Stmt
}

func (s *statements) prepare(ctx context.Context, writer, reader *sql.DB) error {
	var err error
	prepare := func(db *sql.DB, to **sql.Stmt, query string) {
		if err == nil {
			if *to, err = db.PrepareContext(ctx, query); err != nil { //nolint:sqlclosecheck // closed with its pool
				err = fmt.Errorf("prepare %q: %w", query, err)
			}
		}
	}
	prepare(writer, &s.claim, `UPDATE shard SET epoch = epoch + 1, token = ?, owner = ?, address = ?
		WHERE aggregate = ? AND shard = ? AND epoch = ? AND closed = 0 RETURNING `+shardColumns)
	prepare(writer, &s.release, "UPDATE shard SET owner = '', address = '', token = zeroblob(16) WHERE "+holds+" AND head = ? AND head_hash = ?")
	prepare(writer, &s.moveHead, "UPDATE shard SET head = ?, head_hash = ?, head_time = ? WHERE "+holds+" AND head = ? AND head_hash = ? AND floor <= ?")
	prepare(writer, &s.proveHead, "SELECT count(*) FROM shard WHERE "+holds+" AND head = ? AND head_hash = ?")
	prepare(writer, &s.putOutcome, `INSERT INTO outcome (aggregate, entity, command_id, request_hash, version, answer, time) VALUES (?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (aggregate, entity, command_id) DO UPDATE
		SET request_hash = excluded.request_hash, version = excluded.version, answer = excluded.answer, time = excluded.time`)
	for i, rows := range insertSizes {
		prepare(writer, &s.insertEvents[i], insertEvents(rows))
	}
	prepare(writer, &s.putSnapshot, `INSERT INTO snapshot (aggregate, entity, version, seq, hash, time, state, dedup, behavior) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (aggregate, entity) DO UPDATE
		SET version = excluded.version, seq = excluded.seq, hash = excluded.hash, time = excluded.time,
			state = excluded.state, dedup = excluded.dedup, behavior = excluded.behavior
		WHERE excluded.version >= snapshot.version OR excluded.behavior <> snapshot.behavior`)
	prepare(writer, &s.deleteOutcome, "DELETE FROM outcome WHERE aggregate = ? AND entity = ? AND command_id = ? AND time = ?")

	prepare(reader, &s.shard, "SELECT "+shardColumns+" FROM shard WHERE aggregate = ? AND shard = ?")
	prepare(reader, &s.shards, "SELECT "+shardColumns+" FROM shard WHERE aggregate = ? ORDER BY shard")
	prepare(reader, &s.check, "SELECT count(*) FROM shard WHERE "+holds+" AND (head > ? OR head = ? AND head_hash = ?)")
	prepare(reader, &s.readShard, "SELECT "+eventColumns+" FROM event WHERE aggregate = ? AND shard = ? AND seq > ? ORDER BY seq LIMIT ?")
	prepare(reader, &s.readEntity, "SELECT "+eventColumns+" FROM event WHERE aggregate = ? AND entity = ? AND version > ? ORDER BY version LIMIT ?")
	prepare(reader, &s.snapshot, "SELECT version, seq, hash, time, state, dedup, behavior FROM snapshot WHERE aggregate = ? AND entity = ?")
	prepare(reader, &s.outcomes, "SELECT command_id, request_hash, version, answer, time FROM outcome WHERE aggregate = ? AND entity = ? ORDER BY version, time, command_id")
	return err
}

// bound is a prepared statement in a transaction, with which it closes.
type bound struct{ statement *sql.Stmt }

func on(tx *sql.Tx, s *sql.Stmt) bound { return bound{tx.Stmt(s)} }

func (b bound) exec(values ...any) (sql.Result, error) { return b.statement.Exec(values...) }
func (b bound) row(values ...any) *sql.Row             { return b.statement.QueryRow(values...) }

func insertEvents(rows int) string {
	row := "(?" + strings.Repeat(", ?", strings.Count(eventColumns, ",")) + ")"
	return "INSERT INTO event (" + eventColumns + ") VALUES " + row + strings.Repeat(", "+row, rows-1)
}
