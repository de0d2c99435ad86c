// Package sqlite is the event store in one SQLite file: for `leftfold dev`, to
// try things, and at the edge with one runtime pod.
//
// # One process, one writer
//
// A folder belongs to one process at a time, which an exclusive lock on a file
// beside the database proves; the kernel drops the lock with the process, however
// it ends. Network file systems are refused, since neither that lock nor SQLite's
// own can be trusted there. Within the process one connection writes, and each
// write is a BEGIN IMMEDIATE transaction on it: appends, claims, and the
// transactions of projections, which take the same connection through
// ProjectionDB. Readers have connections of their own and see the last commit,
// which write-ahead logging lets them do without waiting.
//
// # Durability
//
// The log is synchronised (fsync) before a commit is answered: journal_mode WAL,
// synchronous FULL, both verified at Open. There is no weaker setting.
//
// # What becomes of a write
//
//	waiting for the writer   ctx ends: NotAttempted
//	in the transaction       an error: rolled back, NotAttempted
//	COMMIT                   disk full: rolled back, NotAttempted;
//	                         any other error: Unknown, and the connection is
//	                         thrown away, since frames may or may not have
//	                         reached the disk. The next committed write settles
//	                         it: it either finds them or writes over them.
//	ctx ends meanwhile       Unknown; the transaction goes on by itself
//
// An append that meets data it cannot store, or rows that are there already, is
// rolled back and done again with a savepoint around each batch, so that only the
// guilty ones fail.
//
// The package never decides who may write: it compares epochs, tokens and heads.
package sqlite
