// Package table is the target of projections that are tables: it folds events
// into rows, writes them inside the transaction that moves the projection's
// offset, and answers queries.
//
// # Storage
//
// A version's rows are in a table named _projection_<id>_v<version>; the view
// under the projection's own SQL name shows the version that serves. The key is
// the primary key; a column that is indexed has an index on itself and the key.
// Text compares bytewise everywhere.
//
//	type               PostgreSQL         SQLite
//	string             text               TEXT
//	int                bigint             INTEGER
//	double             double precision   REAL
//	bool               boolean            INTEGER, 0 or 1
//	bytes              bytea              BLOB
//	timestamp          timestamptz        TEXT, 2026-01-31T23:59:59.000000Z
//	duration           bigint             INTEGER, nanoseconds
//	record, list, map  jsonb              TEXT, JSON
//
// Columns are NOT NULL and hold the type's zero value when nothing was set; an
// optional one is NULL when absent.
//
// # Folding
//
// All events of a batch that touch a key are folded in memory into one write of
// its row. Rows that only one shard can reach (their key is the entity, and
// there is one source) are remembered from batch to batch. All others are locked
// first, by one INSERT … ON CONFLICT DO UPDATE … RETURNING sorted by key, which
// locks a key that has no row as well: the row it makes has _live = false and is
// deleted in the same transaction when nothing sets it. A SELECT … FOR UPDATE
// instead would lose one of two updates that both find no row. SQLite has one
// writer and needs none of it.
//
// # Queries
//
// A query reads pointer, offsets and rows in one snapshot, so the position it
// gives is exactly that of its rows. Pages are by key (the last row's order
// values and key), never by offset, so that rows which come and go between two
// pages do not shift the others.
//
// What the package must never do: write outside the transaction it is given, or
// put anything of a request into the text of a statement.
package table
