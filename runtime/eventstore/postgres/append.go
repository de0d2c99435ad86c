package postgres

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/leftfold/leftfold/runtime/eventstore"
)

// noContext is what appends run under: the driver watches no context that is
// context.Background(), so no caller's end reaches the statement.
var noContext = context.Background()

// appender runs the append statement on connections of its own.
//
// A call holds a lane (there are AppendConnections) while it waits. When its
// context ends, it gives up the lane and goes; the statement keeps its
// connection until it ends or is dropped (see abandoned).
type appender struct {
	pool       *pgxpool.Pool
	lanes      chan struct{}
	statements sync.Pool
	left       *abandoned
	// running counts the goroutines that carry a statement.
	running sync.WaitGroup
	stopped chan struct{}
}

// openAppender makes the append connections' pool.
func (s *Store) openAppender(ctx context.Context) (*appender, error) {
	o := s.options
	spec := s.pool(o.AppendConnections+o.AbandonedConnections, neverCancel, map[string]string{
		"lock_timeout": milliseconds(appendLockTimeout),
		// The statement's shape never changes, its sizes do: planning it anew each
		// time costs more than running it. Its tables are reached by key only,
		// which the planner cannot know while they are empty.
		"plan_cache_mode": "force_generic_plan",
		"enable_seqscan":  "off",
	})
	spec.ready = func(ctx context.Context, conn *pgx.Conn) error {
		if _, err := conn.PgConn().Prepare(ctx, appendName, appendSQL, nil); err != nil {
			return err
		}
		return rehearseAppend(ctx, conn.PgConn())
	}
	spec.kept = o.AppendConnections
	pool, err := spec.open(ctx, s.config)
	if err != nil {
		return nil, err
	}
	return &appender{
		pool:       pool,
		lanes:      make(chan struct{}, o.AppendConnections),
		statements: sync.Pool{New: func() any { return new(appendStatement) }},
		left:       &abandoned{limit: o.AbandonedConnections, patience: o.AbandonedTimeout},
		stopped:    make(chan struct{}),
	}, nil
}

var errClosed = fmt.Errorf("%w: the store is closed", eventstore.ErrNotAttempted)

// close waits for the calls in flight, drops what was abandoned, and closes the
// connections.
func (a *appender) close() {
	close(a.stopped)
	for range cap(a.lanes) {
		a.lanes <- struct{}{}
	}
	a.left.dropAll()
	a.running.Wait()
	a.pool.Close()
}

// Append implements eventstore.Log.
func (s *Store) Append(ctx context.Context, batches []eventstore.Batch) []eventstore.AppendResult {
	results := make([]eventstore.AppendResult, len(batches))
	if len(batches) == 0 {
		return results
	}
	sent, malformed := wellFormed(batches)
	s.appends.appendAll(ctx, sent, results)
	for i, err := range malformed {
		if results[i].Status == eventstore.Appended {
			results[i] = eventstore.AppendResult{Status: eventstore.Invalid, Err: err}
		}
	}
	return results
}

// wellFormed replaces batches that do not continue their own head, or are not the
// first of their shard, by empty ones, which write nothing and only tell whether
// lease and head match: a batch that is stale as well is refused for that.
func wellFormed(batches []eventstore.Batch) ([]*eventstore.Batch, map[int]error) {
	sent := make([]*eventstore.Batch, len(batches))
	seen := make(map[eventstore.ShardID]bool, len(batches))
	var malformed map[int]error
	for i := range batches {
		b := &batches[i]
		err := validate(b)
		if seen[b.Lease.Shard] {
			err = fmt.Errorf("a second batch for shard %s in one append", b.Lease.Shard)
		}
		seen[b.Lease.Shard] = true
		if err != nil {
			if malformed == nil {
				malformed = map[int]error{}
			}
			malformed[i] = err
			b = &eventstore.Batch{Lease: b.Lease, Head: b.Head, HeadHash: b.HeadHash}
		}
		sent[i] = b
	}
	return sent, malformed
}

// validate refuses what is no continuation of the batch's own head. The store
// alone can tell whether that head is the shard's.
func validate(b *eventstore.Batch) error {
	for i := range b.Events {
		e := &b.Events[i]
		if e.Shard != b.Lease.Shard || e.Epoch != b.Lease.Epoch || e.Seq != b.Head+1+int64(i) {
			return fmt.Errorf("event %d of the batch (shard %s, epoch %d, seq %d) does not continue shard %s, epoch %d, head %d",
				i, e.Shard, e.Epoch, e.Seq, b.Lease.Shard, b.Lease.Epoch, b.Head)
		}
	}
	return nil
}

