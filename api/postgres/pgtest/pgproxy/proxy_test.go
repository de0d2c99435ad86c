package pgproxy_test

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/leftfold/leftfold/api/postgres/pgtest"
	"github.com/leftfold/leftfold/api/postgres/pgtest/pgproxy"
)

const statement = "leave_mark"

// connect gives a connection through the proxy with the statement prepared, and
// one that leads around it.
func connect(t *testing.T) (*pgproxy.Proxy, *pgx.Conn, *pgx.Conn, string) {
	t.Helper()
	direct := open(t, pgtest.URL(t))
	schema := pgtest.Schema(t)
	exec(t, direct, "CREATE SCHEMA "+schema)
	exec(t, direct, "CREATE TABLE "+schema+".mark (id int PRIMARY KEY)")
	proxy := pgproxy.Start(t, pgtest.URL(t), statement)
	return proxy, through(t, proxy, schema), direct, schema
}

func through(t *testing.T, proxy *pgproxy.Proxy, schema string) *pgx.Conn {
	t.Helper()
	conn := open(t, proxy.Through(t, pgtest.URL(t)))
	if _, err := conn.PgConn().Prepare(t.Context(), statement, "INSERT INTO "+schema+".mark VALUES ($1::int4)", nil); err != nil {
		t.Fatal(err)
	}
	return conn
}

func open(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

func exec(t *testing.T, conn *pgx.Conn, sql string) {
	t.Helper()
	if _, err := conn.Exec(t.Context(), sql); err != nil {
		t.Fatal(err)
	}
}

func mark(ctx context.Context, conn *pgx.Conn, id string) error {
	return conn.PgConn().ExecPrepared(ctx, statement, [][]byte{[]byte(id)}, nil, nil).Read().Err
}

func count(t *testing.T, conn *pgx.Conn, schema string) (n int) {
	t.Helper()
	if err := conn.QueryRow(t.Context(), "SELECT count(*) FROM "+schema+".mark").Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestAConnectionBreaksWhereItIsTold(t *testing.T) {
	for place, kept := range map[pgproxy.Place]int{
		pgproxy.BeforeStatement: 0, pgproxy.MidMessage: 0, pgproxy.BeforeCommit: 0, pgproxy.AfterCommit: 1,
	} {
		t.Run(place.String(), func(t *testing.T) {
			proxy, conn, direct, schema := connect(t)
			exec(t, conn, "SELECT 1") // other statements pass
			proxy.CutStatements(place, 1)
			if err := mark(t.Context(), conn, "1"); err == nil {
				t.Error("the statement was answered")
			}
			if n := count(t, direct, schema); n != kept {
				t.Errorf("%d rows are there, want %d", n, kept)
			}
			if seen, cut := proxy.Counts(); seen != 1 || cut != 1 {
				t.Errorf("%d seen, %d cut; want one each", seen, cut)
			}
			// The server has let go of the transaction, and the next connection lives.
			if err := mark(t.Context(), through(t, proxy, schema), "2"); err != nil {
				t.Error(err)
			}
			if n := count(t, direct, schema); n != kept+1 {
				t.Errorf("%d rows are there in the end, want %d", n, kept+1)
			}
		})
	}
}

func TestNothingPassesWhileItHangsAndAllDoesAfterwards(t *testing.T) {
	proxy, conn, direct, schema := connect(t)
	proxy.Hang()
	answered := make(chan error, 1)
	go func() { answered <- mark(t.Context(), conn, "1") }()
	select {
	case err := <-answered:
		t.Fatalf("answered while nothing passes: %v", err)
	case <-time.After(100 * time.Millisecond): // far longer than an insert takes
	}
	if n := count(t, direct, schema); n != 0 {
		t.Errorf("%d rows arrived", n)
	}
	proxy.Resume()
	if err := <-answered; err != nil {
		t.Error(err)
	}
	if n := count(t, direct, schema); n != 1 {
		t.Errorf("%d rows arrived in the end", n)
	}
}

func TestADelayHoldsUpBothWays(t *testing.T) {
	proxy, conn, _, _ := connect(t)
	const delay = 50 * time.Millisecond
	proxy.Delay(delay)
	begun := time.Now()
	if err := mark(t.Context(), conn, "1"); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(begun); took < 2*delay {
		t.Errorf("it took %s, want at least %s", took, 2*delay)
	}
}

func TestACutBreaksAllAndTheNextConnectionLives(t *testing.T) {
	proxy, conn, _, schema := connect(t)
	proxy.Cut()
	if err := mark(t.Context(), conn, "1"); err == nil {
		t.Error("a cut connection answers")
	}
	if err := mark(t.Context(), through(t, proxy, schema), "1"); err != nil {
		t.Error(err)
	}
}
