package placement

import (
	"cmp"
	"slices"
)

// balance moves shards from the heaviest to the lightest members while that is
// worth it, and tells how many.
func (b *board) balance(budget int) int {
	if budget == 0 || len(b.targets) == 0 {
		return 0
	}
	held := b.shardsByOwner()
	moves := 0
	for ; moves < budget; moves++ {
		shard, to, ok := b.worthwhile(held)
		if !ok {
			break
		}
		b.move(shard, to, Balance)
	}
	return moves
}

// shardsByOwner lists what may be moved off each active member.
func (b *board) shardsByOwner() [][]int {
	held := make([][]int, len(b.members))
	for shard, owner := range b.owner {
		if b.movable(shard) {
			held[owner] = append(held[owner], shard)
		}
	}
	return held
}

// worthwhile finds the move that takes most off what is outside the band, from the
// heaviest member that has a shard worth moving to one of the lightest.
func (b *board) worthwhile(held [][]int) (shard, to int, ok bool) {
	lightest := b.lightestTargets()
	light := b.load[lightest[0]]
	for _, from := range b.heaviestFirst() {
		gap := b.load[from] - light
		if gap < b.gain || (b.load[from] <= b.upper && light >= b.lower) {
			return 0, 0, false // nor for any that is lighter
		}
		best := transfer{}
		for _, s := range held[from] {
			if !b.movable(s) || gap-b.cost[s] < b.gain {
				continue
			}
			rest := b.outside(b.load[from]-b.cost[s]) + b.outside(light+b.cost[s])
			if ok && rest > best.rest {
				continue
			}
			for _, m := range lightest {
				if slices.Contains(b.avoid[s], m) {
					continue
				}
				if t := b.transfer(s, m, rest); !ok || t.before(best) {
					best, shard, to, ok = t, s, m, true
				}
			}
		}
		if ok {
			return shard, to, true
		}
	}
	return 0, 0, false
}

func (b *board) lightestTargets() []int {
	lightest := []int{b.targets[0]}
	for _, m := range b.targets[1:] {
		switch light := b.load[lightest[0]]; {
		case b.load[m] < light:
			lightest = []int{m}
		case b.load[m] == light:
			lightest = append(lightest, m)
		}
	}
	return lightest
}

func (b *board) heaviestFirst() []int {
	var order []int
	for m, active := range b.active {
		if active {
			order = append(order, m)
		}
	}
	slices.SortStableFunc(order, func(x, y int) int { return cmp.Compare(b.load[y], b.load[x]) })
	return order
}

// transfer orders possible balance moves.
type transfer struct {
	rest       int64   // what stays outside the band
	zone, node float64 // what spread gains
	hash       uint64
}

func (b *board) transfer(shard, to int, rest int64) transfer {
	zone, node := b.spreadGain(shard, to)
	return transfer{rest: rest, zone: zone, node: node, hash: b.rendezvous(shard, to)}
}

func (t transfer) before(u transfer) bool {
	switch {
	case t.rest != u.rest:
		return t.rest < u.rest
	case t.zone != u.zone:
		return t.zone > u.zone
	case t.node != u.node:
		return t.node > u.node
	default:
		return t.hash > u.hash
	}
}
