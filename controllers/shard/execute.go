package shard

import (
	"slices"
	"time"

	leftfoldv1 "github.com/leftfold/leftfold/api/rpc/leftfold/v1"
	"github.com/leftfold/leftfold/controllers/placement"
)

// plan asks placement who should have what, and sets out to do it.
func (p *pool) plan() {
	p.planAt = time.Time{}
	if p.learning {
		return
	}
	began := time.Now()
	p.planned = p.now
	if p.retiring() {
		p.retire()
		return
	}
	members, wait := p.placementMembers()
	policy := placement.Policy{MaxMoves: p.movesAtOnce(len(members)) + p.slowMoves(), Unsettled: wait || p.awaitsPod()}
	plan := placement.Compute(members, p.placementShards(members), policy)
	for _, move := range plan.Assign {
		p.carryOut(move)
	}
	p.planTook = time.Since(began)
	p.metrics.planned(p.planTook)
}

// movesAtOnce is how many planned moves may be under way.
func (p *pool) movesAtOnce(members int) int {
	return max(fewMoves, members/2, len(p.shards)/max(members, 1)/mostTurns)
}

// slowMoves counts the moves that wait for their owners, and has a plan made when the
// others will have been under way for so long, too.
func (p *pool) slowMoves() (slow int) {
	for s := range p.busy {
		if s.phase != releasing {
			continue
		}
		if at := s.since.Add(slowMove); p.now.Before(at) {
			p.wantPlan(at)
		} else {
			slow++
		}
	}
	return slow
}

// awaitsPod tells whether a pod is about to take shards, or has only just begun to, and
// has a plan made when that is not waited for any more.
func (p *pool) awaitsPod() bool {
	if !p.now.Before(p.comingUntil) {
		return false
	}
	if len(p.unborn) > 0 {
		p.wantPlan(p.comingUntil)
		return true
	}
	for _, at := range p.seats {
		if at.gone || at.pod.deleted || at.member != nil && at.member.draining {
			continue
		}
		if !at.member.grantable() {
			p.wantPlan(p.comingUntil)
			return true
		}
		if warm := at.member.since.Add(warmFor); p.now.Before(warm) {
			p.wantPlan(warm)
			return true
		}
	}
	return false
}

// placementMembers lists who can own shards, and tells whether some that go keep
// theirs for a moment.
func (p *pool) placementMembers() (members []placement.Member, wait bool) {
	members = make([]placement.Member, 0, len(p.members))
	swift := false // there is one that gets shards up
	for _, m := range p.members {
		swift = swift || m.grantable() && !m.draining && !p.now.Before(m.slowUntil)
	}
	for _, m := range p.members {
		if m.unreachable {
			continue
		}
		stays := m.draining && p.mayWait(m)
		wait = wait || stays
		ready := m.grantable() && !(swift && p.now.Before(m.slowUntil)) && !stays
		member := placement.Member{ID: m.incarnation, Draining: m.draining && !stays, Ready: ready}
		if m.seat != nil {
			member.Pod, member.Node = m.seat.pod.name, m.seat.pod.node
			member.Zone, member.Revision = m.seat.pod.zone, m.seat.pod.revision
		}
		members = append(members, member)
	}
	return members, wait
}

// mayWait tells whether the shards of a member that goes stay with it for a moment, and
// has a plan made when that is over. As a rule another pod comes in its place at this
// very moment, and is what they are for: they would move twice otherwise, and the first
// time while that pod's container starts. Who goes serves for about as long anyway,
// until all callers have heard. The moment is one for each that goes, since where there
// are many pods, one of them is always coming.
func (p *pool) mayWait(leaving *member) bool {
	until := leaving.drainingSince.Add(leavingFor)
	if at := leaving.seat; at != nil && at.pod.deleted {
		if by := at.pod.endsAt.Add(-leavingNeeds); by.Before(until) {
			until = by
		}
	}
	if !leaving.connected || !p.now.Before(until) {
		return false
	}
	if !p.missing && !p.awaitsPod() {
		return false
	}
	p.wantPlan(until)
	return true
}

