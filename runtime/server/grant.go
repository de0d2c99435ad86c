package server

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/leftfold/leftfold/runtime/control"
	"github.com/leftfold/leftfold/runtime/eventstore"
	"github.com/leftfold/leftfold/runtime/shard"
)

const (
	// knowTimeout is how long a grant waits for an aggregate that this process has
	// not seen yet: another pod may have been quicker to, by far less than this.
	knowTimeout = 5 * time.Second
	// releaseTimeout bounds a handoff. What has not been written by then is
	// answered OutcomeUnknown: the store did not answer for longer than an append
	// may take.
	releaseTimeout = 10 * time.Second
)

var errLeaving = errors.New("the pod drains and takes no shards")

// grant claims a shard that the operator gives to this pod.
func (p *pod) grant(name control.Shard, expected int64) {
	t := p.seat(name)
	t.busy.Lock()
	defer t.busy.Unlock()
	a, err := p.aggregate(name)
	if err == nil && p.draining.Load() {
		err = errLeaving
	}
	if err != nil {
		p.tellNotTaken(name, expected, err)
		return
	}
	if s := a.shard(name.Number); s != nil && !ended(s) {
		if epoch := s.Lease().Epoch; expected < epoch {
			p.tellServed(t, s) // the grant was heard before
			return
		}
		// From its own epoch: that is a restart. From a later one: the store knows
		// of another owner, so what is served here is void.
		p.drop(t, a, s)
	}
	_ = p.claim(t, a, name, &expected, false)
}

// aggregate finds the aggregate of a shard, and waits for it if need be.
func (p *pod) aggregate(name control.Shard) (*aggregate, error) {
	ctx, cancel := context.WithTimeout(p.ctx, knowTimeout)
	defer cancel()
	a := p.w.await(ctx, name.Aggregate)
	switch {
	case a == nil:
		return nil, fmt.Errorf("no definition of aggregate %s is in force here", name.Aggregate)
	case name.Number < 0 || int(name.Number) >= len(a.ranges):
		return nil, fmt.Errorf("aggregate %s has %d shards", name.Aggregate, len(a.ranges))
	}
	return a, nil
}

// drop ends a shard that is claimed anew at once, without telling of it.
func (p *pod) drop(t *seat, a *aggregate, s *shard.Shard) {
	t.restarting.Store(true)
	defer t.restarting.Store(false)
	ctx, cancel := context.WithTimeout(p.ctx, releaseTimeout)
	defer cancel()
	if err := s.Drain(ctx); err != nil {
		p.log.Info("a shard that is restarted could not be drained", "aggregate", a.name, "shard", s.ID().Number, "error", err)
	}
	<-a.end(s.ID().Number)
}

// end is closed when a shard that was served here can be claimed again: see ended.
func (a *aggregate) end(number int32) <-chan struct{} {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.ended[number]
}

// claim takes a shard and tells what has come of it; nil takes it from the epoch
// that it has. The seat is busy.
func (p *pod) claim(t *seat, a *aggregate, name control.Shard, expected *int64, orphan bool) error {
	select {
	case p.claims <- struct{}{}:
	case <-p.ctx.Done():
		return p.ctx.Err()
	}
	placed := p.w.router.Claiming(name.Aggregate, name.Number)
	defer placed()
	t.orphan.Store(orphan)
	p.tellClaiming(t, name, *expected)
	s, err := p.w.open(p.ctx, a, name.Number, expected)
	<-p.claims
	if err != nil {
		p.tellNotTaken(name, *expected, err)
		return err
	}
	select {
	case <-s.CaughtUp():
		p.tellServed(t, s)
	default:
		p.work.Go(func() {
			select {
			case <-s.CaughtUp():
				p.tellServed(t, s)
			case <-s.Done():
			}
		})
	}
	return nil
}

// release drains a shard and gives it up, if it is served under the epoch.
func (p *pod) release(name control.Shard, epoch int64) {
	t := p.seat(name)
	t.busy.Lock()
	defer t.busy.Unlock()
	var s *shard.Shard
	a := p.w.aggregate(name.Aggregate)
	if a != nil && name.Number >= 0 && int(name.Number) < len(a.ranges) {
		s = a.shard(name.Number)
	}
	switch {
	case s == nil || ended(s):
		p.tellReleased(name, epoch)
	case s.Lease().Epoch != epoch:
		p.tellServed(t, s)
	default:
		p.tellDraining(t, name, epoch)
		p.giveUp(a, s)
	}
}

// giveUp drains a shard, and returns when it can be claimed again, by the same
// process too. Its keeper has been told by then.
func (p *pod) giveUp(a *aggregate, s *shard.Shard) {
	ctx, cancel := context.WithTimeout(context.Background(), releaseTimeout)
	defer cancel()
	if err := s.Drain(ctx); err != nil && !errors.Is(err, shard.ErrNotOwner) && !errors.Is(err, shard.ErrStoreWentBack) {
		p.log.Warn("a shard could not be drained; its next owner claims it all the same",
			"aggregate", a.name, "shard", s.ID().Number, "error", err)
	}
	<-a.end(s.ID().Number)
}

// forget ends the serving of an aggregate that was deleted. Its events stay.
func (p *pod) forget(a *aggregate) {
	w := p.w
	w.mu.Lock()
	if w.aggregates[a.name] == a {
		delete(w.aggregates, a.name)
		w.tellChanged()
	}
	w.mu.Unlock()
	w.router.Remove(a.name)
	p.log.Info("an aggregate was deleted; it is served no more, and its events stay", "aggregate", a.name)
	p.each(a, func(t *seat, name control.Shard) {
		if s := a.shard(name.Number); s != nil && !ended(s) {
			p.tellDraining(t, name, s.Lease().Epoch)
			p.giveUp(a, s)
		}
		p.tellForgotten(name)
	})
}

// each does something for all shards of an aggregate at the same time, each in
// its turn.
func (p *pod) each(a *aggregate, do func(t *seat, name control.Shard)) {
	done := make(chan struct{})
	for number := range a.ranges {
		name := control.Shard{Aggregate: a.name, Number: int32(number)}
		go func() {
			defer func() { done <- struct{}{} }()
			t := p.seat(name)
			t.busy.Lock()
			defer t.busy.Unlock()
			do(t, name)
		}()
	}
	for range a.ranges {
		<-done
	}
}

// row reads what the store knows of a shard.
func (p *pod) row(name control.Shard) (eventstore.ShardState, error) {
	ctx, cancel := context.WithTimeout(p.ctx, knowTimeout)
	defer cancel()
	a := p.w.aggregate(name.Aggregate)
	if a == nil {
		return eventstore.ShardState{}, eventstore.ErrUnknownName
	}
	return p.w.store.Shard(ctx, eventstore.ShardID{Aggregate: a.id, Number: name.Number})
}
