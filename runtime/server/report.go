package server

import (
	"errors"

	leftfoldv1 "github.com/leftfold/leftfold/api/rpc/leftfold/v1"
	"github.com/leftfold/leftfold/runtime/control"
	"github.com/leftfold/leftfold/runtime/shard"
)

// What the operator is told of shards. p.mu makes reports come in the order of
// what happened: a shard is not reported as served after it was reported as gone.

func (p *pod) tell(r *leftfoldv1.ShardReport) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.control.ReportShard(r)
}

func (p *pod) tellClaiming(t *seat, name control.Shard, epoch int64) {
	p.tell(&leftfoldv1.ShardReport{
		Shard: name.Message(), State: leftfoldv1.ShardState_SHARD_STATE_CLAIMING, Epoch: epoch, Orphan: t.orphan.Load(),
	})
}

// tellServed tells that a shard is served, or is about to be.
func (p *pod) tellServed(t *seat, s *shard.Shard) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if ended(s) {
		return // who notices that tells of it
	}
	state := leftfoldv1.ShardState_SHARD_STATE_CLAIMING
	select {
	case <-s.CaughtUp():
		state = leftfoldv1.ShardState_SHARD_STATE_SERVING
	default:
	}
	p.control.ReportShard(&leftfoldv1.ShardReport{
		Shard: nameOf(s).Message(), State: state, Epoch: s.Lease().Epoch, Orphan: t.orphan.Load(),
	})
}

func (p *pod) tellDraining(t *seat, name control.Shard, epoch int64) {
	p.tell(&leftfoldv1.ShardReport{
		Shard: name.Message(), State: leftfoldv1.ShardState_SHARD_STATE_DRAINING, Epoch: epoch, Orphan: t.orphan.Load(),
	})
}

func (p *pod) tellReleased(name control.Shard, epoch int64) {
	p.tell(&leftfoldv1.ShardReport{Shard: name.Message(), State: leftfoldv1.ShardState_SHARD_STATE_RELEASED, Epoch: epoch})
}

// tellForgotten takes back whatever was last told of a shard that is no more.
func (p *pod) tellForgotten(name control.Shard) { p.tellReleased(name, 0) }

// tellNotTaken tells why a shard could not be had.
func (p *pod) tellNotTaken(name control.Shard, expected int64, err error) {
	var refused *shard.ClaimRefusedError
	switch {
	case errors.As(err, &refused):
		p.learn(name, refused.Row)
		p.tellRefused(name, refused.Row.Epoch, string(refused.Row.Owner), refused.Row.Address)
		return
	case errors.Is(err, errLeaving):
		if row, err := p.row(name); err == nil {
			p.tellRefused(name, row.Epoch, string(row.Owner), row.Address)
		} else {
			p.tellRefused(name, expected, "", "")
		}
		return
	case p.ctx.Err() != nil:
		return // the process ends
	}
	p.log.Warn("a shard could not be taken", "aggregate", name.Aggregate, "shard", name.Number, "error", err)
	cause, epoch := leftfoldv1.FailureCause_FAILURE_CAUSE_STORE_REFUSED, expected
	if errors.Is(err, shard.ErrStoreWentBack) {
		cause, epoch = causeOf(err), expected+1 // it was claimed: only the owner's head is sure
	}
	p.tell(&leftfoldv1.ShardReport{
		Shard: name.Message(), State: leftfoldv1.ShardState_SHARD_STATE_FAILED, Epoch: epoch, Cause: cause, Detail: err.Error(),
	})
}

func (p *pod) tellRefused(name control.Shard, epoch int64, owner, address string) {
	p.tell(&leftfoldv1.ShardReport{
		Shard: name.Message(), State: leftfoldv1.ShardState_SHARD_STATE_REFUSED, Epoch: epoch, Owner: owner, Address: address,
	})
}

// renewed implements keeper.
func (p *pod) renewed(s *shard.Shard, epoch int64) {
	p.tell(&leftfoldv1.ShardReport{
		Shard: nameOf(s).Message(), State: leftfoldv1.ShardState_SHARD_STATE_SERVING, Epoch: epoch,
		Orphan: p.orphanNow(nameOf(s)),
	})
}

func (p *pod) orphanNow(name control.Shard) bool { return p.seat(name).orphan.Load() }

// stopped implements keeper: it tells why a shard is not served here any more.
// While an operator is heard, it alone decides what follows.
func (p *pod) stopped(_ *aggregate, number int32, s *shard.Shard) {
	defer func() {
		select {
		case p.vacated <- struct{}{}:
		default:
		}
	}()
	name := control.Shard{Aggregate: s.Aggregate(), Number: number}
	if p.seat(name).restarting.Load() {
		return
	}
	err, epoch := s.Err(), s.Lease().Epoch
	cause := causeOf(err)
	if cause == leftfoldv1.FailureCause_FAILURE_CAUSE_UNSPECIFIED {
		p.tellReleased(name, epoch)
		return
	}
	p.log.Warn("a shard failed", "aggregate", name.Aggregate, "shard", number, "epoch", epoch, "error", err)
	p.tell(&leftfoldv1.ShardReport{
		Shard: name.Message(), State: leftfoldv1.ShardState_SHARD_STATE_FAILED, Epoch: epoch, Cause: cause, Detail: err.Error(),
	})
}

// causeOf tells why a shard failed; unspecified: it did not, but was given up, or
// has another owner.
func causeOf(err error) leftfoldv1.FailureCause {
	switch {
	case err == nil, errors.Is(err, shard.ErrClosed):
		return leftfoldv1.FailureCause_FAILURE_CAUSE_UNSPECIFIED
	case errors.Is(err, shard.ErrPanicked):
		return leftfoldv1.FailureCause_FAILURE_CAUSE_PANICKED
	case errors.Is(err, shard.ErrStuck):
		return leftfoldv1.FailureCause_FAILURE_CAUSE_STUCK
	case errors.Is(err, shard.ErrNotOwner):
		return leftfoldv1.FailureCause_FAILURE_CAUSE_UNSPECIFIED
	case errors.Is(err, shard.ErrStoreWentBack):
		return leftfoldv1.FailureCause_FAILURE_CAUSE_STORE_WENT_BACK
	}
	return leftfoldv1.FailureCause_FAILURE_CAUSE_STORE_REFUSED
}
