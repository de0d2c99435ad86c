package shard

import (
	"cmp"
	"slices"
	"time"

	leftfoldv1 "github.com/leftfold/leftfold/api/rpc/leftfold/v1"
	"github.com/leftfold/leftfold/api/v1alpha1"
	"github.com/leftfold/leftfold/controllers/placement"
)

// phase is what is being done about a shard; doc.go draws how they follow.
type phase int

const (
	idle phase = iota
	releasing
	claiming
	failing
	stalled
)

// shard is what is known of one, and what is being done about it.
type shard struct {
	id          placement.ShardID
	aggregate   *aggregate
	first, last int32
	// surveyed: the store has named it, so its slots are known. Before that a pod
	// has told of it, and nothing is done about it.
	surveyed bool

	// epoch is the highest that was heard of. owner is who has the shard under it:
	// an incarnation, or empty, also when the owner has lost it. serving: it says
	// that it serves it.
	epoch   int64
	owner   string
	serving bool

	phase phase
	// target is who it is granted to (claiming) or goes to (releasing; empty: that
	// is seen then).
	target string
	since  time.Time // of the phase
	// planned: the move under way is no failover.
	planned bool
	// ordered is when the planned move under way was asked for; zero: none is.
	ordered time.Time

	// avoid lists members that it failed on, until avoidUntil.
	avoid      []string
	avoidUntil time.Time
	// notBefore: no grant until then.
	notBefore time.Time

	load     float64
	restarts int32
	message  string
	// stalledFor is the condition reason of a stalled one.
	stalledFor string
	// outage is the failover under way, failover the last one that ended.
	outage   *outage
	failover *Failover

	dirty bool // viewed is behind
	// viewed is what the View says of it.
	viewed Shard
}

// outage is an unplanned loss of an owner.
type outage struct {
	reason   v1alpha1.FailoverReason
	detected time.Time
}

// aggregate is the shards of one.
type aggregate struct {
	name   string
	shards []*shard
	// owners is the message that tells all of its owners; nil: to be made.
	owners *leftfoldv1.ControlRequest
}

// table holds all shards of a Runtime.
type table struct {
	shards     map[placement.ShardID]*shard
	aggregates map[string]*aggregate
	// order holds the surveyed ones by their names; stale: to be sorted anew.
	order []*shard
	stale bool
	// busy are those that something is under way with, so that time is to be
	// looked at.
	busy map[*shard]struct{}
}

func newTable() table {
	return table{
		shards:     map[placement.ShardID]*shard{},
		aggregates: map[string]*aggregate{},
		busy:       map[*shard]struct{}{},
	}
}

// get finds a shard, or begins one.
func (t *table) get(id placement.ShardID) *shard {
	s := t.shards[id]
	if s != nil {
		return s
	}
	a := t.aggregates[id.Aggregate]
	if a == nil {
		a = &aggregate{name: id.Aggregate}
		t.aggregates[id.Aggregate] = a
	}
	s = &shard{id: id, aggregate: a, dirty: true}
	t.shards[id] = s
	a.shards = append(a.shards, s)
	return s
}

// place puts a shard's slots down.
func (t *table) place(s *shard, first, last int32) {
	if s.surveyed && s.first == first && s.last == last {
		return
	}
	s.surveyed, s.first, s.last, s.dirty = true, first, last, true
	t.stale = true
}

// drop forgets an aggregate.
func (t *table) drop(name string) {
	a := t.aggregates[name]
	if a == nil {
		return
	}
	for _, s := range a.shards {
		delete(t.shards, s.id)
		delete(t.busy, s)
	}
	delete(t.aggregates, name)
	t.stale = true
}

// sorted lists the surveyed shards in order.
func (t *table) sorted() []*shard {
	if !t.stale {
		return t.order
	}
	t.order = make([]*shard, 0, len(t.shards))
	for _, s := range t.shards {
		if s.surveyed {
			t.order = append(t.order, s)
		}
	}
	slices.SortFunc(t.order, func(a, b *shard) int {
		return cmp.Or(cmp.Compare(a.id.Aggregate, b.id.Aggregate), cmp.Compare(a.id.Number, b.id.Number))
	})
	t.stale = false
	return t.order
}

// enter begins a phase.
func (t *table) enter(s *shard, to phase, target string, now time.Time) {
	s.phase, s.target, s.since, s.dirty = to, target, now, true
	if to == idle || to == stalled {
		delete(t.busy, s)
		return
	}
	t.busy[s] = struct{}{}
}

// shardID reads a name from the wire.
func shardID(m *leftfoldv1.Shard) placement.ShardID {
	return placement.ShardID{Aggregate: m.GetAggregate(), Number: int(m.GetNumber())}
}

// wire is the name as the wire has it.
func (s *shard) wire() *leftfoldv1.Shard {
	return &leftfoldv1.Shard{Aggregate: s.id.Aggregate, Number: int32(s.id.Number)}
}

// avoided lists where the shard should not go now.
func (s *shard) avoided(now time.Time) []string {
	if now.Before(s.avoidUntil) {
		return s.avoid
	}
	return nil
}

// avoidAlso adds members to those to be avoided.
func (s *shard) avoidAlso(now time.Time, until time.Time, members ...string) {
	s.avoid = slices.Clone(s.avoided(now)) // the plan under way may have the old one
	for _, m := range members {
		if !slices.Contains(s.avoid, m) {
			s.avoid = append(s.avoid, m)
		}
	}
	if s.avoidUntil.Before(until) {
		s.avoidUntil = until
	}
}
