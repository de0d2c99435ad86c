package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// rehearsal is what a new connection runs once, about what is not there. The server
// process loads what it knows of the tables meanwhile, and plans: that takes several
// times as long as the statement, and the callers of a shard that has just come to a
// new pod would wait for it, statement after statement, 90 ms where it was measured.
type rehearsal []struct {
	sql  string
	args []any
}

// nowhere is no aggregate's id and no shard's number.
const nowhere = -1

// What a claim needs, and what the first command of an entity.
var (
	ofControl = rehearsal{
		{claimSQL, []any{nowhere, nowhere, 0, []byte{}, "", ""}},
		{shardSQL, []any{nowhere, nowhere}},
		{releaseSQL, []any{nowhere, nowhere, 0, []byte{}, []byte{}, 0, []byte{}}},
	}
	ofQuery = rehearsal{
		{beginLoadSQL, nil},
		{loadSnapshotSQL, []any{nowhere, ""}},
		{loadEventsSQL, []any{nowhere, "", 1}},
		{loadOutcomesSQL, []any{nowhere, ""}},
		{endLoadSQL, nil},
		{readEntitySQL, []any{pgx.QueryResultFormats{pgx.BinaryFormatCode}, nowhere, "", 0, 1}},
		{readShardSQL, []any{pgx.QueryResultFormats{pgx.BinaryFormatCode}, nowhere, nowhere, 0, 1}},
	}
)

// run gives no error of the server's: what cannot be done yet, before the tables are
// there or on a standby, is for those to hear who ask for it.
func (r rehearsal) run(ctx context.Context, conn *pgx.Conn) error {
	for _, call := range r {
		// As it will be called: Exec knows of no formats, and sends what has no
		// arguments without preparing it.
		rows, err := conn.Query(ctx, call.sql, call.args...)
		rows.Close()
		if err == nil {
			err = rows.Err()
		}
		if err != nil && conn.IsClosed() {
			return err
		}
	}
	return nil
}

// rehearseAppend appends nothing.
func rehearseAppend(ctx context.Context, conn *pgconn.PgConn) error {
	var nothing appendStatement
	if err := nothing.fill(nil); err != nil {
		return err
	}
	return conn.ExecPrepared(ctx, appendName, nothing.values[:], binaryFormat, binaryFormat).Read().Err
}
