package shard

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"

	leftfoldv1 "github.com/leftfold/leftfold/api/rpc/leftfold/v1"
	"github.com/leftfold/leftfold/api/v1alpha1"
)

// changes names what is to be looked at again.
type changes struct {
	runtime                         bool
	aggregates, projections, shards []string
}

// viewed is what was shown last, and when.
type viewed struct {
	view View
	// projections holds what was last told of each, and when.
	projections map[string]toldProjection
}

type toldProjection struct {
	told Projection
	at   time.Time
}

func newViewed() viewed { return viewed{projections: map[string]toldProjection{}} }

// show makes a view and tells what changed since the last one.
func (p *pool) show() {
	p.viewAt = time.Time{}
	var c changes
	before := p.viewed.view
	next := View{
		Shards:      p.showShards(&c),
		Definitions: p.mergeDefinitions(),
		Projections: slices.Clone(p.projections),
		Surveyed:    !p.learning,
	}
	next.Members = p.showMembers(next.Shards)
	c.runtime = before.Surveyed != next.Surveyed || !slices.Equal(before.Members, next.Members)
	touched := map[definitionKey]bool{}
	compareDefinitions(touched, before.Definitions, next.Definitions)
	for _, s := range c.shards {
		touched[definitionKey{aggregateKind, s[:strings.LastIndexByte(s, '-')]}] = true
	}
	if before.Surveyed != next.Surveyed {
		// Nothing was written after a view that does not know all, so what it showed
		// already is news once more.
		c.shards = c.shards[:0]
		for i := range next.Shards {
			c.shards = append(c.shards, objectName(next.Shards[i].Aggregate, next.Shards[i].Number))
		}
		for name := range p.aggregates {
			touched[definitionKey{aggregateKind, name}] = true
		}
	}
	p.compareProjections(touched, next.Projections)
	for _, key := range slices.SortedFunc(maps.Keys(touched), compareKeys) {
		switch key.kind {
		case aggregateKind:
			c.aggregates = append(c.aggregates, key.name)
		case projectionKind:
			c.projections = append(c.projections, key.name)
		}
	}
	p.viewed.view = next
	p.metrics.show(p.runtime, &next)
	p.publish(&next, c)
}

func compareKeys(a, b definitionKey) int {
	return cmp.Or(cmp.Compare(a.kind, b.kind), cmp.Compare(a.name, b.name))
}

// showShards lists all shards, and puts down those that changed, also those that
// are no more.
func (p *pool) showShards(c *changes) []Shard {
	sorted := p.sorted()
	shards := make([]Shard, len(sorted))
	before := p.viewed.view.Shards
	old := 0
	for i, s := range sorted {
		if s.dirty {
			s.dirty, s.viewed = false, p.showShard(s)
		}
		shards[i] = s.viewed
		for old < len(before) && compareViewed(before[old], s.viewed) < 0 {
			c.shards = append(c.shards, objectName(before[old].Aggregate, before[old].Number))
			old++
		}
		isNew := old == len(before) || compareViewed(before[old], s.viewed) != 0
		if isNew || before[old] != s.viewed {
			c.shards = append(c.shards, objectName(s.id.Aggregate, int32(s.id.Number)))
		}
		if !isNew {
			old++
		}
	}
	for ; old < len(before); old++ {
		c.shards = append(c.shards, objectName(before[old].Aggregate, before[old].Number))
	}
	return shards
}

