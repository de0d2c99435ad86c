// Package placement decides which member (a runtime pod's incarnation) should own
// which shard. It is a function, [Compute]: members and shards in, moves out.
//
// It must never act, wait, log, read a clock or remember: the caller carries the
// moves out, and asks again with what has become of them. Same inputs, in any
// order, give the same plan. It may be wrong about the world, for a claim under an
// old epoch is refused by the store; so it prefers a fast plan to a perfect one.
//
// # Who may be given shards
//
// Members that are ready and not draining. Among them only those of the newest
// revision, so that a rollout moves no shard onto a pod that is about to go; older
// ones serve as targets only while no newer one is ready. An orphan, and nothing
// else, goes to a ready member that drains when there is no other. A member that is
// not ready is given nothing, ever: it cannot answer a grant. It keeps what it
// owns, since liveness, not placement, says when a member has lost its shards.
//
// # In this order
//
//	orphans   No owner, or one that is not among the members. All at once, however
//	          many, the heaviest first. Placed if and only if a ready member exists.
//	drain     Shards of draining members, the heaviest first, step by step.
//	balance   Only when nothing is orphaned, no draining member owns a shard, and no
//	          member is about to come ([Policy.Unsettled]).
//	spread    Only when balance has nothing to do.
//
// All but the first are planned moves, at most [Policy.MaxMoves] under way at a
// time: shards that are [Shard.Moving] count, and are themselves left alone.
//
// # Cost, band, gain
//
// A shard costs its weight plus its load over [Policy.LoadPerWeight]. A member
// whose cost is within the tolerance of the mean is in the band. Balance moves a
// shard when its owner is above the band or its target below it, and when the
// owner stays heavier than the target becomes without it by the tolerance: so
// costs may waver by twice that before a shard goes back. Without worthwhile moves
// left, the heaviest and the lightest member are apart by at most two tolerances,
// or by one tolerance and one shard, whichever is more (shards to avoid, and older
// revisions that are lighter than newer ones, apart).
//
// # Spread
//
// An aggregate's shards are spread over zones, and within that over nodes, in
// proportion to the members there, for more could only be had by uneven load. A
// new owner is chosen for spread among those within the tolerance of the least
// loaded one, and then by a hash of shard and member, so that shards that went
// together do not stay together. Later a shard moves for spread, or two of them
// change places (which takes a MaxMoves of 2), only off a zone that has more than
// is even by the tolerance, or a node that has half as much again, and only where
// the two members get, together, no further out of the band.
//
// # Why it ends
//
// Let P be the sum over members of the square of what they are outside the band,
// and S how unevenly aggregates are spread over zones, then nodes. Every balance
// move makes P smaller, every spread move or exchange makes S smaller and P no
// larger. Costs are integers, so there are no roundings to go round in.
package placement
