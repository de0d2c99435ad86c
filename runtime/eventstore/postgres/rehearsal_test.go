package postgres

import (
	"slices"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/leftfold/leftfold/api/postgres/pgtest"
)

// What callers of a moved shard wait for is prepared and planned before they come.
func TestNewConnectionsHaveRehearsed(t *testing.T) {
	s, err := Open(t.Context(), Options{URL: pgtest.URL(t), Schema: pgtest.Schema(t)})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for name, of := range map[string]struct {
		pool      *pgxpool.Pool
		rehearsed rehearsal
	}{"control": {s.control, ofControl}, "query": {s.query, ofQuery}} {
		t.Run(name, func(t *testing.T) {
			conn, err := of.pool.Acquire(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Release()
			rows, err := conn.Query(t.Context(), "SELECT statement FROM pg_prepared_statements WHERE generic_plans + custom_plans > 0")
			if err != nil {
				t.Fatal(err)
			}
			planned, err := pgx.CollectRows(rows, pgx.RowTo[string])
			if err != nil {
				t.Fatal(err)
			}
			for _, call := range of.rehearsed {
				if !slices.Contains(planned, call.sql) {
					t.Errorf("a new connection has not planned %s", call.sql)
				}
			}
		})
	}
}