// appendAll sends the batches in one statement. When the server rejects the
// statement for one batch's rows, it cannot say which, so each is sent alone.
func (a *appender) appendAll(ctx context.Context, batches []*eventstore.Batch, results []eventstore.AppendResult) {
	matched, status, err := a.attempt(ctx, batches)
	if len(batches) > 1 && (status == eventstore.Invalid || status == eventstore.Conflict) {
		for i := range batches {
			a.appendAll(ctx, batches[i:i+1], results[i:i+1])
		}
		return
	}
	for i := range batches {
		switch {
		case status != eventstore.Appended:
			results[i] = eventstore.AppendResult{Status: status, Err: err}
		case matched[i]:
			results[i] = eventstore.AppendResult{Status: eventstore.Appended}
		default:
			results[i] = eventstore.AppendResult{Status: eventstore.Refused}
		}
	}
}

// attempt sends one statement. Status Appended means that it committed, for the
// batches that matched.
func (a *appender) attempt(ctx context.Context, batches []*eventstore.Batch) (matched []bool, status eventstore.AppendStatus, err error) {
	select {
	case <-a.stopped:
		return nil, eventstore.NotAttempted, errClosed
	default:
	}
	select {
	case a.lanes <- struct{}{}:
	case <-a.stopped:
		return nil, eventstore.NotAttempted, errClosed
	case <-ctx.Done():
		return nil, eventstore.NotAttempted, fmt.Errorf("%w: wait for a connection: %w", eventstore.ErrNotAttempted, context.Cause(ctx))
	}
	defer func() { <-a.lanes }()
	statement, ok := a.statements.Get().(*appendStatement)
	if !ok {
		statement = new(appendStatement)
	}
	if err := statement.fill(batches); err != nil {
		a.statements.Put(statement)
		return nil, eventstore.Invalid, err
	}
	conn, err := a.pool.Acquire(ctx)
	if err != nil {
		a.statements.Put(statement)
		return nil, eventstore.NotAttempted, fmt.Errorf("%w: no connection: %w", eventstore.ErrNotAttempted, err)
	}
	if ctx.Err() != nil { // nothing has been sent yet, and now nothing will be
		conn.Release()
		a.statements.Put(statement)
		return nil, eventstore.NotAttempted, fmt.Errorf("%w: %w", eventstore.ErrNotAttempted, context.Cause(ctx))
	}
	return a.carry(ctx, conn, statement, len(batches))
}

// carry runs the statement in a goroutine of its own and waits for it or for
// ctx, whichever ends first.
func (a *appender) carry(ctx context.Context, conn *pgxpool.Conn, statement *appendStatement, batches int) ([]bool, eventstore.AppendStatus, error) {
	type outcome struct {
		matched []bool
		err     error
	}
	done := make(chan outcome, 1)
	exit := &departure{conn: conn}
	a.running.Add(1)
	go func() {
		defer a.running.Done()
		matched, err := statement.execute(conn.Conn().PgConn(), batches)
		a.statements.Put(statement)
		var warning *warningError
		a.left.leave(exit, errors.As(err, &warning))
		done <- outcome{matched, err}
	}()
	select {
	case o := <-done:
		status, err := appendStatus(o.err)
		return o.matched, status, err
	case <-ctx.Done():
	}
	if !a.left.abandon(exit) { // it ended in the same moment
		o := <-done
		status, err := appendStatus(o.err)
		return o.matched, status, err
	}
	return nil, eventstore.Unknown, fmt.Errorf("%w: abandoned: %w", eventstore.ErrOutcomeUnknown, context.Cause(ctx))
}

// appendStatus translates a statement's end.
func appendStatus(err error) (eventstore.AppendStatus, error) {
	if err == nil {
		return eventstore.Appended, nil
	}
	var warning *warningError
	if errors.As(err, &warning) {
		return eventstore.Unknown, fmt.Errorf("%w: %w", eventstore.ErrOutcomeUnknown, err)
	}
	switch judge(err) {
	case duplicate:
		return eventstore.Conflict, err
	case badData:
		return eventstore.Invalid, err
	case rolledBack, notSent:
		return eventstore.NotAttempted, fmt.Errorf("%w: %w", eventstore.ErrNotAttempted, err)
	}
	return eventstore.Unknown, fmt.Errorf("%w: %w", eventstore.ErrOutcomeUnknown, err)
}
