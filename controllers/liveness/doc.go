// Package liveness decides which runtime pods and which shards have failed, and
// what is to be done. It is a state machine, [Tracker]: observations and the time
// go in by [Tracker.Step], verdicts come out.
//
// It must never act, dial, wait, log or read a clock: time is a parameter. It has
// no goroutine and no lock; one loop owns a Tracker. It may be wrong about a pod,
// for the store refuses what an old owner writes; being wrong costs a move. It
// knows nothing of where shards should go: that is placement's.
//
// # The rules
//
//	observation                                   verdict
//	connection refused or reset                   Redial, at once; while that is
//	                                              under way the member is suspect
//	... and the redial refused                    Dead (ProcessDied)
//	silence for the timeout                       Unreachable
//	... found by a late step                      none: all clocks start again
//	... of more than half of the members, those   Unreachable, once the store's
//	    included that soon are silent             heartbeats agree; Held till then
//	it says it drains, or its pod is deleted      Draining
//	it says a shard failed                        RestartShard: on the same pod, then
//	                                              on others, backing off
//	... after 5 restarts in a row                 StallShard
//	... since the store lost events that it       StallShard, at once
//	    knows to be acknowledged
//	Ready=False for long                          DeletePod
//	all of its shards fail, for a while           DeletePod
//	... either, at more than half of the members  Held: the fault is not the pods'
//
// A step is late when more than [Settings.LateStep] went by since the one before:
// the observer itself stood still, so what members said meanwhile may lie unread,
// and their silence proves nothing. Refusals are positive and count even so.
//
// # States of a member
//
//	           Refused                  Refused on redial
//	Alive ----------------> Suspect ------------------------> Dead
//	 |  ^ <------ Pong --------+  |                             |
//	 |  |                         | silence                     |
//	 |  +---- Pong: Recovered ----|-------------------------+---+
//	 |                            v                         |
//	 +------- silence -------> Unreachable -----------------+
//	                              +---- Refused on redial --> Dead
//
// Draining, not ready and failing are apart from these, for a member that drains
// can die. A member is a pod's incarnation: a process that starts anew is a new
// one. It is watched from [Joined], which is when the handshake proved who it is or
// the store named it as an owner, to [Left]; observations of others are ignored.
//
// # States of a shard
//
//	            ShardFailed, try <= 5                  its time has come
//	(unknown) -----------------------> backing off --------------------> restarted
//	    ^         try > 5: Stalled       ^                                 |  |
//	    +-- served for long (or Retry) --|---------------------------------+  |
//	                                     +------------- ShardFailed ----------+
//
// Tries go on counting until the shard was served for [Settings.Forgive], so one
// that fails once a minute comes to an end too. The first restart comes at once, on
// the pod that has it; the next ones elsewhere, after Backoff, twice that, and so
// on up to MaxBackoff. A shard that is stalled stays so until it is served after
// all, or [Retry] gives it a new start.
//
// A store that went back is another matter: who does not know what it had would go
// on without it. Such a shard is tried again by the member that knows, on [Retry], or
// elsewhere once that has [Left], which a person brings about.
//
// # Verdicts are told once
//
// A verdict comes out in the step in which it becomes true, and again only after
// it ceased to be. [Tracker.Held] lists what is held, for as long as it is, so
// that the caller knows when to read the store's heartbeats.
package liveness
