// Package eventstore is the contract between the runtime and its event store:
// the types of the shard log, the interfaces a store implements, the errors a
// caller branches on, the hash chain and the canonical form it is made of.
//
// # The log
//
// An aggregate's entities are spread over 65,536 slots, and its shards divide
// the slots. A shard is a log of events with a dense sequence (Seq 1..head);
// within it every entity has a dense version (1..n). Only the shard's owner
// assigns both, in the append. A position over several shards is a vector of
// sequences (Position); no reader ever waits for, guesses or skips a gap.
//
// # Fencing
//
// A shard's row holds an epoch and a token. Claim raises the epoch and writes a
// new token in one statement; every append carries both, with the head and its
// hash, and the store refuses it when any of them differs. That is the whole of
// the safety argument: nothing else in Leftfold has to be right for the log to
// be right.
//
// # Definitions
//
// The store keeps the last accepted definition of each aggregate, and which
// object of a cluster it came from (Source). It does not understand either:
// whoever accepts one expects a revision, and looks again when there is another.
// A shard also has a floor: events that were decided by a definition of a lower
// generation are refused like those of a lower epoch. So a change that is
// incompatible with what older definitions would write can be proved safe: raise
// the floor, then look at the log.
//
// # Invariants (package storetest holds every store to them)
//
//  1. Per shard, Seq is 1..head without gap or duplicate, and the chain holds.
//  2. Per entity, Version is 1..n.
//  3. No event has an epoch lower than an event before it in its shard.
//  4. Every batch answered Appended is there, once, for ever.
//  5. A batch answered Refused, Conflict, Invalid or NotAttempted left nothing
//     and never will.
//
// This package imports the standard library only, and never an implementation.
package eventstore
