package projection

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/leftfold/leftfold/runtime/eventstore"
)

// transactionTimeout bounds one transaction; a healthy one takes milliseconds.
const transactionTimeout = 30 * time.Second

// stopGrace is what a stop grants to a transaction under way. A database that
// hangs must not keep the process from handing its shards over.
const stopGrace = 3 * time.Second

// transact runs f in one writing transaction, when there is room for one. A
// worker that is told to stop lets the transaction end, within stopGrace: it is
// short, and a rollback would only have another do it again.
func (w *worker) transact(ctx context.Context, f func(ctx context.Context, tx *sql.Tx) error) error {
	select {
	case w.env.inFlight <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-w.env.inFlight }()
	stopped := ctx
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), transactionTimeout)
	defer cancel()
	defer context.AfterFunc(stopped, func() { time.AfterFunc(stopGrace, cancel) })()
	return w.env.DB.Write(ctx, func(tx *sql.Tx) error { return f(ctx, tx) })
}

// panicked is the error of a target that panicked.
type panicked struct{ cause any }

func (p *panicked) Error() string { return fmt.Sprintf("applying it panicked: %v", p.cause) }

// fold lets the target write what the events mean. A panic of it is the events'
// failure: the process has other work.
func (w *worker) fold(ctx context.Context, tx *sql.Tx, events []eventstore.Event) (failures []Failure, err error) {
	defer func() {
		if cause := recover(); cause != nil {
			w.log.Error("a projection panicked", "panic", cause, "stack", string(debug.Stack()))
			failures, err = nil, &panicked{cause}
		}
	}()
	return w.writer.Apply(ctx, tx, events)
}

// refused tells of an error that lies in an event and not in the circumstances,
// so that trying the same again is of no use.
func (w *worker) refused(err error) bool {
	return err != nil && (w.env.DB.Refused(err) || errors.As(err, new(*panicked)))
}

// apply moves the offset and then writes what the events mean.
func (w *worker) apply(ctx context.Context, from, to int64, events []eventstore.Event) ([]Failure, error) {
	var failures []Failure
	err := w.transact(ctx, func(ctx context.Context, tx *sql.Tx) error {
		if err := moveOffset(ctx, tx, w.feed, from, to); err != nil {
			return err
		}
		if len(events) == 0 {
			return nil
		}
		var err error
		if failures, err = w.fold(ctx, tx, events); err != nil {
			return err
		}
		return park(ctx, tx, w.feed, failures)
	})
	if err != nil {
		return nil, err
	}
	w.writer.Committed()
	return failures, nil
}

// parkOne parks the entity of an event whose values the database refuses.
func (w *worker) parkOne(ctx context.Context, from int64, e *eventstore.Event, cause error) ([]Failure, error) {
	failures := []Failure{{Entity: e.Entity, Version: e.Version, Seq: e.Seq, Err: cause}}
	err := w.transact(ctx, func(ctx context.Context, tx *sql.Tx) error {
		if err := moveOffset(ctx, tx, w.feed, from, e.Seq); err != nil {
			return err
		}
		return park(ctx, tx, w.feed, failures)
	})
	return failures, err
}

// retryEntity applies a parked entity's events up to the offset, a page a
// transaction. The entity leaves the quarantine when none is left, and stays
// parked, perhaps further on, when one still fails.
func (w *worker) retryEntity(ctx context.Context, entity string, p parkedEntity) error {
	offset := w.offset.Load()
	limit := w.env.MaxBatch
	if w.single >= p.seq {
		limit = 1
	}
	read, err := w.stored(ctx, limit, func(ctx context.Context, limit int) ([]eventstore.Event, error) {
		return w.env.Log.ReadEntity(ctx, w.feed.shard.Aggregate, entity, p.version-1, limit)
	})
	if err != nil {
		return fmt.Errorf("read %q of %s: %w", entity, w.feed, err)
	}
	defer read.release()
	page, full := read.events, read.full
	for len(page) > 0 && page[len(page)-1].Seq > offset {
		page, full = page[:len(page)-1], false
	}
	var wanted []eventstore.Event
	for _, e := range page {
		if w.events == nil || w.events[e.Type] {
			wanted = append(wanted, e)
		}
	}
	next := p
	next.retry = full
	if len(page) > 0 {
		last := page[len(page)-1]
		next.version, next.seq = last.Version+1, last.Seq+1
	}
	var failures []Failure
	err = w.transact(ctx, func(ctx context.Context, tx *sql.Tx) error {
		if err := moveOffset(ctx, tx, w.feed, offset, offset); err != nil {
			return err
		}
		var err error
		if failures, err = w.fold(ctx, tx, wanted); err != nil {
			return err
		}
		return w.settleRetry(ctx, tx, entity, next, failures)
	})
	if w.refused(err) {
		w.forget()
		if limit > 1 {
			w.single = offset
			return nil
		}
		return w.refuseRetry(ctx, offset, entity, p, err)
	}
	if err != nil {
		return err
	}
	w.writer.Committed()
	w.log.Info("a parked entity was tried again", "entity", entity, "applied", len(wanted)-len(failures), "failed", len(failures))
	w.loaded = false // the quarantine has changed
	return nil
}

// settleRetry records how far a retry came.
func (w *worker) settleRetry(ctx context.Context, tx *sql.Tx, entity string, next parkedEntity, failures []Failure) error {
	if len(failures) > 0 {
		x := failures[0]
		return repark(ctx, tx, w.feed, entity, x.Version, x.Seq, errorText(x.Err), false)
	}
	if next.retry {
		return repark(ctx, tx, w.feed, entity, next.version, next.seq, "a retry is under way", true)
	}
	return unpark(ctx, tx, w.feed, entity)
}

// refuseRetry ends a retry at an event whose values the database still refuses.
func (w *worker) refuseRetry(ctx context.Context, offset int64, entity string, p parkedEntity, cause error) error {
	return w.transact(ctx, func(ctx context.Context, tx *sql.Tx) error {
		if err := moveOffset(ctx, tx, w.feed, offset, offset); err != nil {
			return err
		}
		return repark(ctx, tx, w.feed, entity, p.version, p.seq, errorText(cause), false)
	})
}
