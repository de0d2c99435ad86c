package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"

	sqlite3 "modernc.org/sqlite/lib"

	"github.com/leftfold/leftfold/runtime/eventstore"
)

// errApart: a batch met data or rows that fail it; who is guilty shows when each
// has a savepoint.
var errApart = errors.New("a batch failed")

// Append implements eventstore.Log.
func (s *Store) Append(ctx context.Context, batches []eventstore.Batch) []eventstore.AppendResult {
	results := make([]eventstore.AppendResult, len(batches))
	var sound []entry
	for i := range batches {
		e, err := storable(&batches[i])
		if err != nil {
			results[i] = eventstore.AppendResult{Status: eventstore.Invalid, Err: err}
			continue
		}
		e.index = i
		sound = append(sound, e)
	}
	if len(sound) == 0 {
		return results
	}
	var fates []eventstore.AppendResult
	err := s.write(ctx, func(tx *sql.Tx) (err error) {
		fates, err = s.together(tx, sound)
		return err
	})
	if errors.Is(err, errApart) {
		err = s.write(ctx, func(tx *sql.Tx) (err error) {
			fates, err = s.apart(tx, sound)
			return err
		})
	}
	for i, e := range sound {
		switch {
		case err == nil:
			results[e.index] = fates[i]
		case errors.Is(err, eventstore.ErrOutcomeUnknown):
			results[e.index] = eventstore.AppendResult{Status: eventstore.Unknown, Err: err}
		default:
			results[e.index] = eventstore.AppendResult{Status: eventstore.NotAttempted, Err: err}
		}
	}
	return results
}

// together appends the batches one after the other, and gives up at the first
// that fails for its data or rows.
func (s *Store) together(tx *sql.Tx, entries []entry) ([]eventstore.AppendResult, error) {
	fates := make([]eventstore.AppendResult, len(entries))
	for i, e := range entries {
		status, err := s.append(tx, e)
		if _, ok := guilty(err); ok {
			return nil, reject("%w: %w", errApart, err)
		}
		if err != nil {
			return nil, err
		}
		fates[i].Status = status
	}
	return fates, nil
}

// apart is together with a savepoint around each batch.
func (s *Store) apart(tx *sql.Tx, entries []entry) ([]eventstore.AppendResult, error) {
	fates := make([]eventstore.AppendResult, len(entries))
	for i, e := range entries {
		if _, err := tx.Exec("SAVEPOINT batch"); err != nil {
			return nil, err
		}
		status, err := s.append(tx, e)
		fate, ok := guilty(err)
		switch {
		case ok:
			fates[i] = eventstore.AppendResult{Status: fate, Err: fmt.Errorf("append to shard %s: %w", e.batch.Lease.Shard, err)}
			if _, err := tx.Exec("ROLLBACK TO batch"); err != nil {
				return nil, err
			}
		case err != nil:
			return nil, err
		default:
			fates[i].Status = status
		}
		if _, err := tx.Exec("RELEASE batch"); err != nil {
			return nil, err
		}
	}
	return fates, nil
}

// guilty reports whether an error is the batch's own, and what it makes of it.
func guilty(err error) (eventstore.AppendStatus, bool) {
	switch primary(err) {
	case sqlite3.SQLITE_CONSTRAINT:
		return eventstore.Conflict, true
	case sqlite3.SQLITE_TOOBIG, sqlite3.SQLITE_MISMATCH:
		return eventstore.Invalid, true
	}
	return 0, false
}

// append writes one batch if its lease and head match.
func (s *Store) append(tx *sql.Tx, e entry) (eventstore.AppendStatus, error) {
	b := e.batch
	ok, err := s.fence(tx, b)
	if err != nil {
		return 0, err
	}
	if !ok {
		return eventstore.Refused, nil
	}
	if err := s.insert(tx, e); err != nil {
		return 0, err
	}
	if len(b.Outcomes) > 0 {
		put := on(tx, s.statements.putOutcome)
		for _, o := range b.Outcomes {
			if _, err := put.exec(b.Lease.Shard.Aggregate, o.Entity, o.CommandID, o.RequestHash[:], o.Version, notNil(o.Answer), o.Time.UnixMicro()); err != nil {
				return 0, err
			}
		}
	}
	return eventstore.Appended, nil
}

// fence moves the head if lease and head match; without events it only looks.
func (s *Store) fence(tx *sql.Tx, b *eventstore.Batch) (bool, error) {
	match := append(leaseValues(b.Lease), b.Head, b.HeadHash[:])
	if len(b.Events) == 0 {
		var n int
		err := on(tx, s.statements.proveHead).row(match...).Scan(&n)
		return n > 0, err
	}
	last := &b.Events[len(b.Events)-1]
	return changed(on(tx, s.statements.moveHead).exec(append(append([]any{last.Seq, last.Hash[:], last.RecordedAt.UnixMicro()}, match...), b.Generation())...))
}

// insert writes the events with as few statements as their sizes allow.
func (s *Store) insert(tx *sql.Tx, e entry) error {
	var values []any
	events, data := e.batch.Events, e.data
	for i, size := range insertSizes {
		if len(events) < size {
			continue
		}
		insert := on(tx, s.statements.insertEvents[i])
		for len(events) >= size {
			values = values[:0]
			for j := range size {
				values = eventValues(values, &events[j], data[j])
			}
			if _, err := insert.exec(values...); err != nil {
				return err
			}
			events, data = events[size:], data[size:]
		}
	}
	return nil
}

func eventValues(values []any, e *eventstore.Event, data string) []any {
	values = slices.Grow(values, 16)
	return append(values, int64(e.Shard.Aggregate), int64(e.Shard.Number), e.Seq, e.Entity, e.Version, e.Epoch, e.Type, int64(e.TypeVersion),
		data, e.Meta.Time.UnixMicro(), e.Meta.Principal, e.CommandID, e.RequestHash[:], e.Generation, e.RecordedAt.UnixMicro(), e.Hash[:])
}
