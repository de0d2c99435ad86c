package placement

import (
	"cmp"
	"slices"
)

// Compute plans the moves that are to be made now. IDs of members and of shards
// are unique. It does not change its arguments.
func Compute(members []Member, shards []Shard, policy Policy) Plan {
	policy = policy.withDefaults()
	b := newBoard(members, shards, policy)
	orphans, drained, moving := b.survey()
	b.placeOrphans(orphans)
	if b.lastResort {
		return b.plan
	}
	budget := max(0, policy.MaxMoves-moving)
	b.drain(drained, budget)
	if len(orphans) > 0 || len(drained) > 0 || policy.Unsettled {
		return b.plan
	}
	if budget -= b.balance(budget); len(b.plan.Assign) == 0 {
		b.spread(budget)
	}
	return b.plan
}

// survey finds the shards without an owner and those of draining members, both
// with the heaviest first, and counts those that move already.
func (b *board) survey() (orphans, drained []int, moving int) {
	for i, owner := range b.owner {
		switch {
		case owner == nobody:
			orphans = append(orphans, i)
		case b.fixed[i]:
			moving++
		case b.members[owner].Draining:
			drained = append(drained, i)
		}
	}
	heaviestFirst := func(x, y int) int { return cmp.Compare(b.cost[y], b.cost[x]) }
	slices.SortStableFunc(orphans, heaviestFirst)
	slices.SortStableFunc(drained, heaviestFirst)
	return orphans, drained, moving
}

func (b *board) placeOrphans(orphans []int) {
	if len(b.targets) > 0 {
		for _, shard := range orphans {
			b.move(shard, b.choose(shard), Orphaned)
		}
		return
	}
	slices.Sort(orphans)
	for _, shard := range orphans {
		b.plan.Unplaced = append(b.plan.Unplaced, b.shards[shard].ShardID)
	}
}

func (b *board) drain(drained []int, budget int) {
	for _, shard := range drained[:min(budget, len(drained))] {
		b.move(shard, b.choose(shard), Draining)
	}
}

// choose finds the best owner for a shard that has to leave where it is, or is
// nowhere: by spread among the least loaded.
func (b *board) choose(shard int) int {
	avoid := b.avoid[shard]
	light, found := int64(0), false
	for _, m := range b.targets {
		if !slices.Contains(avoid, m) && (!found || b.load[m] < light) {
			light, found = b.load[m], true
		}
	}
	if !found {
		avoid = nil // no other is left
		light = b.load[b.targets[0]]
		for _, m := range b.targets {
			light = min(light, b.load[m])
		}
	}
	best := seatValue{member: nobody}
	for _, m := range b.targets {
		if b.load[m] > light+b.gain || slices.Contains(avoid, m) {
			continue
		}
		if v := b.value(shard, m); best.member == nobody || v.before(best) {
			best = v
		}
	}
	return best.member
}

// seatValue orders members as new owners of a shard.
type seatValue struct {
	member     int
	zone, node float64 // how full of the shard's aggregate they would be
	load       int64
	hash       uint64
}

func (b *board) value(shard, member int) seatValue {
	a := b.aggregate[shard]
	return seatValue{
		member: member,
		zone:   crowding(b.inZone[a][b.zone[member]]+1, b.zoneSize[b.zone[member]]),
		node:   crowding(b.inNode[a][b.node[member]]+1, b.nodeSize[b.node[member]]),
		load:   b.load[member],
		hash:   b.rendezvous(shard, member),
	}
}

func (v seatValue) before(w seatValue) bool {
	switch {
	case v.zone != w.zone:
		return v.zone < w.zone
	case v.node != w.node:
		return v.node < w.node
	case v.load != w.load:
		return v.load < w.load
	default:
		return v.hash > w.hash
	}
}

// crowding is what the last of count shards adds to how unevenly an aggregate is
// spread, which is the sum of count²/size over places: (2·count-1)/size. Equal
// fractions are equal floats, for division rounds correctly.
func crowding(count, size int) float64 {
	return float64(2*count-1) / float64(max(1, size))
}
