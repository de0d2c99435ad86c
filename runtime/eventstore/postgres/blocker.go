package postgres

import (
	"context"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/leftfold/leftfold/runtime/eventstore"
)

// blockersSQL lists the backends of our own role that keep the given backend
// waiting, directly or through others that wait themselves, and that do nothing:
// idle in a transaction, or in the middle of a statement whose client does not
// send the rest or does not read the answer. xact_start and state_change make a
// sighting unmistakable: a backend that did anything in between shows others.
const blockersSQL = `
WITH RECURSIVE blocker (pid) AS (
	SELECT unnest(pg_blocking_pids($1))
	UNION
	SELECT unnest(pg_blocking_pids(b.pid)) FROM blocker b
)
SELECT a.pid, a.state, coalesce(a.wait_event, ''), a.xact_start, a.state_change
FROM blocker b JOIN pg_stat_activity a ON a.pid = b.pid
WHERE a.usename = current_user AND a.xact_start IS NOT NULL
	AND (a.state LIKE 'idle in transaction%' OR a.wait_event_type = 'Client')`

// sighting is a backend that holds what a claim waits for and does nothing.
type sighting struct {
	pid       int32
	state     string
	waitEvent string
	begun     time.Time
	changed   time.Time
}

// watchBlockers looks, for as long as a claim waits on the given backend, at
// who keeps it waiting, and ends a backend of our own role that was seen doing
// nothing twice, StuckAfter apart: its process is dead, stopped or cut off, and
// the claim is the very means to go on without it. What is being committed, or
// waits for the disk or a standby, is never touched. The function that it
// returns stops the watch and waits for its end.
func (s *Store) watchBlockers(shard eventstore.ShardID, waiting int32) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var watch sync.WaitGroup
	watch.Add(1)
	go func() {
		defer watch.Done()
		ticker := time.NewTicker(s.options.StuckAfter)
		defer ticker.Stop()
		var before []sighting
		for {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
			}
			before = s.endStuck(ctx, shard, waiting, before)
		}
	}()
	return func() { cancel(); watch.Wait() }
}

// endStuck ends the backends that are seen as they were before, and returns
// what it saw.
func (s *Store) endStuck(ctx context.Context, shard eventstore.ShardID, waiting int32, before []sighting) []sighting {
	rows, err := s.query.Query(ctx, blockersSQL, waiting)
	var now []sighting
	if err == nil {
		now, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (v sighting, err error) {
			err = row.Scan(&v.pid, &v.state, &v.waitEvent, &v.begun, &v.changed)
			return v, err
		})
	}
	if err != nil {
		if ctx.Err() == nil {
			s.log.Warn("cannot see who holds a shard's row that a claim waits for", "shard", shard.String(), "error", err)
		}
		return nil
	}
	for _, v := range now {
		for _, earlier := range before {
			if v == earlier {
				s.terminate(ctx, shard, v)
			}
		}
	}
	return now
}

func (s *Store) terminate(ctx context.Context, shard eventstore.ShardID, v sighting) {
	// The transaction's start is asked for once more, in the same statement: the
	// process id may belong to another backend by now.
	var ended bool
	err := s.query.QueryRow(ctx, `SELECT coalesce(bool_or(pg_terminate_backend(pid)), false)
		FROM pg_stat_activity WHERE pid = $1 AND xact_start = $2 AND state_change = $3`, v.pid, v.begun, v.changed).Scan(&ended)
	if err != nil {
		if ctx.Err() == nil {
			s.log.Warn("cannot end a stuck database session that holds a shard's row", "shard", shard.String(), "pid", v.pid, "error", err)
		}
		return
	}
	if ended {
		s.log.Warn("ended a stuck database session that held a shard's row; its transaction is undone", "shard", shard.String(),
			"pid", v.pid, "state", v.state, "waitEvent", v.waitEvent, "since", v.changed)
	}
}
