package shard

import (
	"cmp"
	"slices"
	"time"

	leftfoldv1 "github.com/leftfold/leftfold/api/rpc/leftfold/v1"
	"github.com/leftfold/leftfold/api/v1alpha1"
	"github.com/leftfold/leftfold/controllers/liveness"
	"github.com/leftfold/leftfold/controllers/placement"
)

// maxSurveyors is how many members are asked at a time while silence is held: one
// may be about to fail.
const maxSurveyors = 2

func (p *pool) wantSurvey(at time.Time) { sooner(&p.surveyAt, at) }

// survey asks what the store knows, from a leader's begin on: that no pod could read
// it when it said so the first time must not be the last word.
func (p *pool) survey() {
	every := surveyEvery
	if !p.storeSpoke {
		every = surveySoon
	}
	for i := range p.projections {
		if p.projections[i].Rebuilding || p.projections[i].Table == "" {
			every = surveySoon
		}
	}
	p.surveyAt, p.surveyed = p.now.Add(every), p.now
	p.rememberDeparted()
	for _, m := range p.surveyors() {
		m.asked = p.now
		m.send(&leftfoldv1.ControlRequest{Kind: &leftfoldv1.ControlRequest_Survey{Survey: &leftfoldv1.SurveyRequest{}}})
	}
}

// surveyors picks who is asked: those whose turn is longest ago. Members whose
// silence is held would not answer, and what the store knows is what decides about
// them.
func (p *pool) surveyors() []*member {
	silent, most := map[string]bool{}, 1
	for _, v := range p.tracker.Held() {
		silent[v.Member], most = true, maxSurveyors
	}
	var able []*member
	for _, m := range p.members {
		if m.connected && (m.ready || !p.storeSpoke) && !silent[m.incarnation] {
			able = append(able, m)
		}
	}
	slices.SortFunc(able, func(a, b *member) int {
		return cmp.Or(a.asked.Compare(b.asked), cmp.Compare(a.incarnation, b.incarnation))
	})
	return able[:min(len(able), most)]
}

// hearing is a survey of which not all parts are here.
type hearing struct {
	ages   map[string]time.Duration // of heartbeats
	listed map[string]bool          // aggregates
}

// hearSurvey takes in a part of what the store knows. Each row stands for itself;
// what follows from rows that are not there, follows from the last part.
func (p *pool) hearSurvey(m *member, part *leftfoldv1.Survey) {
	if m.hearing == nil {
		m.hearing = &hearing{ages: make(map[string]time.Duration, len(part.GetMembers())), listed: map[string]bool{}}
		for _, row := range part.GetMembers() {
			m.hearing.ages[row.GetIncarnation()] = row.GetAge().AsDuration()
		}
		if part.GetError() == "" {
			p.observe(liveness.Heartbeats{Ages: m.hearing.ages})
		}
	}
	for _, row := range part.GetShards() {
		m.hearing.listed[row.GetShard().GetAggregate()] = true
		p.seeShard(m, row, m.hearing.ages)
	}
	if !part.GetMore() {
		p.hearLast(m, part)
	}
}

// hearLast takes in a survey's last part. It is the last of what a pod tells when a
// stream begins.
func (p *pool) hearLast(m *member, part *leftfoldv1.Survey) {
	told, listed := m.told, m.hearing.listed
	m.told, m.hearing, m.surveyed = nil, nil, true
	if part.GetError() != "" {
		p.log.Info("a pod cannot read the store", "pod", p.podName(m), "error", part.GetError())
		return
	}
	if more := p.now.Add(learnMore); told != nil && more.After(p.learnBy) {
		p.learnBy = more
		if more.After(p.learnLast) {
			p.learnBy = p.learnLast
		}
	}
	p.storeSpoke = true
	p.dropUnserved(m, listed)
	if told != nil {
		p.settleTold(m, told)
	}
	p.seeProjections(part.GetProjections())
}

