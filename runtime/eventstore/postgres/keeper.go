package postgres

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/leftfold/leftfold/runtime/eventstore"
)

// saveSQL writes snapshots in the order of their key, so that two calls never
// wait for each other in a circle. One that is lost costs a longer load.
const saveSQL = hasty + `
INSERT INTO snapshot AS kept (aggregate, entity, version, seq, hash, time, state, dedup_window, behavior)
SELECT s.* FROM hasty, unnest($1::int4[], $2::text[], $3::int8[], $4::int8[], $5::bytea[], $6::timestamptz[], $7::bytea[], $8::bytea[], $9::bytea[]) AS s
ON CONFLICT (aggregate, entity) DO UPDATE SET version = excluded.version, seq = excluded.seq, hash = excluded.hash,
	time = excluded.time, state = excluded.state, dedup_window = excluded.dedup_window, behavior = excluded.behavior
WHERE kept.version <= excluded.version OR kept.behavior <> excluded.behavior`

// SaveSnapshots implements eventstore.Keeper.
func (s *Store) SaveSnapshots(ctx context.Context, snapshots []eventstore.Snapshot) error {
	if len(snapshots) == 0 {
		return nil
	}
	var (
		aggregates                      []int32
		entities                        []string
		versions, seqs                  []int64
		hashes, states, windows, folded [][]byte
		times                           []time.Time
	)
	for _, v := range byKey(snapshots) {
		aggregates, entities = append(aggregates, int32(v.Aggregate)), append(entities, v.Entity)
		versions, seqs, times = append(versions, v.Version), append(seqs, v.Seq), append(times, v.Time)
		hashes, folded = append(hashes, v.Hash[:]), append(folded, v.Behavior[:])
		states, windows = append(states, notNil(v.State)), append(windows, notNil(v.Window))
	}
	return withConn(ctx, s.query, "save snapshots", func(conn *pgxpool.Conn) error {
		_, err := conn.Exec(ctx, saveSQL, aggregates, entities, versions, seqs, hashes, times, states, windows, folded)
		return err
	})
}

// byKey gives the snapshots in the order of aggregate and entity.
func byKey(snapshots []eventstore.Snapshot) []*eventstore.Snapshot {
	sorted := make([]*eventstore.Snapshot, len(snapshots))
	for i := range snapshots {
		sorted[i] = &snapshots[i]
	}
	slices.SortFunc(sorted, func(a, b *eventstore.Snapshot) int {
		return cmp.Or(cmp.Compare(a.Aggregate, b.Aggregate), cmp.Compare(a.Entity, b.Entity))
	})
	return sorted
}

// notNil is an empty value for a column that has no NULL.
func notNil(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

// forgetSQL passes over rows that an append is writing just now: they live
// again, and waiting for them while holding others could end in a deadlock with
// that append. What is not forgotten is found again with its entity.
const forgetSQL = hasty + `
DELETE FROM outcome USING hasty WHERE outcome.ctid = ANY (ARRAY(
	SELECT o.ctid FROM outcome o
	JOIN unnest($2::text[], $3::text[], $4::timestamptz[]) AS d (entity, command_id, time)
		ON o.entity = d.entity AND o.command_id = d.command_id AND o.time = d.time
	WHERE o.aggregate = $1
	FOR UPDATE OF o SKIP LOCKED))`

// DeleteOutcomes implements eventstore.Keeper.
func (s *Store) DeleteOutcomes(ctx context.Context, aggregate eventstore.AggregateID, outcomes []eventstore.Outcome) error {
	if len(outcomes) == 0 {
		return nil
	}
	entities, commands, times := make([]string, len(outcomes)), make([]string, len(outcomes)), make([]time.Time, len(outcomes))
	for i, o := range outcomes {
		entities[i], commands[i], times[i] = o.Entity, o.CommandID, o.Time
	}
	return withConn(ctx, s.query, "delete outcomes", func(conn *pgxpool.Conn) error {
		_, err := conn.Exec(ctx, forgetSQL, aggregate, entities, commands, times)
		return err
	})
}
