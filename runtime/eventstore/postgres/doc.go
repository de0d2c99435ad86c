// Package postgres keeps the shard log in one schema of a PostgreSQL database,
// version 14 or newer, as an ordinary role without extensions.
//
// It implements eventstore.Store, whose comments are its contract, and passes
// package storetest on a real server. It must never decide who owns a shard,
// retry what the caller did not ask for, or answer Appended for anything that
// the server has not committed to disk.
//
// # Append
//
// One autocommit statement writes any number of events of any number of shards
// (statement.go has it, with what each part does):
//
//	lock the shard rows whose epoch, token, head and hash match, in key order
//	move their heads
//	insert the events and outcomes of those rows
//	tell which rows matched
//
// A stale owner matches no row and writes nothing: that is the fence. The rows
// are locked in one order by everybody, so appends never deadlock. The
// statement travels alone and complete, extended protocol with one Sync behind
// it, so that no half of it can hold a lock while the other half is on its way.
//
// What the answer means is settled in outcome.go:
//
//	ReadyForQuery without an error    Appended, or Refused where nothing matched
//	... but with a warning            Unknown: a standby may not have it
//	ERROR 23505                       Conflict, for the batch sent alone
//	ERROR of class 22 or 54           Invalid, for the batch sent alone
//	any other ERROR                   NotAttempted: the server rolled it back
//	ERROR 57014, FATAL, lost socket   Unknown
//	no connection, nothing sent       NotAttempted
//
// An append is never cancelled. When its context ends, the caller gets Unknown
// and the statement runs on, on a connection that is closed when it ends
// (abandoned.go). The driver's own CancelRequest, which it would send when a
// socket breaks, is refused its connection (connect.go). To settle an unknown
// outcome, claim the shard: the claim waits for the statement if it still runs,
// and fences it if it has not begun.
//
// # Claim
//
// One UPDATE that raises the epoch. It waits for the shard's row; if a session
// of our own role holds that row and does nothing (its process is stopped, cut
// off or gone, but the server has not noticed), the session is ended
// (blocker.go). Work is waited for.
//
// # Connections
//
// Four pools that never wait for one another: control (claims, checks, catalog,
// heartbeats), append, query, projection. Every connection is set up and checked
// in one round trip before it is used, by what package api/postgres holds to: a
// writable primary, synchronous_commit on or remote_apply, UTF-8, READ COMMITTED.
// A server or pooler that cannot keep the promises gives eventstore.ErrUnsafe
// with what to change. PgBouncer must pool sessions; its other modes are
// recognised when the store is opened and refused. Later, a session that lacks its
// tables or prepared statements, for a pooler put it in the place of ours, is
// closed at its first error. Where the server allows fewer connections than the
// pools may use, they are made smaller, down to two each.
//
// # Schema
//
// Package api/postgres has the tables, for the operator migrates them too. They
// are brought up to date when the store is opened, by one process at a time. A
// schema that a newer release made unusable for this one is eventstore.ErrUnsafe.
package postgres
