// Package shard keeps every shard of every Runtime owned by a pod that serves it.
// [Fleet] is the only part of the operator that talks to runtime pods: it hears of
// them from Kubernetes, keeps a control stream to each, lets liveness judge and
// placement decide, and asks pods to claim and to release shards. It shows the
// reconcilers what it sees as a [View]; [Reconciler] writes that into Shard objects.
//
// It must never write a Kubernetes object, nor wait for the API server, between a
// failure and the grant that mends it. It must never be right for data to be right:
// the store refuses what an old owner writes, and a grant whose epoch is not the
// store's. It knows shards from pods and, through them, from the store; Shard
// objects tell it nothing but how often a shard was restarted, and its last
// failover.
//
// # Who runs where
//
//	Fleet ---- a pool for each Runtime: one goroutine that owns all of its state
//	              |  ^ events, bounded; a link that cannot tell waits, so its pod's
//	    messages  v  | replies do
//	           a link for each pod: it dials, and has one goroutine that receives
//	                  and one that sends and pings
//
// A pool never waits for a pod: what it sends goes into the link's outbox. Only
// leaders run pools.
//
// # A leader that begins
//
// It learns first, and does nothing: pods say, on a new stream, which shards they
// have, which definitions they serve, and what the store knows (a Survey, which
// comes last). It acts when all pods that can be reached have told, or after the
// heartbeat timeout, and a little longer while more of them tell; but not before
// one of them has read the store, for which it asks again every second. What was
// heard until then is told to the reconcilers once more. So a change of leaders moves nothing. An owner
// that the store names and no pod answers for is watched like any other, unless its
// heartbeat in the store is long gone.
//
// Its term is the microsecond of its election. A pod that has seen a higher one says
// so; the leader goes on above it if the Lease is still its own.
//
// # What is believed
//
// Every word about a shard has an epoch. A higher one than known is believed, a
// lower one is of the past. Of the same epoch, the word that the owner is gone is
// the later one. So it does not matter in which order pods are heard, nor what a pod
// says that comes back from a partition.
//
// # States of a shard
//
//	                   plan: to a member           SERVING
//	          +------> claiming ---------------------------+
//	          |           | REFUSED, nothing for 3 s,      |
//	          |           | target lost: plan anew         |
//	          |           v                                v
//	no owner: idle <------+---- owner lost ------ idle, served <---------+
//	          ^                                     |   |                |
//	          |  RELEASED, target lost     planned  |   | FAILED         |
//	          |                             move    |   |                |
//	          +---------------------- releasing <---+   +--> failing     |
//	                                      |                   |  |       |
//	                 RELEASED, or nothing |      RestartShard |  | StallShard
//	                 for 12 s: grant      v                   v  v       |
//	                                   claiming           claiming  stalled
//	                                                                     |
//	                     its definition changes, or the pod that knows what the
//	                     store has lost is gone: claiming
//
// A planned move chooses the target before the release, so that the grant follows
// the release at once. An owner that does not let go loses the shard to the fence.
// A claim that does not end is granted elsewhere, and its pod is given no shards for
// a while, if there is another.
//
// # A pod that goes
//
// It is emptied by planned moves, a few at a time. It keeps its shards until the pod
// that comes in its place has been ready for a second, so that each shard moves once,
// and not while a container starts; but no longer than 5 s, and not at all when none
// is to come or when Kubernetes gives it less than 20 s. A Deployment starts the next
// pod as soon as one goes, so in a rolling update shards move between the starts of
// two.
//
// # From kill -9 to the next owner
//
// The kernel of the dead process closes its connections: the link's receive fails,
// and it dials once more, at once. That is refused: the member is dead. The pool
// tells all pods that nobody owns its shards, so that callers are held, plans, and
// grants; all in the same turn of its loop. The claim's SERVING is told to all pods
// within a millisecond. No timer is in this path.
//
// # Bounds
//
// Events of a pool: 4,096. Messages that wait for one pod: 20,000, beyond which it is
// cut off and told everything anew when it is back. Dials at a time: 32, but for those
// after a broken connection. Owners are told as changes, 500 in a message that is one
// for all pods; to a pod that comes, an aggregate at a time. Pods tell what the store
// knows in parts of 500 shards, and a link reads on when the pool has taken a part in:
// connections keep room for their largest message, and there are many. Views are made at most twenty times
// a second, status of Shards is written at most fifty times a second.
package shard
