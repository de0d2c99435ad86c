package postgres

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/leftfold/leftfold/api/postgres/pgtest"
)

func TestTheFirstHostThatIsAPrimaryServes(t *testing.T) {
	raw := pgtest.URL(t)
	for name, url := range map[string]string{
		"after one that does not answer": strings.Replace(raw, "@", "@127.0.0.1:1,", 1),
		"when libpq asks for a primary":  raw + "&target_session_attrs=primary",
		"when libpq asks for read-write": raw + "&target_session_attrs=read-write",
	} {
		t.Run(name, func(t *testing.T) {
			s, err := Open(t.Context(), Options{URL: url, Schema: pgtest.Schema(t)})
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestAnAbandonedStatementLosesItsConnectionInTime(t *testing.T) {
	s, err := Open(t.Context(), Options{URL: pgtest.URL(t), Schema: pgtest.Schema(t), AbandonedTimeout: 10 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	conn, err := s.appends.pool.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	exit := &departure{conn: conn}
	done := make(chan error, 1)
	go func() {
		_, err := conn.Conn().PgConn().ExecParams(noContext, "SELECT pg_sleep(600)", nil, nil, nil, nil).Close()
		s.appends.left.leave(exit, false)
		done <- err
	}()
	awaitSleep(t, conn.Conn().PgConn().PID())
	if !s.appends.left.abandon(exit) {
		t.Fatal("the statement ended at once")
	}
	if err := <-done; err == nil || judge(err) != unknown {
		t.Errorf("the dropped statement ended with %v; want an error of the socket", err)
	}
	if n := s.appends.left.count(); n != 0 {
		t.Errorf("%d statements are still counted as abandoned", n)
	}
}

// awaitSleep returns when the server process sleeps, as its statement says: what is
// cut before then may be known not to have been sent.
func awaitSleep(t *testing.T, pid uint32) {
	t.Helper()
	watch, err := pgx.Connect(t.Context(), pgtest.URL(t))
	if err != nil {
		t.Fatal(err)
	}
	defer watch.Close(context.Background())
	for asleep := false; !asleep; {
		err := watch.QueryRow(t.Context(), "SELECT count(*) = 1 FROM pg_stat_activity WHERE pid = $1 AND wait_event = 'PgSleep'", pid).Scan(&asleep)
		if err != nil {
			t.Fatal(err)
		}
	}
}
