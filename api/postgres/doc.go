// Package postgres says what both halves of Leftfold hold to about a PostgreSQL
// event store: how it is reached, which servers are safe, which tables it has and
// which releases can use them, whose schema it is, and how a schema ends.
//
// The runtime's event store opens its pools with it; the operator looks at the
// server with it, brings the schema up to date, marks whose it is, and drops it
// when it is to go. It must never read or write events, decide who owns a shard,
// or put a password into an error.
//
// # Safe servers
//
// [Establish] sets every connection up and checks it in one round trip: version
// 14 or newer, a writable primary, synchronous_commit on or remote_apply, UTF-8.
// [RefuseSharedSessions] finds a pooler that shares sessions between
// transactions. What they refuse is [ErrUnsuitable], with the fix in its text.
//
// # Tables, and which releases can use them
//
// Migrations are goose's, embedded from migrations/, and run by [Migrate], by one
// process at a time. They expand first: a release only adds what its predecessor
// can ignore, and takes away a release later, so that neighbouring releases share
// a schema while pods are replaced.
//
// A schema may thus be newer than the release that opens it. How old a release
// may be is kept in the schema itself, by whoever made it newer:
//
//	compatibility(minimum_version)   the oldest schema version whose release can
//	                                 still use the schema
//
// A migration that only adds leaves it. A migration that takes something away
// sets it to the version that no longer needed that. A release whose newest
// migration is below it refuses the schema with [ErrSchemaTooNew]; any other
// schema that is newer is used as it is, and never migrated back.
//
// # Whose schema it is
//
// One row names the owner (owner.go). [Database.Claim] puts it there and refuses a
// schema that is another's; [Database.Release] takes it away, so that whoever comes
// next finds the data; [Database.Drop] drops what the owner left. A schema without
// the row belongs to nobody yet. The row binds operators only: a runtime that was
// told to use a schema does not ask.
package postgres
