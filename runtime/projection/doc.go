// Package projection keeps what events mean for readers up to date: it feeds
// committed events to targets (package table: rows of SQL tables), each exactly
// once, and lets readers wait for a position.
//
// # Workers
//
// A worker serves one (projection version, aggregate, shard), where the shard
// is owned. It takes events from the shard's memory (Source) when it is caught
// up and pages of the store when it is not. Every batch is one transaction:
//
//  1. The worker's row of projection_offset moves from the sequence it had to
//     that of the batch's last event, by compare-and-set.
//  2. The target writes what the events mean (Writer.Apply).
//  3. Entities of which an event could not be applied are parked.
//
// Step 1 alone makes it exactly once: of two workers with the same events one
// moves the row and the other finds it moved, and a transaction that did not
// commit moved nothing. So a worker need not know whether it still owns the
// shard, and the shard's own row is never locked. After any error, a commit of
// unknown outcome included, a worker forgets all it has in memory and reads its
// offset again.
//
// Offsets count all events, wanted or not, so that a position of a command can
// be waited for whatever the command wrote.
//
// # Quarantine
//
// An event that cannot be applied parks its entity in that version of that
// projection, never the shard: the row in projection_quarantine names the
// entity's first event that is not applied, and later ones queue behind it in
// the log. A retry, by command or with a new definition, reads the entity from
// there. Nothing is skipped.
//
// # Versions
//
// A changed definition, or a rebuild, makes a new version: storage of its own,
// offsets of its own, from event one, while the old version goes on. The
// states of a version:
//
//	building -> serving -> retired
//	building -> retired              (overtaken by another definition)
//
// The first version of a projection serves at once. A later one takes over in
// a transaction that locks the old version's offsets and proves that the new
// ones are not behind on any shard, and that no entity is parked that was not
// parked as early in the old version; it moves the pointer (projection.serving)
// which readers follow. Once a new version is near the head, old workers do not
// run ahead of new ones of the same shard, so that the proof holds for any load.
//
// What the package must never do: write to the log, lock a shard's row, or skip
// an event.
package projection