// placementShards lists the shards that somebody should own now.
func (p *pool) placementShards(members []placement.Member) []placement.Shard {
	unaware := p.unaware(members)
	shards := make([]placement.Shard, 0, len(p.shards))
	for _, s := range p.sorted() {
		shard := placement.Shard{ShardID: s.id, Owner: s.owner, Load: s.load, Avoid: s.avoided(p.now)}
		switch more := unaware[s.aggregate]; {
		case len(shard.Avoid) == 0:
			shard.Avoid = more
		case len(more) > 0:
			shard.Avoid = slices.Concat(shard.Avoid, more)
		}
		switch s.phase {
		case failing, stalled:
			continue
		case claiming:
			shard.Owner, shard.Moving = s.target, true
		case releasing:
			shard.Moving = true
			if s.target != "" {
				shard.Owner = s.target
			}
		case idle:
			if p.now.Before(s.notBefore) {
				p.wantPlan(s.notBefore)
				continue
			}
		}
		shards = append(shards, shard)
	}
	return shards
}

// unaware lists, for each aggregate, the members that do not serve its definition
// yet; none, when nobody does.
func (p *pool) unaware(members []placement.Member) map[*aggregate][]string {
	unaware := map[*aggregate][]string{}
	for _, a := range p.aggregates {
		// As a rule all do, and to ask each of 200 members for each of 100 aggregates
		// takes longer than all else of a plan.
		if p.aware[a.name] == len(p.members) {
			continue
		}
		key := definitionKey{aggregateKind, a.name}
		aware := false
		var list []string
		for i := range members {
			m := p.members[members[i].ID]
			switch {
			case !m.connected:
			case m.definitions[key].GetAcceptedGeneration() > 0:
				aware = true
			default:
				list = append(list, m.incarnation)
			}
		}
		if aware && list != nil {
			unaware[a] = list
		}
	}
	return unaware
}

// carryOut sets out to make a move.
func (p *pool) carryOut(move placement.Move) {
	s, to := p.shards[move.Shard], p.members[move.To]
	if move.Reason == placement.Orphaned {
		s.planned = s.outage == nil
		p.grant(s, to)
		return
	}
	from := p.members[s.owner]
	if !from.grantable() && !(from != nil && from.connected) {
		return // it cannot be asked; liveness tells soon what has become of it
	}
	p.log.Info("a shard moves", "aggregate", s.id.Aggregate, "shard", s.id.Number,
		"from", p.podName(from), "to", p.podName(to), "reason", move.Reason)
	p.enter(s, releasing, to.incarnation, p.now)
	s.planned, s.ordered = true, p.now
	p.wantPlan(p.now.Add(slowMove)) // it may be the last thing that happens
	from.send(&leftfoldv1.ControlRequest{Kind: &leftfoldv1.ControlRequest_Release{Release: &leftfoldv1.Release{
		Shard: s.wire(), Epoch: s.epoch,
	}}})
	p.changed()
}

// grant asks a member to claim a shard.
func (p *pool) grant(s *shard, to *member) {
	p.enter(s, claiming, to.incarnation, p.now)
	to.send(&leftfoldv1.ControlRequest{Kind: &leftfoldv1.ControlRequest_Grant{Grant: &leftfoldv1.Grant{
		Shard: s.wire(), ExpectedEpoch: s.epoch,
	}}})
	p.changed()
}

// retiring tells that every pod is going and none has come in its place for a
// while: the Runtime is scaled to nothing, or deleted, or its only pod must have
// left before the next may start.
func (p *pool) retiring() bool {
	if p.goingSince.IsZero() {
		return false
	}
	due := p.goingSince.Add(retireAfter)
	if p.now.Before(due) {
		p.wantPlan(due)
		return false
	}
	return true
}

// retire has shards given up without anybody to take them, so that their pods need
// not wait for a handoff.
func (p *pool) retire() {
	for _, s := range p.sorted() {
		from := p.members[s.owner]
		if s.phase != idle || from == nil || !from.connected {
			continue
		}
		p.enter(s, releasing, "", p.now)
		s.planned = true
		from.send(&leftfoldv1.ControlRequest{Kind: &leftfoldv1.ControlRequest_Release{Release: &leftfoldv1.Release{
			Shard: s.wire(), Epoch: s.epoch,
		}}})
		p.changed()
	}
}
