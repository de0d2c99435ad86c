package shard

import (
	"time"

	leftfoldv1 "github.com/leftfold/leftfold/api/rpc/leftfold/v1"
	"github.com/leftfold/leftfold/api/v1alpha1"
	"github.com/leftfold/leftfold/controllers/liveness"
	"github.com/leftfold/leftfold/controllers/placement"
)

// obey carries a verdict out.
func (p *pool) obey(v liveness.Verdict) {
	m := p.members[v.Member]
	switch v.Kind {
	case liveness.RestartShard:
		p.restart(v)
		return
	case liveness.StallShard:
		p.stall(v)
		return
	}
	if m == nil {
		return
	}
	p.log.V(verbosity(v)).Info("verdict", "kind", v.Kind, "reason", v.Reason, "pod", p.podName(m), "incarnation", m.incarnation)
	switch v.Kind {
	case liveness.Redial:
		if m.seat != nil {
			m.seat.line.redial()
		}
	case liveness.Dead:
		p.lose(m, v.Reason, v.Since)
		p.forget(m)
	case liveness.Unreachable:
		p.giveUp(m)
	case liveness.Recovered:
		m.unreachable = false
		// It is left alone for a while, like one that has just come: its connections
		// to the store were cut as well, and take up to some seconds to notice.
		m.since, p.comingUntil = p.now, p.now.Add(comingFor)
		p.wantPlan(p.now)
	case liveness.Draining:
		p.drain(m, v)
	case liveness.DeletePod:
		if m.seat != nil {
			p.deletePod(m.seat.pod, v.Reason)
		}
	case liveness.Held:
		p.wantSurvey(p.now)
	}
	p.changed()
}

// verbosity: what happens in every day's work is for those who look closely.
func verbosity(v liveness.Verdict) int {
	if v.Kind == liveness.Redial {
		return 1
	}
	return 0
}

// giveUp: nothing is heard of a member. It may still live, and come back.
func (p *pool) giveUp(m *member) {
	p.lose(m, liveness.Silent, p.now)
	m.unreachable = true
	if m.seat == nil {
		p.forget(m)
		return
	}
	// A connection that was cut long ago may take as long again to notice that the
	// cut is over.
	m.connected, m.ready, m.surveyed, m.told = false, false, false, nil
	m.seat.line.reset()
}

func (p *pool) drain(m *member, v liveness.Verdict) {
	if !m.draining {
		m.draining, m.drainingSince = true, p.now
	}
	if v.Reason == liveness.Reason(liveness.PodDeleted) {
		m.send(&leftfoldv1.ControlRequest{Kind: &leftfoldv1.ControlRequest_Drain{Drain: &leftfoldv1.Drain{}}})
	}
	p.definitionsStale = true
	p.wantPlan(p.now)
}

// lose takes all shards off a member, and tells callers to wait.
func (p *pool) lose(m *member, reason liveness.Reason, detected time.Time) {
	for _, s := range p.shards {
		owns, takes := s.owner == m.incarnation, s.phase == claiming && s.target == m.incarnation
		if !owns && !takes {
			if s.phase == releasing && s.target == m.incarnation {
				s.target = "" // another is chosen once it is released
			}
			continue
		}
		if owns {
			p.outageOf(s, v1alpha1.FailoverReason(reason), detected)
			p.owned(s, s.epoch, "")
		}
		if takes || s.phase == releasing {
			p.enter(s, idle, "", p.now)
		}
	}
	p.ownersAt = p.now
	p.wantPlan(p.now)
}

// restart has a shard claimed anew after it failed.
func (p *pool) restart(v liveness.Verdict) {
	s := p.shards[placement.ShardID(v.Shard)]
	if s == nil || s.phase != failing && s.phase != stalled {
		return
	}
	s.restarts++
	m := p.members[v.Member]
	p.log.Info("a shard is restarted", "aggregate", s.id.Aggregate, "shard", s.id.Number,
		"try", v.Try, "place", v.Place, "cause", v.Cause)
	able := m.grantable() || v.Cause == liveness.WentBack && m != nil && m.connected // what it knows, no other may know
	if v.Place == liveness.SamePod && able && !m.draining {
		p.grant(s, m)
		return
	}
	s.avoidAlso(p.now, p.now.Add(avoidFailed), v.Avoid...)
	p.owned(s, s.epoch, "") // it does not serve it, and it goes elsewhere
	p.enter(s, idle, "", p.now)
	p.wantPlan(p.now)
}

func (p *pool) stall(v liveness.Verdict) {
	s := p.shards[placement.ShardID(v.Shard)]
	if s == nil || s.phase != failing {
		return
	}
	s.message, s.stalledFor = v.Detail, string(v.Reason)
	if m := p.members[v.Member]; v.Cause == liveness.WentBack && m != nil {
		s.message = "Pod " + p.podName(m) + " says: " + v.Detail
	}
	p.enter(s, stalled, "", p.now)
	p.log.Info("a shard is stalled", "aggregate", s.id.Aggregate, "shard", s.id.Number, "reason", v.Reason,
		"cause", v.Cause, "detail", s.message)
	p.changed()
}

// judgeTime looks at what has been under way for too long, and at what is held.
func (p *pool) judgeTime() {
	for s := range p.busy {
		waited := p.now.Sub(s.since)
		switch s.phase {
		case claiming:
			p.judgeClaim(s, waited)
		case releasing:
			if waited >= releaseTimeout {
				p.takeAway(s)
			}
		}
	}
	if len(p.tracker.Held()) > 0 && !p.learning {
		p.wantSurvey(later(p.now, p.surveyed.Add(p.settings.Timeout/2)))
	}
}

// judgeClaim gives a shard to another when the one that was asked tells nothing.
func (p *pool) judgeClaim(s *shard, waited time.Duration) {
	m := p.members[s.target]
	if m != nil {
		waited = min(waited, p.now.Sub(m.progress))
	}
	if waited < claimTimeout {
		return
	}
	p.log.Info("a pod does not get a shard up", "aggregate", s.id.Aggregate, "shard", s.id.Number, "target", s.target)
	s.avoidAlso(p.now, p.now.Add(avoidSlow), s.target)
	if m != nil {
		m.slowUntil = p.now.Add(avoidSlow)
	}
	if s.owner == s.target {
		p.owned(s, s.epoch, "")
	}
	p.enter(s, idle, "", p.now)
	p.wantPlan(p.now)
}

// takeAway gives a shard to another whose owner does not let it go. The owner's
// writes are refused from then on.
func (p *pool) takeAway(s *shard) {
	p.log.Info("a pod does not release a shard", "aggregate", s.id.Aggregate, "shard", s.id.Number, "owner", s.owner)
	if to := p.members[s.target]; to.grantable() && !to.draining {
		p.grant(s, to)
		s.planned = true
		return
	}
	p.owned(s, s.epoch, "")
	p.enter(s, idle, "", p.now)
	p.wantPlan(p.now)
}
