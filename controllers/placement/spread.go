package placement

import "slices"

// maxExchanges bounds the search for shards that could change places, so that a
// spread that cannot be had costs milliseconds.
const maxExchanges = 500_000

// spread moves or exchanges shards whose aggregates are crowded in a zone or on a
// node, where no member gets further out of the band.
func (b *board) spread(budget int) {
	for shard := 0; shard < len(b.shards) && budget > 0; shard++ {
		if b.movable(shard) && b.crowded(shard) {
			if to, ok := b.roomier(shard); ok {
				b.move(shard, to, Spread)
				budget--
			}
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

// crowded is a quick look whether there can be any better place for the shard.
func (b *board) crowded(shard int) bool {
	a, from := b.aggregate[shard], b.owner[shard]
	zone := crowding(b.inZone[a][b.zone[from]], b.zoneSize[b.zone[from]])
	node := crowding(b.inNode[a][b.node[from]], b.nodeSize[b.node[from]])
	for z, count := range b.inZone[a] {
		if b.zoneSize[z] > 0 && crowding(count+1, b.zoneSize[z]) < zone {
			return true
		}
	}
	for n, count := range b.inNode[a] {
		if b.nodeSize[n] > 0 && crowding(count+1, b.nodeSize[n]) < node {
			return true
		}
	}
	return false
}

// roomier finds the best member that the shard can move to for spread alone.
func (b *board) roomier(shard int) (to int, ok bool) {
	from, cost := b.owner[shard], b.cost[shard]
	var best transfer
	for _, m := range b.targets {
		if m == from || slices.Contains(b.avoid[shard], m) {
			continue
		}
		t := b.transfer(shard, m, 0)
		if t.zone < 0 || (t.zone == 0 && t.node <= 0) || (ok && !t.before(best)) {
			continue
		}
		if b.keepsBand(from, m, cost) {
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
		if !b.movable(shard) || !b.target[b.owner[shard]] || !b.crowded(shard) {
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
