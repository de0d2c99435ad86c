// Package shard is the command pipeline: it owns shards of the log, decides
// commands on entities in memory, commits what they write, and answers when that
// is durable. It must never know a transport, a kind of store, a language of
// behaviours, or who else could own a shard: the store decides that, by refusing
// appends under an old epoch.
//
// One goroutine owns a shard, and nothing of it has a lock; everything else
// sends it messages (mailbox.go). I/O happens elsewhere and comes back as a
// message. A [Host] holds what the shards of a process share.
//
// # A shard's life
//
//	           Open: claim            Define             Drain
//	(closed) ------------> Holding ----------> Serving ----------> Draining
//	                          |                |  ^                   |
//	                          |  unknown outcome  | claimed anew      | released
//	                          |   or conflict  v  |                   v
//	                          |              Settling              Stopped (nil)
//	                          v                |
//	                       Stopped (ErrNotOwner: refused, or a check failed;
//	                                ErrStoreWentBack: acknowledged events are gone;
//	                                ErrPanicked, ErrStuck: its own code failed, see
//	                                guard.go; it may be opened again)
//
// Holding is left when the shard's definition has caught up with the one that
// the store has accepted; most shards pass it at once.
//
// # A command's way
//
//	arrived    in the mailbox; bounded in number and bytes, else Overloaded
//	waiting    in its entity's queue; entities take turns, one command each. The
//	           entity is loaded first if it is not in memory; others go on.
//	           Expired or abandoned ones go no further: NotAttempted.
//	decided    dedup, then payload, then If-Match, then Decide and Try on the
//	           speculative state. The next command of the entity sees the result.
//	gathering  with events, or with an outcome row: an entry of the next batch
//	in flight  sealed (seq, epoch, hash) and with the committer; one batch a shard
//	committed  answered, in the feed, remembered in the entity's window
//
// A command that writes nothing (refused, empty, a repeat) and a strong read wait
// at the barrier instead (barrier.go): for the batches that the answer was
// concluded from, and for the store's consent to something that was sent after
// they arrived. A repeat of a pending command joins it.
//
// # What a batch can come to
//
//	Appended      commit
//	NotAttempted  send the identical batch again while a caller has time; then
//	              its commands fail with NotAttempted, later ones are decided again
//	Invalid       decide all again and send them one by one; the one that is
//	              refused alone fails with BehaviorFailed
//	Refused       stop: another process owns the shard
//	Conflict      claim anew, forget all memory, decide again
//	Unknown       settle (settle.go)
//
// # Invariants
//
//  1. At most one batch of a shard is in flight, and no other is sent before its
//     outcome is definite.
//  2. An entity's spec is its committed state followed by its pending entries, in
//     order; without pending entries both are the same.
//  3. Speculation is dropped whole: every entity of the shard is back at its
//     committed state, and no pending record is in any window.
//  4. An answer with events follows their commit. Any other answer that reveals
//     state follows the commit of all it depends on, and a send that the store
//     consented to and that began after the request had arrived.
//  5. A command that was answered, other than by a payload error, NotAttempted or
//     Overloaded, and that was keyed or wrote events, is in its entity's window;
//     the window can be rebuilt from the store alone.
//  6. An entity without pending entries, waiting requests or a load may leave
//     memory at any time.
//  7. Snapshots and the feed hold committed events only.
//  8. A command's time is never before its entity's last event; RecordedAt never
//     decreases in a shard.
//  9. What was acknowledged is there, or nobody goes on: an append, a check and a
//     release name the head that the shard knows, and a claim's row is compared with
//     it. Where the store has less, or other events, the shard ends with
//     ErrStoreWentBack.
//
// # Ids made at the door
//
// A command whose id no caller gave (Command.Keyed is false) has the zero
// RequestHash: only the door itself can repeat it, and it says so
// (Command.Retried). Its events are remembered among the last N; a refusal or an
// empty success of a first attempt is not, for nobody but the door could ask
// again, and only when the first answer was lost. That of a retry is, so that an
// earlier attempt which arrives late does not run after it. When a retry's id is
// not remembered, and more than N commands have come lately, its caller looks for
// its events in the log before it is decided (retry.go).
package shard
