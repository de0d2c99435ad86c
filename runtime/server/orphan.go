package server

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strconv"
	"time"

	"github.com/cespare/xxhash/v2"

	"github.com/leftfold/leftfold/runtime/control"
	"github.com/leftfold/leftfold/runtime/eventstore"
	"github.com/leftfold/leftfold/runtime/shard"
)

// A pod that hears no operator looks after shards that nobody serves. It claims
// one when all of this is so:
//
//   - it has heard no operator for a while (silence), and does not drain;
//   - its own heartbeats have reached the store for a full timeout, so that the
//     silence of others means something;
//   - the shard has no owner, or the database's clock says that the owner's last
//     heartbeat is a timeout old, or the owner is this very process, where the
//     shard has failed;
//   - it is the first among the living members for that shard, by a hash that all
//     of them compute alike (rendezvous hashing), or those before it had their
//     time and did nothing.
//
// So pods that are all alone share the work without a word to each other. Should
// two of them, or an operator, want the same shard after all, the store lets one.

const (
	// leastSilence and silenceOver: an operator is gone when it was not heard for a
	// heartbeat timeout, which is how long it would itself wait for a pod, and a
	// second more, in which a connection is made again; but not before two
	// seconds. A new leader may take longer than that to come. What pods do
	// meanwhile does no harm: it finds the shards where they are.
	leastSilence = 2 * time.Second
	silenceOver  = time.Second
	// firstSilence is the same for a pod that was never heard of: an operator has
	// to learn from the API server that there is one, and may be starting itself.
	// Else the first pod of many would take all shards.
	firstSilence = 6 * time.Second
	// rankPatience is what each member before this one in a shard's order gets to
	// take it: several times what a claim takes.
	rankPatience = time.Second
	// orphansAtOnce bounds the claims of one look, so that a store that comes back
	// after an outage is not met by all at once.
	orphansAtOnce = 32
	// orphanPause and orphanPauseMax are between two tries at a shard that cannot
	// be served here.
	orphanPause, orphanPauseMax = 500 * time.Millisecond, 10 * time.Second
	// looks are at least and at most so far apart; else a quarter of the timeout.
	lookOften, lookSeldom = 50 * time.Millisecond, 500 * time.Millisecond
	// orphanForgiven: a shard that was served for so long begins anew with its
	// pauses.
	orphanForgiven = time.Minute
)

// orphans is what the looks remember. It belongs to their goroutine.
type orphans struct {
	seen map[control.Shard]*sighting
	last time.Time
}

// sighting is a shard that nobody serves.
type sighting struct {
	since time.Time
	// silent is for how long its owner had been silent by then.
	silent time.Duration
	// tries counts claims; the next one is not before next.
	tries int
	next  time.Time
}

// silence is how long an operator may go unheard.
func (p *pod) silence() time.Duration {
	return max(p.w.member.timeout+silenceOver, leastSilence)
}

// alone tells that there is no operator, as far as can be told here.
func (p *pod) alone() bool {
	if heard := p.control.Heard(); !heard.IsZero() {
		return time.Since(heard) >= p.silence()
	}
	return time.Since(p.started) >= firstSilence
}

// tendOrphans looks after orphans until the process ends.
func (p *pod) tendOrphans() {
	every := min(max(p.w.member.timeout/4, lookOften), lookSeldom)
	p.orphans.seen = map[control.Shard]*sighting{}
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		select {
		case <-p.ctx.Done():
			return
		case now := <-ticker.C:
			// After a pause of the process itself the operator's words may lie
			// unread: one look is left out.
			late := now.Sub(p.orphans.last) > 4*every
			p.orphans.last = now
			if late || !p.alone() || !p.Ready() || p.w.shared && !p.w.mayJudge() {
				continue
			}
			if err := p.lookForOrphans(now); err != nil && p.ctx.Err() == nil {
				p.log.Warn("without an operator, and the store does not tell whose shards are served", "error", err)
			}
		}
	}
}

