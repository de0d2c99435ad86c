package postgres_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/leftfold/leftfold/api/postgres/pgtest"
	"github.com/leftfold/leftfold/runtime/eventstore"
	"github.com/leftfold/leftfold/runtime/eventstore/postgres"
)

// What pooler_test.go shows with a pooler of its own making, on PgBouncer.
func TestPgBouncerThatSharesSessionsIsRefused(t *testing.T) {
	server := pgtest.Start(t)
	for name, settings := range map[string][]string{
		"transaction mode":                           {"pool_mode = transaction"},
		"transaction mode, servers in turn":          {"pool_mode = transaction", "server_round_robin = 1"},
		"transaction mode, with a single server":     {"pool_mode = transaction", "default_pool_size = 1"},
		"transaction mode, servers warmed up":        {"pool_mode = transaction", "min_pool_size = 10"},
		"statement mode":                             {"pool_mode = statement"},
		"transaction mode, servers reset in between": {"pool_mode = transaction", "server_reset_query_always = 1"},
	} {
		t.Run(name, func(t *testing.T) {
			through := server.StartPgBouncer(t, settings...).URL()
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			begun := time.Now()
			s, err := postgres.Open(ctx, postgres.Options{URL: through, Schema: pgtest.SchemaOn(t, server.URL())})
			if err == nil {
				_ = s.Close()
			}
			if !errors.Is(err, eventstore.ErrUnsafe) || !strings.Contains(err.Error(), "pool_mode = session") {
				t.Errorf("open: %v; want ErrUnsafe that names pool_mode = session", err)
			}
			t.Logf("refused after %v: %v", time.Since(begun), err)
		})
	}
}

func TestPgBouncerThatGivesEachClientASessionIsFine(t *testing.T) {
	server := pgtest.Start(t)
	through := server.StartPgBouncer(t, "pool_mode = session", "default_pool_size = 40")
	s := open(t, func(o *postgres.Options) { o.URL, o.Schema = through.URL(), "leftfold" })
	id := aggregate(t, s, 1)[0]
	o := claim(t, s, id, 0)
	o.mustAppend(s, o.batch("anna", `{}`, 1))
	idle := session(t, server.URL(), s)
	exec(t, idle, "BEGIN")
	exec(t, idle, "SELECT FROM shard FOR UPDATE")
	claim(t, s, id, 1) // finds its own backend behind the pooler, and who holds it up
}