// seeShard takes in the store's row of a shard. The row may be older than what pods
// have told since it was read.
func (p *pool) seeShard(m *member, row *leftfoldv1.SurveyedShard, ages map[string]time.Duration) {
	id := shardID(row.GetShard())
	if _, gone := m.gone[id.Aggregate]; gone {
		return // read before the pod gave the aggregate up
	}
	s := p.get(id)
	if !s.surveyed {
		if remembered, ok := p.remembered[id]; ok {
			s.restarts, s.failover = remembered.restarts, remembered.failover
		}
		p.wantPlan(p.now)
		p.changed()
	}
	p.place(s, row.GetFirstSlot(), row.GetLastSlot())
	owner := p.members[s.owner]
	switch {
	case row.GetEpoch() > s.epoch:
		if s.phase != claiming || s.target != row.GetOwner() {
			p.enter(s, idle, "", p.now)
		}
		p.owned(s, row.GetEpoch(), row.GetOwner())
		p.seeOwner(s, row.GetAddress(), ages)
	case row.GetEpoch() == s.epoch && row.GetOwner() == "" && s.owner != "" && (owner == nil || !owner.connected):
		p.owned(s, s.epoch, "") // released while nobody heard it
		if s.phase == releasing {
			p.enter(s, idle, "", p.now)
		}
		p.wantPlan(p.now)
	}
}

// seeOwner looks at an owner that is news. One whose heartbeat is long gone need
// not be waited for.
func (p *pool) seeOwner(s *shard, address string, ages map[string]time.Duration) {
	if s.owner != "" && p.members[s.owner] == nil {
		if age, beats := ages[s.owner]; !beats || age >= heartbeatGone {
			p.outageOf(s, v1alpha1.FailoverUnreachable, p.now)
			p.owned(s, s.epoch, "")
			p.wantPlan(p.now)
			return
		}
	}
	if s.phase == idle {
		p.settleOwner(s, address)
	}
}

// heartbeatGone is the age at which a heartbeat in the store no longer speaks for
// an owner that no pod is known of; what liveness takes for it, too.
const heartbeatGone = 2500 * time.Millisecond

// settleTold: a pod has told of all the shards that it has. What it is taken to own
// beyond them, it does not serve.
func (p *pool) settleTold(m *member, told map[placement.ShardID]struct{}) {
	for _, s := range p.shards {
		if s.owner != m.incarnation {
			continue
		}
		if _, named := told[s.id]; named || s.phase == failing || s.phase == stalled {
			continue
		}
		if s.phase == claiming && s.target != m.incarnation {
			continue
		}
		p.outageOf(s, v1alpha1.FailoverShardFailed, p.now)
		p.owned(s, s.epoch, "")
		p.enter(s, idle, "", p.now)
		p.wantPlan(p.now)
	}
}

// dropUnserved forgets aggregates that no pod serves any more. While a pod cannot
// be asked it may serve them.
func (p *pool) dropUnserved(m *member, listed map[string]bool) {
	for name := range p.aggregates {
		if !listed[name] && p.allTold() && !p.serves(name) {
			p.dropAggregate(name)
		}
	}
	for name := range m.gone {
		if !listed[name] {
			delete(m.gone, name) // what was read before is through
		}
	}
}

// allTold: every member is connected and has told all it knows.
func (p *pool) allTold() bool {
	for _, m := range p.members {
		if !m.connected || !m.surveyed {
			return false
		}
	}
	return true
}

// serves tells whether a pod serves an aggregate.
func (p *pool) serves(aggregate string) bool {
	for _, m := range p.members {
		if m.connected && m.definitions[definitionKey{aggregateKind, aggregate}] != nil {
			return true
		}
	}
	return false
}

func (p *pool) dropAggregate(name string) {
	p.log.Info("an aggregate is served no more", "aggregate", name)
	for _, s := range p.aggregates[name].shards {
		delete(p.owners, s)
		if s.owner != "" {
			p.observe(liveness.ShardReleased{Member: s.owner, Shard: liveness.ShardID(s.id)})
		}
	}
	p.drop(name)
	p.changed()
}
