package placement

import "slices"

// maxExchanges bounds the search for shards that could change places, so that a
// spread that cannot be had costs milliseconds.
const maxExchanges = 500_000

// spread moves or exchanges shards whose aggregates are crowded in a zone or on a
// node, where no member gets further out of the band.
func (b *board) spread(budget int) {
	for shard := 0; shard < len(b.shards) && budget > 0; shard++ {
		if !b.movable(shard) {
			continue
		}
		if to, ok := b.roomier(shard); ok {
			b.move(shard, to, Spread)
			budget--
		}
	}
	if len(b.plan.Assign) == 0 {
		b.exchange(budget)
	}
}

// spreadGain tells how much more evenly the shard's aggregate would be spread over
// zones and nodes if a member took the shard from its owner. Below 0: less.
func (b *board) spreadGain(shard, to int) (zone, node float64) {
	a, from := b.aggregate[shard], b.owner[shard]
	if z, y := b.zone[from], b.zone[to]; z != y {
		zone = crowding(b.inZone[a][z], b.zoneSize[z]) - crowding(b.inZone[a][y]+1, b.zoneSize[y])
	}
	if n, o := b.node[from], b.node[to]; n != o {
		node = crowding(b.inNode[a][n], b.nodeSize[n]) - crowding(b.inNode[a][o]+1, b.nodeSize[o])
	}
	return zone, node
}

// nodeSlack is how uneven a node may be, as a share of what is even, before a move
// is worth it: what matters is that an aggregate of few shards is not on one node.
const nodeSlack = 0.5

// crowded tells whether the shard's aggregate has more shards in the owner's zone,
// and on its node, than is even and the slack.
func (b *board) crowded(shard int) (zone, node bool) {
	a, from := b.aggregate[shard], b.owner[shard]
	z, n := b.zone[from], b.node[from]
	zone = b.inZone[a][z] > b.room(a, b.zoneSize[z], b.zoneSlack)
	node = b.inNode[a][n] > b.room(a, b.nodeSize[n], nodeSlack)
	return zone, node
}

// room is how many shards of an aggregate may be where so many members are.
func (b *board) room(aggregate, members int, slack float64) int {
	all := b.size[aggregate] * members
	even := (all + b.carriers - 1) / b.carriers
	return even + int(slack*float64(all)/float64(b.carriers))
}

// roomier finds the best member that the shard can move to for spread alone.
func (b *board) roomier(shard int) (to int, ok bool) {
	zoneCrowded, nodeCrowded := b.crowded(shard)
	if !zoneCrowded && !nodeCrowded {
		return 0, false
	}
	from, cost := b.owner[shard], b.cost[shard]
	var best transfer
	for _, m := range b.targets {
		if m == from || slices.Contains(b.avoid[shard], m) {
			continue
		}
		t := b.transfer(shard, m, 0)
		worth := (zoneCrowded && t.zone > 0) || (nodeCrowded && t.zone >= 0 && t.node > 0)
		if worth && (!ok || t.before(best)) && b.keepsBand(from, m, cost) {
			best, to, ok = t, m, true
		}
	}
	return to, ok
}

// keepsBand: after so much cost went from one to the other, the two are together
// no further out of the band than before.
func (b *board) keepsBand(from, to int, cost int64) bool {
	before := b.outside(b.load[from]) + b.outside(b.load[to])
	return b.outside(b.load[from]-cost)+b.outside(b.load[to]+cost) <= before
}

// exchange lets shards change places where no shard can move by itself: one whose
// aggregate is crowded in its zone, and one of another aggregate that loses
// nothing by it. Both are moves.
func (b *board) exchange(budget int) {
	held := b.shardsByOwner()
	tries := 0
	for shard := 0; shard < len(b.shards) && budget >= 2; shard++ {
		if !b.movable(shard) || !b.target[b.owner[shard]] {
			continue
		}
		if zone, _ := b.crowded(shard); !zone {
			continue
		}
		from := b.owner[shard]
		for _, to := range b.targets {
			zone, _ := b.spreadGain(shard, to)
			if zone <= 0 || slices.Contains(b.avoid[shard], to) {
				continue
			}
			other, ok := b.partner(shard, held[to], &tries)
			if tries > maxExchanges {
				return
			}
			if ok {
				b.move(shard, to, Spread)
				b.move(other, from, Spread)
				budget -= 2
				break
			}
		}
	}
}

// partner finds a shard that can take the place of the given one.
func (b *board) partner(shard int, candidates []int, tries *int) (other int, ok bool) {
	from := b.owner[shard]
	for _, other := range candidates {
		if *tries++; *tries > maxExchanges {
			return 0, false
		}
		if b.aggregate[other] == b.aggregate[shard] || !b.movable(other) || slices.Contains(b.avoid[other], from) {
			continue
		}
		if zone, _ := b.spreadGain(other, from); zone < 0 {
			continue
		}
		if b.keepsBand(from, b.owner[other], b.cost[shard]-b.cost[other]) {
			return other, true
		}
	}
	return 0, false
}