func (p *pool) showShard(s *shard) Shard {
	v := Shard{
		Aggregate: s.id.Aggregate, Number: int32(s.id.Number), First: s.first, Last: s.last,
		Epoch: s.epoch, Restarts: s.restarts, LastFailover: s.failover, Message: s.message,
	}
	if m := p.members[s.owner]; m != nil && s.serving {
		v.Owner, v.Pod = m.incarnation, p.podName(m)
		if m.seat != nil {
			v.Node = m.seat.pod.node
		}
	}
	switch {
	case s.phase == stalled:
		v.State, v.Reason = Stalled, s.stalledFor
	case s.phase == releasing, s.phase == claiming && s.planned && s.epoch > 0:
		v.State, v.Reason = HandingOff, v1alpha1.ReasonHandingOff
	case s.phase == claiming:
		v.State, v.Reason = Claiming, v1alpha1.ReasonClaiming
	case s.phase == idle && v.Owner != "":
		v.State, v.Reason = Owned, v1alpha1.ReasonOwned
	default:
		v.State, v.Reason = Unowned, v1alpha1.ReasonUnowned
	}
	return v
}

func (p *pool) showMembers(shards []Shard) []Member {
	owned := map[string]int{}
	for i := range shards {
		if shards[i].Owner != "" {
			owned[shards[i].Owner]++
		}
	}
	members := make([]Member, 0, len(p.seats))
	for _, m := range p.members {
		v := Member{
			Incarnation: m.incarnation, Address: m.address,
			Ready: m.grantable(), Draining: m.draining, Shards: owned[m.incarnation],
		}
		if m.seat != nil {
			v.Pod, v.UID, v.Node, v.Revision = m.seat.pod.name, string(m.seat.pod.uid), m.seat.pod.node, m.seat.pod.revision
		}
		members = append(members, v)
	}
	for _, at := range p.seats {
		if at.member == nil {
			members = append(members, Member{
				Pod: at.pod.name, UID: string(at.pod.uid), Node: at.pod.node, Address: at.pod.dial, Revision: at.pod.revision,
			})
		}
	}
	slices.SortFunc(members, func(a, b Member) int {
		return cmp.Or(cmp.Compare(a.Pod, b.Pod), cmp.Compare(a.Incarnation, b.Incarnation))
	})
	return members
}

func compareDefinitions(touched map[definitionKey]bool, before, next []Definition) {
	old := make(map[Definition]bool, len(before))
	for _, d := range before {
		old[d] = true
	}
	for _, d := range next {
		if !old[d] {
			touched[definitionKey{d.Kind, d.Name}] = true
		}
		delete(old, d)
	}
	for d := range old {
		touched[definitionKey{d.Kind, d.Name}] = true
	}
}

// seeProjections takes in how far projections are.
func (p *pool) seeProjections(rows []*leftfoldv1.SurveyedProjection) {
	list := make([]Projection, 0, len(rows))
	for _, r := range rows {
		list = append(list, Projection{
			Name: r.GetName(), Table: r.GetTable(), Position: r.GetPosition(),
			LagEvents: r.GetLagEvents(), Lag: r.GetLag().AsDuration(),
			Quarantined: r.GetQuarantined(), Paused: r.GetPaused(), Rebuilding: r.GetRebuilding(),
		})
	}
	slices.SortFunc(list, func(a, b Projection) int { return cmp.Compare(a.Name, b.Name) })
	if !slices.Equal(list, p.projections) {
		p.projections = list
		p.changed()
	}
}

// compareProjections puts down those that changed. That one got on, and no more,
// counts every farEvery.
func (p *pool) compareProjections(touched map[definitionKey]bool, projections []Projection) {
	gone := maps.Clone(p.viewed.projections)
	for _, next := range projections {
		last, known := p.viewed.projections[next.Name]
		delete(gone, next.Name)
		if known && last.told == next {
			continue
		}
		far := last.told
		far.Position, far.LagEvents, far.Lag = next.Position, next.LagEvents, next.Lag
		if known && far == next && p.now.Sub(last.at) < farEvery {
			sooner(&p.viewAt, last.at.Add(farEvery))
			continue
		}
		p.viewed.projections[next.Name] = toldProjection{next, p.now}
		touched[definitionKey{projectionKind, next.Name}] = true
	}
	for name := range gone {
		delete(p.viewed.projections, name)
		touched[definitionKey{projectionKind, name}] = true
	}
}
