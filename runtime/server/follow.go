package server

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/leftfold/leftfold/runtime/eventstore"
)

// followEvery is how often a process that shares its store looks whether others
// have changed a definition there, and followTimeout bounds one look with what
// follows from it. A change that comes by way of the cluster is here sooner; this
// is for the rest: a process that does not hear the cluster, a definition that
// had to give way again.
const (
	followEvery   = time.Second
	followTimeout = 15 * time.Second
)

// follow takes up what other processes do to definitions, and settles provisional
// ones that have been seen for a whole round: by then others have taken them up,
// if they get on at all.
func (s *Server) follow(w *workload) {
	provisional := map[eventstore.AggregateID]int64{} // revisions of the last round
	w.every(followEvery, func() {
		ctx, cancel := context.WithTimeout(w.tend, followTimeout)
		defer cancel()
		rows, err := w.store.Revisions(ctx)
		if err != nil {
			return // heartbeats tell that the store is away
		}
		changed := false
		for _, row := range rows {
			a := w.byID(row.ID)
			if a == nil {
				continue
			}
			if row.Provisional && provisional[row.ID] == row.Revision {
				err = errors.Join(err, w.settle(ctx, a))
			}
			delete(provisional, row.ID)
			if row.Provisional {
				provisional[row.ID] = row.Revision
			}
			changed = changed || row.Revision != a.revision()
		}
		if changed {
			err = errors.Join(err, s.again(ctx, w))
		}
		if err != nil && w.tend.Err() == nil {
			w.log.Warn("definitions could not be brought in line with the store; it is tried again", "error", err)
		}
	})
}

// settle settles an aggregate's definition if it is provisional still.
func (w *workload) settle(ctx context.Context, a *aggregate) error {
	row, err := known(ctx, w.store, a.name)
	if err != nil {
		return err
	}
	if len(row.Before) > 0 {
		if err := a.takenUp(ctx, row.Generation); err != nil {
			return fmt.Errorf("settle the definition of aggregate %s: %w", a.name, err)
		}
	}
	if _, err := settleDefinition(ctx, w.store, row); err != nil && !errors.Is(err, eventstore.ErrRefused) {
		return err
	}
	return nil
}

// again brings definitions in line with a changed store. What is declared in a
// cluster is offered once more, which tells what became of it; of files the last
// to offer wins, so they are not.
func (s *Server) again(ctx context.Context, w *workload) error {
	s.applying.Lock()
	defer s.applying.Unlock()
	if s.applied != nil && s.managed {
		stalled, err := s.applyLocked(ctx, s.applied)
		if stalled != nil {
			s.log.Warn("some definitions do not take effect; what was accepted before serves", "error", stalled)
		}
		return err
	}
	var failed []error
	for _, name := range w.names() {
		if a := w.aggregate(name); a != nil {
			failed = append(failed, w.catchUp(ctx, a))
		}
	}
	return errors.Join(failed...)
}

// byID is nil for an aggregate that is not served here.
func (w *workload) byID(id eventstore.AggregateID) *aggregate {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, a := range w.aggregates {
		if a.id == id {
			return a
		}
	}
	return nil
}

// revision is that of the store's row as it was when last looked at.
func (a *aggregate) revision() int64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.aggregate.Revision
}
