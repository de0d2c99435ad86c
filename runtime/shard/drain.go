package shard

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/leftfold/leftfold/runtime/eventstore"
)

// Drain gives the shard away, in this order: snapshot the hot entities while
// still serving, stop taking, commit what is decided, release. What was taken
// and not decided is answered ErrNotOwner, and may be sent to the next owner.
// It is idempotent. When ctx ends first, or has ended before, the shard stops as it
// is: then a batch in flight is answered OutcomeUnknown, and the release is missing,
// which costs the next owner nothing.
func (s *Shard) Drain(ctx context.Context) error {
	if ctx.Err() != nil {
		return s.abandon(ctx)
	}
	hot := make(chan (<-chan struct{}), 1)
	s.post(func() {
		if s.ended || s.draining {
			return
		}
		hot <- s.snapshotHot()
	})
	select {
	case written := <-hot:
		select {
		case <-written:
		case <-s.done:
		case <-ctx.Done():
		}
	case <-s.done:
	case <-ctx.Done():
	}
	s.post(s.startDrain)
	select {
	case <-s.done:
	case <-ctx.Done():
		return s.abandon(ctx)
	}
	return s.err
}

// abandon stops the shard as it is, because there is no time left to drain it.
func (s *Shard) abandon(ctx context.Context) error {
	s.post(func() { s.end(ErrClosed) })
	s.cancel()
	<-s.done
	if s.err == nil {
		return nil // it had been drained
	}
	return fmt.Errorf("drain shard %s: %w", s.id, ctx.Err())
}

func (s *Shard) startDrain() {
	if s.ended || s.draining {
		return
	}
	s.leaving.Store(true)
	moving := notOwner("it is moving")
	s.box.close(moving)
	s.draining = true
	s.showState()
	for _, e := range s.entities {
		for e.waiting() > 0 {
			s.answer(e.pop(), reply{err: moving})
		}
		s.answerAll(e.readers, moving)
		e.readers = nil
	}
}

// releaseIfDrained ends a draining shard when nothing is pending any more.
func (s *Shard) releaseIfDrained() {
	if !s.draining || s.release || s.ended || s.settling ||
		s.inflight != nil || len(s.gather.entries) > 0 || len(s.waiters) > 0 {
		return
	}
	s.release = true
	t := s.tenure()
	s.aside(func() {
		ctx, cancel := context.WithTimeout(s.ctx, s.limits().CallTimeout)
		defer cancel()
		err := s.host.cfg.Store.Release(ctx, t)
		if err != nil {
			s.log.Warn("could not release a drained shard", slog.Any("error", err))
		}
		var why error // the next owner claims it all the same, unless the store went back
		if errors.Is(err, eventstore.ErrRefused) {
			why = s.look(link{t.Head, t.HeadHash})
		}
		s.post(func() { s.end(why) })
	})
}
