package routing

import (
	"context"
	"errors"
	"time"

	"github.com/leftfold/leftfold/runtime/problem"
	"github.com/leftfold/leftfold/runtime/shard"
)

// journey is one call's way, over as many attempts as it takes.
type journey struct {
	route   *route
	command bool
	bytes   int64
	// ran says that an attempt of the command may have run, or may yet run.
	ran bool
	// until is when the call has waited enough; zero before it first waits.
	until time.Time
	// hops counts how often news was followed without a pause, pause is the next
	// pause before an owner that gave no answer is called again.
	hops  int
	pause time.Duration
}

// retried is the command as the next attempt sends it.
func (j *journey) retried(c shard.Command) shard.Command {
	c.Retried = c.Retried || j.ran
	return c
}

// travel brings a call to the owner, and again to whoever owns the shard next,
// while it is not answered.
func travel[T any](ctx context.Context, j *journey,
	local func(context.Context, Owner) (T, error), remote func(context.Context, Peer) (T, error),
) (T, error) {
	var none T
	for {
		h := j.route.heading()
		answer, err := none, shard.ErrNotOwner
		switch {
		case h.removed:
			return none, j.gone()
		case h.owner != nil:
			answer, err = local(ctx, h.owner)
		case h.remote.Address != "":
			answer, err = forward(ctx, j.route, h, remote)
		}
		if err == nil || !j.again(err) {
			return answer, err
		}
		if err := j.wait(ctx, h); err != nil {
			return none, err
		}
	}
}

// forward does a call at another process. It is ended early when the shard gets a
// newer owner.
func forward[T any](ctx context.Context, t *route, h heading, do func(context.Context, Peer) (T, error)) (T, error) {
	flying, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	f := &flight{epoch: h.remote.Epoch, cancel: cancel}
	if !t.depart(f, h) {
		var none T
		return none, ErrUnreachable
	}
	defer t.arrive(f)
	slow := time.AfterFunc(slowForward, t.want)
	defer func() {
		if !slow.Stop() {
			t.unwant()
		}
	}()
	answer, err := do(flying, t.router.cfg.Forward(h.remote.Address))
	var refused *NotOwnerError
	if errors.As(err, &refused) && refused.Hint.Epoch > 0 {
		t.learn(refused.Hint)
	}
	return answer, err
}

// again tells whether the call is to be tried again after an error, and notes
// what the error means for what is known of the command.
func (j *journey) again(err error) bool {
	var p *problem.Problem
	switch {
	case errors.Is(err, shard.ErrNotOwner), errors.Is(err, ErrUnreachable):
		return true
	case errors.Is(err, ErrLost), errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		j.ran = j.ran || j.command
		return true
	case !errors.As(err, &p) || p.Rejected:
		return false
	case p.Reason == problem.OutcomeUnknown:
		j.ran = j.ran || j.command
		return true
	case p.Reason == problem.NotAttempted, p.Reason == problem.Overloaded:
		// Who did not look at this attempt says nothing of those before it.
		return j.ran
	}
	return false
}

// gone is the end of a call whose aggregate is not there any more.
func (j *journey) gone() error {
	if j.ran {
		return outcomeUnknown("the aggregate was removed")
	}
	return unknownAggregate(j.route.aggregate)
}

// wait returns when the call is worth another attempt: at once when there is news
// of the owner, else after news or a pause. With an error the call is over.
func (j *journey) wait(ctx context.Context, h heading) error {
	if ctx.Err() != nil {
		return j.giveUp("the call's time ended before the shard's owner answered")
	}
	select {
	case <-h.changed:
		if j.hops++; j.hops <= hopsAtOnce {
			return nil
		}
	default:
	}
	r := j.route.router
	if j.until.IsZero() {
		j.until = time.Now().Add(r.cfg.HoldFor)
	}
	select {
	case r.held <- struct{}{}:
	default:
		return j.over(problem.LimitHeldCalls, "the shard has no owner, and too many calls wait already")
	}
	defer func() { <-r.held }()
	defer r.heldBytes.Add(-j.bytes)
	if r.heldBytes.Add(j.bytes) > r.cfg.HeldBytes {
		return j.over(problem.LimitHeldBytes, "the shard has no owner, and calls of too many bytes wait already")
	}
	r.cfg.Observer.held(1, j.bytes)
	defer r.cfg.Observer.held(-1, -j.bytes)
	j.route.want()
	defer j.route.unwant()
	return j.hold(ctx, h)
}

// hold waits for news, or for a pause where there is somebody to call again. When
// news came faster than they were of use, only the pause counts.
func (j *journey) hold(ctx context.Context, h heading) error {
	r := j.route.router
	end := time.NewTimer(time.Until(j.until))
	defer end.Stop()
	var changed <-chan struct{} = h.changed
	var pause <-chan time.Time
	if j.hops > hopsAtOnce {
		changed, j.hops = nil, 0
	}
	if changed == nil || h.remote.Address != "" || h.owner != nil {
		j.pause = min(max(2*j.pause, firstPause), lastPause)
		timer := time.NewTimer(j.pause)
		defer timer.Stop()
		pause = timer.C
	}
	select {
	case <-changed:
		j.pause = 0
		return nil
	case <-pause:
		return nil
	case <-end.C:
		return j.giveUp("the shard has had no owner that answers for too long")
	case <-ctx.Done():
		return j.giveUp("the call's time ended while the shard had no owner that answers")
	case <-r.ctx.Done():
		return j.giveUp("the process ends")
	}
}

// over is the end of a call that cannot be held, by a limit.
func (j *journey) over(by problem.Limit, why string) error {
	if told := j.route.router.cfg.Observer.Refused; told != nil {
		told(by)
	}
	return j.giveUp(why).Over(by)
}

// giveUp is the end of a call that nobody has answered.
func (j *journey) giveUp(why string) *problem.Problem {
	if j.ran {
		return outcomeUnknown(why)
	}
	return notAttempted(why)
}
