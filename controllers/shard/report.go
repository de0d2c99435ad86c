package shard

import (
	"time"

	leftfoldv1 "github.com/leftfold/leftfold/api/rpc/leftfold/v1"
	"github.com/leftfold/leftfold/api/v1alpha1"
	"github.com/leftfold/leftfold/controllers/liveness"
)

// hearShard takes in what has become of a shard on a member. What is said of a
// lower epoch than known is of the past, unless it is the store's answer to a claim
// that was just asked for.
func (p *pool) hearShard(m *member, r *leftfoldv1.ShardReport) {
	s := p.get(shardID(r.GetShard()))
	m.progress = p.now
	if m.told != nil {
		m.told[s.id] = struct{}{}
	}
	asked := s.phase == claiming && s.target == m.incarnation
	switch r.GetState() {
	case leftfoldv1.ShardState_SHARD_STATE_CLAIMING:
		switch {
		case asked && r.GetEpoch() == s.epoch+1:
			p.owned(s, r.GetEpoch(), m.incarnation) // claimed, and not caught up yet
		case s.phase == idle && !s.serving && r.GetEpoch() >= s.epoch:
			p.expect(s, m) // asked for by the leader before this one
		}
	case leftfoldv1.ShardState_SHARD_STATE_SERVING:
		p.hearServing(m, s, r)
	case leftfoldv1.ShardState_SHARD_STATE_DRAINING:
		if p.takes(m, s, r.GetEpoch()) && s.phase == idle {
			p.enter(s, releasing, "", p.now)
			s.planned = true
			p.changed()
		}
	case leftfoldv1.ShardState_SHARD_STATE_RELEASED:
		p.hearReleased(m, s, r, asked)
	case leftfoldv1.ShardState_SHARD_STATE_REFUSED:
		p.hearRefused(m, s, r, asked)
	case leftfoldv1.ShardState_SHARD_STATE_FAILED:
		p.hearFailed(m, s, r, asked)
	}
}

// takes tells whether the member has the shard under the epoch, and notes it when
// that is news.
func (p *pool) takes(m *member, s *shard, epoch int64) bool {
	switch {
	case epoch < s.epoch:
		return false
	case epoch > s.epoch:
		p.owned(s, epoch, m.incarnation)
		return true
	case s.owner == "" && (s.phase == idle || s.target == m.incarnation):
		p.owned(s, epoch, m.incarnation)
		return true
	default:
		return s.owner == m.incarnation
	}
}

// owned notes who has the shard now; nobody: an empty name. Who had it serves it no
// more.
func (p *pool) owned(s *shard, epoch int64, owner string) {
	if s.owner != "" && s.owner != owner {
		p.observe(liveness.ShardReleased{Member: s.owner, Shard: liveness.ShardID(s.id)})
	}
	s.epoch, s.owner, s.serving, s.dirty = epoch, owner, false, true
	p.tellOwner(s)
	p.changed()
}

// expect waits for a member to say that it serves a shard.
func (p *pool) expect(s *shard, m *member) {
	p.enter(s, claiming, m.incarnation, p.now)
	p.changed()
}

func (p *pool) hearServing(m *member, s *shard, r *leftfoldv1.ShardReport) {
	before := s.epoch
	if !p.takes(m, s, r.GetEpoch()) {
		return
	}
	p.observe(liveness.ShardServed{Member: m.incarnation, Shard: liveness.ShardID(s.id)})
	if s.serving && s.phase != claiming {
		return // said before
	}
	if s.phase == releasing && s.epoch == before && s.owner == m.incarnation {
		s.serving = true // the release has not reached it yet
		return
	}
	if s.phase == claiming && s.epoch == before && s.target != m.incarnation {
		s.serving = true // it is on its way elsewhere, from here
		return
	}
	s.serving, s.planned, s.message, s.notBefore = true, false, "", time.Time{}
	m.slowUntil = time.Time{}
	p.enter(s, idle, "", p.now)
	p.recovered(s, r)
	p.tellOwner(s)
	p.wantCalmPlan()
	p.changed()
}

// recovered ends an outage, if there was one.
func (p *pool) recovered(s *shard, r *leftfoldv1.ShardReport) {
	end := p.now
	switch {
	case r.GetOrphan() && r.GetEpoch() > p.remembered[s.id].epoch:
		began := end
		if s.outage != nil {
			began = s.outage.detected
		}
		p.failedOver(s, &Failover{Reason: v1alpha1.FailoverOrphaned, Detected: began, Recovered: end, Duration: end.Sub(began)})
	case s.outage != nil:
		p.failedOver(s, &Failover{
			Reason: s.outage.reason, Detected: s.outage.detected, Recovered: end, Duration: end.Sub(s.outage.detected),
		})
	}
	p.moved(s)
	s.outage = nil
}

// moved ends a planned move, if there was one that did not become an outage.
func (p *pool) moved(s *shard) {
	if !s.ordered.IsZero() && s.outage == nil {
		took := p.now.Sub(s.ordered)
		p.metrics.moved(took)
		p.log.Info("a shard has moved", "aggregate", s.id.Aggregate, "shard", s.id.Number, "duration", took, "epoch", s.epoch)
	}
	s.ordered = time.Time{}
}

