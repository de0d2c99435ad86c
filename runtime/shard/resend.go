package shard

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"time"

	"github.com/leftfold/leftfold/runtime/problem"
)

// What follows a definite failure: nothing was written.

const (
	firstResend = 10 * time.Millisecond
	lastResend  = time.Second
)

func backoff(retries int) time.Duration {
	return min(firstResend<<min(retries, 16), lastResend)
}

// sendLater sends the identical batch again, as long as one of its callers has
// time; then it is given up.
func (s *Shard) sendLater(b *batch, cause error) {
	now := time.Now()
	if b.failed.IsZero() {
		b.failed = now
		s.log.Warn("an append was not attempted; sending it again", slog.Any("error", cause))
	}
	if s.revoked {
		s.lose("another process has claimed it")
		return
	}
	pause := backoff(b.retries)
	b.retries++
	if s.patience(b).Before(now.Add(pause)) {
		s.giveUp(b)
		return
	}
	time.AfterFunc(pause, func() {
		s.post(func() {
			if !s.ended && s.inflight == b && !b.flying {
				s.send(b)
			}
		})
	})
}

// patience is until when a batch is worth sending.
func (s *Shard) patience(b *batch) time.Time {
	var until time.Time
	for _, en := range b.entries {
		if en.request.deadline.IsZero() {
			return b.failed.Add(s.limits().ResendFor)
		}
		if en.request.deadline.After(until) {
			until = en.request.deadline
		}
	}
	return until
}

// giveUp drops the batch in flight; what was decided on top of it is decided
// again.
func (s *Shard) giveUp(b *batch) {
	s.log.Error("the store does not take appends; commands fail", slog.Int("commands", len(b.entries)))
	var err error = notAttempted("the store does not take writes")
	if b.unsure {
		err = outcomeUnknown("the store does not take writes")
	}
	failed, later := s.dropSpeculation()
	s.answerAll(failed, err)
	s.decideAgain(later)
}

// isolate finds the command that makes a batch invalid: all are decided again,
// and each is sent alone.
func (s *Shard) isolate(b *batch, cause error) {
	if len(b.entries) == 1 {
		s.log.Error("the store cannot hold a command's data; the command fails",
			slog.String("command", b.entries[0].request.cmd.Name), slog.Any("error", cause))
		s.failEntry(b.entries[0])
		return
	}
	s.single = len(b.entries)
	inflight, later := s.dropSpeculation()
	s.decideAgain(append(inflight, later...))
}

// failEntry fails one command of the batch in flight, whose data the store
// cannot hold. All are decided again, this one with the verdict that it has
// earned: were it to run again beside another such command, the two could drop
// each other for ever.
func (s *Shard) failEntry(bad *entry) {
	if s.single > 0 {
		s.single--
	}
	p := problem.New(problem.BehaviorFailed, "the store cannot hold what the command would write")
	inflight, later := s.dropSpeculation()
	again := append(inflight, later...)
	if bad.count > 0 {
		bad.request.verdict = p
	} else {
		// Not even its outcome can be held: it is answered, and not remembered.
		again = slices.DeleteFunc(again, func(r *request) bool { return r == bad.request })
		s.answer(bad.request, reply{err: p})
	}
	s.decideAgain(again)
}

// lose ends the shard: another process owns it. Callers are told so at once. But a
// store that went back voids leases as well, and nobody must go on with that one: why
// the shard has ended is told when its row has been looked at.
func (s *Shard) lose(cause string) {
	if s.ended {
		return
	}
	s.log.Warn("the shard has another owner; stopping", slog.String("cause", cause))
	s.end(notOwner(cause))
	known := link{s.head, s.headHash}
	s.aside(func() { s.lost = s.look(known) })
}

// lookTimeout is how long the end of a shard is held for a look at its row: a store
// that has just voided its lease can be reached.
const lookTimeout = time.Second

// look compares the store with what the shard knows: ErrStoreWentBack, or nil, also
// where the store does not answer.
func (s *Shard) look(known link) error {
	ctx, cancel := context.WithTimeout(s.host.ctx, lookTimeout)
	defer cancel()
	row, err := s.host.cfg.Store.Shard(ctx, s.id)
	if err == nil {
		err = s.host.compare(ctx, row, known)
	}
	switch {
	case errors.Is(err, ErrStoreWentBack):
		s.cryWentBack(err)
		return err
	case err != nil:
		s.log.Info("could not compare the store with what was acknowledged", slog.Any("error", err))
	}
	return nil
}

// end stops the shard. What the store may have taken is answered OutcomeUnknown,
// everything else err. A drained shard ends with nil.
func (s *Shard) end(err error) {
	if s.ended {
		return
	}
	s.ended, s.why = true, err
	s.leaving.Store(true)
	refusal := err
	switch {
	case err == nil:
		refusal = notOwner("it has moved")
	case restartable(err):
		refusal = notOwner(err.Error())
	case !errors.Is(err, ErrNotOwner): // which holds a problem of its own
		refusal = errors.Join(err, notAttempted("the shard has stopped"))
	}
	s.box.close(refusal)
	unsure := s.inflight != nil && (s.inflight.flying || s.inflight.unsure)
	inflight, later := s.dropSpeculation()
	if unsure {
		s.answerAll(inflight, outcomeUnknown("the shard stopped during the append"))
	} else {
		s.answerAll(inflight, refusal)
	}
	s.answerAll(later, refusal)
	for _, w := range s.waiters {
		s.answer(w.request, reply{err: refusal})
	}
	s.waiters = nil
	for _, e := range s.entities {
		for e.waiting() > 0 {
			s.answer(e.pop(), reply{err: refusal})
		}
		s.answerAll(e.readers, refusal)
		e.readers = nil
	}
}
