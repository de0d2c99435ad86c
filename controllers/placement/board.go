package placement

import (
	"cmp"
	"math"
	"slices"
	"strings"
)

// allCost is the cost of all shards together. Costs are integers, so that sums do
// not depend on their order; its square fits twice into an int64.
const allCost = 1_000_000_000

// nobody owns an orphan.
const nobody = -1

// board is the state that a plan is made on; members, shards, zones, nodes and
// aggregates are indexes into its slices, in the order of their names.
type board struct {
	members []Member
	shards  []Shard

	active     []bool // ready, not draining: counts for the mean and for spread
	target     []bool // may be given shards
	targets    []int
	lastResort bool // the targets drain: orphans only

	zone, node         []int // of a member
	zoneSize, nodeSize []int // active members there
	aggregate          []int // of a shard

	owner []int   // of a shard
	cost  []int64 // of a shard
	avoid [][]int // of a shard
	fixed []bool  // of a shard: not to be moved (again)

	load           []int64 // of a member
	inZone, inNode [][]int // shards of an aggregate there
	size           []int   // shards of an aggregate, orphans too
	carriers       int     // active members
	zoneSlack      float64 // how uneven a zone may be, as a share of what is even

	lower, upper, gain int64 // the band, and what makes a balance move worth it

	memberSeed, shardSeed []uint64

	plan Plan
}

func newBoard(members []Member, shards []Shard, policy Policy) *board {
	b := &board{members: slices.Clone(members), shards: slices.Clone(shards)}
	slices.SortFunc(b.members, func(x, y Member) int { return strings.Compare(x.ID, y.ID) })
	slices.SortFunc(b.shards, func(x, y Shard) int {
		return cmp.Or(strings.Compare(x.Aggregate, y.Aggregate), cmp.Compare(x.Number, y.Number))
	})
	b.chooseTargets(policy)
	b.locateMembers()
	b.priceShards(policy)
	b.seatShards()
	b.drawBand(policy)
	return b
}

// chooseTargets finds who may be given shards.
func (b *board) chooseTargets(policy Policy) {
	b.active = make([]bool, len(b.members))
	b.target = make([]bool, len(b.members))
	newest := int64(math.MinInt64)
	for i, m := range b.members {
		if b.active[i] = m.Ready && !m.Draining; b.active[i] {
			newest = max(newest, m.Revision)
		}
	}
	b.lastResort = !slices.Contains(b.active, true)
	for i, m := range b.members {
		if b.lastResort {
			b.target[i] = m.Ready
		} else {
			b.target[i] = b.active[i] && (policy.AnyRevision || m.Revision == newest)
		}
		if b.target[i] {
			b.targets = append(b.targets, i)
		}
	}
}

// locateMembers numbers zones and nodes.
func (b *board) locateMembers() {
	zones, nodes := numbering{}, numbering{}
	for _, m := range b.members {
		b.zone = append(b.zone, zones.of(m.Zone))
		if m.Node == "" {
			// No node has a slash in its name.
			b.node = append(b.node, nodes.of("/"+m.ID))
		} else {
			b.node = append(b.node, nodes.of(m.Node))
		}
	}
	b.zoneSize, b.nodeSize = make([]int, len(zones)), make([]int, len(nodes))
	for i, active := range b.active {
		if active {
			b.zoneSize[b.zone[i]]++
			b.nodeSize[b.node[i]]++
		}
	}
	for _, m := range b.members {
		b.memberSeed = append(b.memberSeed, hashName(m.ID, 0))
	}
}

type numbering map[string]int

func (n numbering) of(name string) int {
	number, ok := n[name]
	if !ok {
		number = len(n)
		n[name] = number
	}
	return number
}

// priceShards gives every shard its share of allCost, at least 1.
func (b *board) priceShards(policy Policy) {
	raw := make([]float64, len(b.shards))
	sum := 0.0
	for i, s := range b.shards {
		raw[i] = 1
		if s.Weight > 0 && !math.IsInf(s.Weight, 0) {
			raw[i] = s.Weight
		}
		if s.Load > 0 && !math.IsInf(s.Load, 0) {
			raw[i] += s.Load / policy.LoadPerWeight
		}
		sum += raw[i]
	}
	b.cost = make([]int64, len(b.shards))
	for i := range raw {
		b.cost[i] = max(1, int64(math.Round(raw[i]/sum*allCost)))
	}
}

// seatShards puts every shard where its owner is.
func (b *board) seatShards() {
	byID := make(map[string]int, len(b.members))
	for i, m := range b.members {
		byID[m.ID] = i
	}
	aggregates := numbering{}
	b.load = make([]int64, len(b.members))
	b.fixed = make([]bool, len(b.shards))
	b.avoid = make([][]int, len(b.shards))
	for i, s := range b.shards {
		aggregate := aggregates.of(s.Aggregate)
		if aggregate == len(b.inZone) {
			b.inZone = append(b.inZone, make([]int, len(b.zoneSize)))
			b.inNode = append(b.inNode, make([]int, len(b.nodeSize)))
			b.size = append(b.size, 0)
		}
		b.size[aggregate]++
		b.aggregate = append(b.aggregate, aggregate)
		b.shardSeed = append(b.shardSeed, hashName(s.Aggregate, uint64(s.Number)))
		for _, id := range s.Avoid {
			if member, ok := byID[id]; ok {
				b.avoid[i] = append(b.avoid[i], member)
			}
		}
		b.owner = append(b.owner, nobody)
		if member, ok := byID[s.Owner]; ok && s.Owner != "" {
			b.fixed[i] = s.Moving
			b.seat(i, member)
		}
	}
}

// seat changes the owner of a shard on the board; nobody takes it off.
func (b *board) seat(shard, member int) {
	a := b.aggregate[shard]
	if old := b.owner[shard]; old != nobody {
		b.load[old] -= b.cost[shard]
		b.inZone[a][b.zone[old]]--
		b.inNode[a][b.node[old]]--
	}
	if member != nobody {
		b.load[member] += b.cost[shard]
		b.inZone[a][b.zone[member]]++
		b.inNode[a][b.node[member]]++
	}
	b.owner[shard] = member
}

// drawBand computes the mean over active members of all that they have or will
// have to carry, which is all but what members that are not ready keep.
func (b *board) drawBand(policy Policy) {
	total := int64(0)
	for i, cost := range b.cost {
		owner := b.owner[i]
		if owner == nobody || b.active[owner] || b.members[owner].Draining {
			total += cost
		}
	}
	for _, active := range b.active {
		if active {
			b.carriers++
		}
	}
	mean := total / int64(max(1, b.carriers))
	b.zoneSlack = policy.Tolerance
	b.gain = max(1, int64(policy.Tolerance*float64(mean)))
	b.lower, b.upper = mean-b.gain, mean+b.gain
}

// outside is the square of how far a member with such a load is off the band.
func (b *board) outside(load int64) int64 {
	off := max(0, load-b.upper, b.lower-load)
	return off * off
}

// move writes a move down and makes it.
func (b *board) move(shard, member int, reason Reason) {
	b.plan.Assign = append(b.plan.Assign, Move{
		Shard: b.shards[shard].ShardID, From: b.shards[shard].Owner,
		To: b.members[member].ID, Reason: reason,
	})
	b.seat(shard, member)
	b.fixed[shard] = true
}

// movable: a planned move may take the shard off its owner.
func (b *board) movable(shard int) bool {
	return !b.fixed[shard] && b.owner[shard] != nobody && b.active[b.owner[shard]]
}