func (p *pool) failedOver(s *shard, f *Failover) {
	s.failover = f
	p.metrics.failedOver(f)
	p.log.Info("a shard has failed over", "aggregate", s.id.Aggregate, "shard", s.id.Number,
		"reason", f.Reason, "duration", f.Duration, "epoch", s.epoch)
}

// outageOf begins an outage. One that is under way goes on: callers have waited
// since then.
func (p *pool) outageOf(s *shard, reason v1alpha1.FailoverReason, detected time.Time) {
	if s.outage == nil {
		s.outage = &outage{reason: reason, detected: detected}
	}
}

func (p *pool) hearReleased(m *member, s *shard, r *leftfoldv1.ShardReport, asked bool) {
	switch {
	case r.GetEpoch() > s.epoch, r.GetEpoch() == s.epoch && s.owner == m.incarnation:
		p.owned(s, r.GetEpoch(), "")
		p.observe(liveness.ShardReleased{Member: m.incarnation, Shard: liveness.ShardID(s.id)})
	case !asked:
		return
	}
	switch {
	case asked:
		// It has taken the shard and lost it again, or not taken it at all.
		s.notBefore = p.now.Add(refusedPause)
		p.enter(s, idle, "", p.now)
	case s.phase == releasing:
		if to := p.members[s.target]; to.grantable() && !to.draining {
			p.grant(s, to)
			s.planned = true
			return
		}
		p.enter(s, idle, "", p.now)
	case s.phase != idle:
		return // it goes elsewhere already, or waits to be restarted
	}
	p.wantPlan(p.now)
}

func (p *pool) hearRefused(m *member, s *shard, r *leftfoldv1.ShardReport, asked bool) {
	switch {
	case r.GetEpoch() > s.epoch:
		p.enter(s, idle, "", p.now)
		p.owned(s, r.GetEpoch(), r.GetOwner())
		p.settleOwner(s, r.GetAddress())
	case asked && r.GetEpoch() < s.epoch:
		// The store has forgotten a claim, as one does that fails over to a copy that
		// lags. Whoever it takes for the owner may well have gone; the next claim
		// fences it in any case.
		p.log.Info("the store has forgotten a claim", "aggregate", s.id.Aggregate, "shard", s.id.Number,
			"known", s.epoch, "epoch", r.GetEpoch(), "owner", r.GetOwner())
		p.enter(s, idle, "", p.now)
		p.owned(s, r.GetEpoch(), "")
	case asked:
		p.enter(s, idle, "", p.now)
		s.avoidAlso(p.now, p.now.Add(avoidSlow), m.incarnation)
		s.notBefore = p.now.Add(refusedPause)
		p.log.Info("a pod refused a shard", "pod", p.podName(m), "aggregate", s.id.Aggregate, "shard", s.id.Number,
			"epoch", s.epoch, "detail", r.GetDetail())
	}
	p.wantPlan(p.now)
}

// settleOwner decides what to do about an owner that the store names and that has
// not said that it serves the shard.
func (p *pool) settleOwner(s *shard, address string) {
	m := p.members[s.owner]
	switch {
	case s.owner == "":
	case m == nil && p.hasDeparted(s.owner), m != nil && m.unreachable:
		p.outageOf(s, v1alpha1.FailoverProcessDied, p.now)
		p.owned(s, s.epoch, "")
		p.wantPlan(p.now)
	case m == nil:
		p.replacedAt(p.ghost(s.owner, address))
	case m.connected:
		p.expect(s, m)
	}
}

// replacedAt: at the address of a process answers another one.
func (p *pool) replacedAt(m *member) {
	for _, other := range p.members {
		if other != m && other.connected && other.address == m.address {
			p.replaced(m)
			return
		}
	}
}

func (p *pool) hearFailed(m *member, s *shard, r *leftfoldv1.ShardReport, asked bool) {
	if r.GetEpoch() > s.epoch {
		p.owned(s, r.GetEpoch(), m.incarnation)
	}
	switch {
	case s.phase == failing, s.phase == stalled:
		return // told before
	case s.owner != m.incarnation && !asked:
		return // of the past
	case s.phase == claiming && !asked:
		return // it goes elsewhere already
	}
	s.serving, s.message = false, r.GetDetail()
	p.outageOf(s, v1alpha1.FailoverShardFailed, p.now)
	p.tellOwner(s)
	p.log.Info("a pod cannot serve a shard", "pod", p.podName(m), "aggregate", s.id.Aggregate, "shard", s.id.Number,
		"cause", r.GetCause().String(), "detail", r.GetDetail())
	p.enter(s, failing, "", p.now)
	p.observe(liveness.ShardFailed{
		Member: m.incarnation, Shard: liveness.ShardID(s.id), Cause: shardCause(r.GetCause()), Detail: r.GetDetail(),
	})
	p.changed()
}

func shardCause(c leftfoldv1.FailureCause) liveness.ShardCause {
	switch c {
	case leftfoldv1.FailureCause_FAILURE_CAUSE_PANICKED:
		return liveness.Panicked
	case leftfoldv1.FailureCause_FAILURE_CAUSE_STUCK:
		return liveness.Stuck
	case leftfoldv1.FailureCause_FAILURE_CAUSE_STORE_WENT_BACK:
		return liveness.WentBack
	default:
		return liveness.StoreRefused
	}
}

// podName is what people know a member by.
func (p *pool) podName(m *member) string {
	if m.seat == nil {
		return m.incarnation
	}
	return m.seat.pod.name
}