// lookForOrphans claims what is this process's to claim.
func (p *pod) lookForOrphans(now time.Time) error {
	ctx, cancel := context.WithTimeout(p.ctx, surveyTimeout)
	defer cancel()
	members, err := p.liveMembers(ctx)
	if err != nil {
		return err
	}
	left := orphansAtOnce
	for _, aggregateName := range p.w.names() {
		a := p.w.aggregate(aggregateName)
		if a == nil {
			continue
		}
		rows, err := p.w.store.Shards(ctx, a.id)
		if err != nil {
			return err
		}
		for _, row := range rows {
			name := control.Shard{Aggregate: a.name, Number: row.Shard.Number}
			found := p.sight(name, a, row, members, now)
			if found != nil && left > 0 && p.mine(name, found, members, now) {
				left--
				found.tries++
				found.next = now.Add(min(orphanPause<<min(found.tries-1, 10), orphanPauseMax))
				p.work.Go(func() { p.adopt(a, name, row, found) })
			}
		}
	}
	return nil
}

// members are those of this runtime that live, with the ages of the dead.
type members struct {
	alive []eventstore.Incarnation
	ages  map[eventstore.Incarnation]time.Duration
}

func (p *pod) liveMembers(ctx context.Context) (members, error) {
	m := members{alive: []eventstore.Incarnation{p.w.self}, ages: map[eventstore.Incarnation]time.Duration{p.w.self: 0}}
	if !p.w.shared {
		return m, nil // who has the store open has it alone
	}
	all, err := p.w.store.Members(ctx)
	for _, other := range all {
		if other.Incarnation == p.w.self {
			continue
		}
		m.ages[other.Incarnation] = other.Age
		if other.Runtime == p.w.member.runtime && other.Age < p.w.member.timeout {
			m.alive = append(m.alive, other.Incarnation)
		}
	}
	return m, err
}

// sight tells whether nobody serves a shard, and remembers since when.
func (p *pod) sight(name control.Shard, a *aggregate, row eventstore.ShardState, m members, now time.Time) *sighting {
	s := a.shard(name.Number)
	served := s != nil && !ended(s)
	age, known := m.ages[row.Owner]
	elsewhere := row.Owner != p.w.self && known && age < p.w.member.timeout
	known = known && row.Owner != p.w.self
	if served || elsewhere {
		if found := p.orphans.seen[name]; found != nil && now.Sub(found.next) > orphanForgiven || elsewhere {
			delete(p.orphans.seen, name)
		}
		if elsewhere {
			p.learn(name, row)
		}
		return nil
	}
	found := p.orphans.seen[name]
	if found == nil {
		found = &sighting{since: now}
		if known {
			found.silent = age
		}
		p.orphans.seen[name] = found
	}
	return found
}

// mine tells whether it is this process's turn to claim a shard.
func (p *pod) mine(name control.Shard, found *sighting, m members, now time.Time) bool {
	return !now.Before(found.next) && now.Sub(found.since) >= time.Duration(rank(name, p.w.self, m.alive))*rankPatience
}

// rank is how many of the living come before one of them for a shard.
func rank(name control.Shard, self eventstore.Incarnation, alive []eventstore.Incarnation) int {
	weight := func(i eventstore.Incarnation) uint64 {
		return xxhash.Sum64String(string(i) + "/" + name.Aggregate + "/" + strconv.Itoa(int(name.Number)))
	}
	order := slices.Clone(alive)
	slices.SortFunc(order, func(a, b eventstore.Incarnation) int {
		return cmp.Or(cmp.Compare(weight(b), weight(a)), cmp.Compare(a, b))
	})
	return slices.Index(order, self)
}

// adopt claims an orphan, unless somebody came before.
func (p *pod) adopt(a *aggregate, name control.Shard, row eventstore.ShardState, found *sighting) {
	t := p.seat(name)
	if !t.busy.TryLock() {
		return // the operator is back, or an earlier try is under way
	}
	defer t.busy.Unlock()
	if s := a.shard(name.Number); s != nil && !ended(s) || !p.alone() || p.draining.Load() || p.w.aggregate(name.Aggregate) != a {
		return
	}
	p.log.Info("nobody serves a shard, and no operator is heard: taking it", "aggregate", name.Aggregate, "shard", name.Number, "owner", row.Owner)
	err := p.claim(t, a, name, &row.Epoch, true)
	switch {
	case err == nil:
		p.w.metrics.Failover(reasonOrphaned, time.Since(found.since)+found.silent)
	case errors.Is(err, shard.ErrNotOwner):
		p.log.Info("another was quicker", "aggregate", name.Aggregate, "shard", name.Number)
	}
}
