package server_test

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/leftfold/leftfold/api/postgres/pgtest"
)

// What a database does to a server while it serves, in production: each time the
// server goes on by itself, and every command that was answered is there, once.

// steady is callers that send one command after the other, each to an entity of
// its own, and repeat every one with its key until it is answered.
type steady struct {
	r       *rig
	stop    chan struct{}
	running sync.WaitGroup
	// answered counts the commands answered 200, by caller, and heard all answers;
	// refused counts the others.
	answered, heard []atomic.Int64
	refused         atomic.Int64
}

const callers = 8

// send begins traffic; the test ends it with account.
func (r *rig) send(t *testing.T) *steady {
	t.Helper()
	f := &steady{r: r, stop: make(chan struct{}), answered: make([]atomic.Int64, callers), heard: make([]atomic.Int64, callers)}
	for i := range callers {
		f.running.Go(func() {
			for n := int64(1); f.command(t, i, n); n++ {
				f.answered[i].Store(n)
			}
		})
	}
	t.Cleanup(f.end)
	return f
}

// command sends a caller's nth command until it is answered; false when the
// traffic ends before that.
func (f *steady) command(t *testing.T, caller int, n int64) bool {
	q := post(probePath(f.entity(caller))+"/Add", `{"amount":1}`, "Idempotency-Key", strconv.FormatInt(n, 10))
	for {
		select {
		case <-f.stop:
			return false
		default:
		}
		a, err := f.r.try(t.Context(), q)
		f.heard[caller].Add(1)
		switch {
		case err != nil:
			t.Errorf("caller %d: %v", caller, err)
			return false
		case a.status == http.StatusOK && a.at("version") != strconv.FormatInt(n, 10):
			t.Errorf("caller %d: command %d was answered with %s", caller, n, a.text)
			return false
		case a.status == http.StatusOK:
			return true
		case a.status != http.StatusServiceUnavailable && a.status != http.StatusGatewayTimeout:
			t.Errorf("caller %d: command %d was answered %d %s", caller, n, a.status, a.text)
			return false
		}
		f.refused.Add(1)
	}
}

func (f *steady) entity(caller int) string { return fmt.Sprintf("caller-%d", caller) }

func (f *steady) end() {
	select {
	case <-f.stop:
	default:
		close(f.stop)
	}
	f.running.Wait()
}

// progress waits until a command of every caller was accepted again.
func (f *steady) progress(t *testing.T, when string) {
	t.Helper()
	f.await(t, when, f.answered)
}

// await waits until each of the counts has grown.
func (f *steady) await(t *testing.T, when string, counts []atomic.Int64) {
	t.Helper()
	var before [callers]int64
	for i := range before {
		before[i] = counts[i].Load()
	}
	begun := time.Now()
	eventually(t, func() string {
		for i := range before {
			if counts[i].Load() == before[i] {
				return fmt.Sprintf("%s: caller %d gets no answer", when, i)
			}
		}
		return ""
	})
	t.Logf("%s: all callers were answered within %v", when, time.Since(begun).Round(time.Millisecond))
}

// account ends the traffic and holds the store to what it answered: the command
// that was under way may be there besides.
func (f *steady) account(t *testing.T) {
	t.Helper()
	f.end()
	var total int64
	for i := range callers {
		answered := f.answered[i].Load()
		total += answered
		a := f.r.ok(t, get(probePath(f.entity(i))))
		version, err := strconv.ParseInt(a.str(t, "version"), 10, 64)
		if err != nil || version < answered || version > answered+1 {
			t.Errorf("caller %d: %d commands were answered, the entity is at version %s", i, answered, a.text)
		}
	}
	t.Logf("%d commands answered, %d answers were refusals", total, f.refused.Load())
}

// admin opens a superuser's session.
func admin(t *testing.T, database *pgtest.Server) *pgx.Conn {
	t.Helper()
	conn, err := database.Superuser(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

func run(t *testing.T, conn *pgx.Conn, statements ...string) {
	t.Helper()
	for _, s := range statements {
		if _, err := conn.Exec(t.Context(), s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

func terminate(t *testing.T, database *pgtest.Server) {
	t.Helper()
	n, err := database.TerminateClients(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d sessions ended", n)
}

func TestSessionsThatAreTerminatedUnderLoadAreReplaced(t *testing.T) {
	t.Parallel()
	database := pgtest.Start(t)
	r := start(t, place{url: database.URL()}, probe(t))
	f := r.send(t)
	for round := range 10 {
		f.progress(t, fmt.Sprintf("round %d", round))
		terminate(t, database)
	}
	f.progress(t, "at the end")
	f.account(t)
}

// A process would use 18 connections.
func TestAServerWithFewConnectionsIsServedWithFewer(t *testing.T) {
	t.Parallel()
	database := pgtest.Start(t, "max_connections = 14", "superuser_reserved_connections = 3")
	r := start(t, place{url: database.URL()}, probe(t))
	f := r.send(t)
	for round := range 3 {
		f.progress(t, fmt.Sprintf("round %d", round))
		for i := range callers {
			position := r.add(t, fmt.Sprint("e-", i)).str(t, "position")
			r.ok(t, get(fmt.Sprintf("/v1/projections/counts/e-%d?wait=10s&after=%s", i, position)))
		}
	}
	f.account(t)
	if n := f.refused.Load(); n > 0 {
		t.Errorf("%d commands were refused meanwhile", n)
	}
}

// Others take every connection, give some back, and then the rest.
func TestConnectionsThatOthersTookAreHadAgainWhenTheyGo(t *testing.T) {
	t.Parallel()
	database := pgtest.Start(t, "max_connections = 40")
	r := start(t, place{url: database.URL()}, probe(t))
	f := r.send(t)
	f.progress(t, "at first")
	others := []*pgx.Conn{admin(t, database)}
	fill := func() {
		for {
			conn, err := database.Superuser(t.Context())
			if err != nil {
				return
			}
			others = append(others, conn)
		}
	}
	leave := func(stay int) {
		for _, conn := range others[stay:] {
			if err := conn.Close(t.Context()); err != nil {
				t.Error(err)
			}
		}
		others = others[:stay]
	}
	fill()
	for deadline := time.Now().Add(patience); ; fill() {
		run(t, others[0], "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'leftfold'")
		if len(others) == 40 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the others have %d connections", len(others))
		}
	}
	f.refusedAll(t, "without a connection")
	leave(31) // three of the nine are for superusers
	f.progress(t, "with six connections")
	leave(1)
	f.progress(t, "with all of them")
	f.account(t)
}

func TestADatabaseThatTurnsReadOnlyIsRefusedAndTakenBack(t *testing.T) {
	t.Parallel()
	database := pgtest.Start(t)
	r := start(t, place{url: database.URL()}, probe(t))
	f := r.send(t)
	f.progress(t, "at first")
	database.Set(t, "default_transaction_read_only", "on")
	f.refusedAll(t, "while it is read-only")
	database.Set(t, "default_transaction_read_only", "")
	f.progress(t, "writable again")
	f.account(t)
}

// refusedAll waits until nothing is answered any more, and sees that it stays so
// for many refusals.
func (f *steady) refusedAll(t *testing.T, when string) {
	t.Helper()
	total := func() (n int64) {
		for i := range f.answered {
			n += f.answered[i].Load()
		}
		return n
	}
	before, refused := int64(-1), int64(0)
	eventually(t, func() string {
		if n := total(); n != before {
			before, refused = n, f.refused.Load()
			return fmt.Sprintf("%s: %d commands have been answered", when, n)
		}
		if f.refused.Load() < refused+callers/2 {
			return fmt.Sprintf("%s: %d refusals only", when, f.refused.Load()-refused)
		}
		return ""
	})
}

// Sessions keep the setting that they were checked with; new ones are refused.
func TestNothingIsAnsweredWithoutDurabilityWhenCommitsTurnAsynchronous(t *testing.T) {
	t.Parallel()
	for name, turn := range map[string]func(t *testing.T, database *pgtest.Server, value string){
		"by a reload": func(t *testing.T, database *pgtest.Server, value string) {
			database.Set(t, "synchronous_commit", value)
		},
		"for the role": func(t *testing.T, database *pgtest.Server, value string) {
			run(t, admin(t, database), "ALTER ROLE leftfold SET synchronous_commit = "+value)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			// What an asynchronous commit leaves in memory stays there for long.
			database := pgtest.Start(t, "wal_writer_delay = 10s", "wal_writer_flush_after = 0")
			r := start(t, place{url: database.URL()}, probe(t))
			f := r.send(t)
			f.progress(t, "at first")
			turn(t, database, "off")
			f.progress(t, "by sessions that were there before")
			terminate(t, database)
			f.refusedAll(t, "with new sessions")
			turn(t, database, "on")
			f.progress(t, "durable again")
			f.end()
			if err := database.Crash(); err != nil {
				t.Fatal(err)
			}
			if err := database.Restart(); err != nil {
				t.Fatal(err)
			}
			eventually(t, func() string { return r.do(t, get(probePath(f.entity(0)))).unless(http.StatusOK) })
			f.account(t)
		})
	}
}

// unless is the answer's text, or empty if it has the status.
func (a answer) unless(status int) string {
	if a.status == status {
		return ""
	}
	return fmt.Sprint(a.status, " ", a.text)
}

// A URL that lists both hosts finds whichever is the primary.
func TestAStandbyThatIsPromotedServesWhatThePrimaryAnswered(t *testing.T) {
	t.Parallel()
	primary := pgtest.Start(t)
	standby := primary.StartStandby(t)
	primary.Set(t, "synchronous_standby_names", "*")
	r := start(t, place{url: both(t, primary, standby)}, probe(t))
	f := r.send(t)
	f.progress(t, "on the primary")
	if err := primary.Crash(); err != nil {
		t.Fatal(err)
	}
	f.refusedAll(t, "with a standby alone")
	standby.Promote(t)
	f.progress(t, "on the promoted standby")
	position := r.add(t, "e").str(t, "position")
	eventually(t, func() string {
		return r.do(t, get("/v1/projections/counts/e?wait=10s&after="+position)).unless(http.StatusOK)
	})
	f.account(t)
}

// both is a URL that lists two hosts.
func both(t *testing.T, a, b *pgtest.Server) string {
	t.Helper()
	u, err := url.Parse(a.URL())
	if err != nil {
		t.Fatal(err)
	}
	u.Host += "," + b.Address()
	return u.String()
}

func TestAnOldSnapshotIsSeenInTheMetrics(t *testing.T) {
	t.Parallel()
	database := pgtest.Start(t)
	r := start(t, place{url: database.URL()}, probe(t))
	f := r.send(t)
	age := func() float64 {
		value := r.metric(t, `leftfold_store_oldest_transaction_seconds{store="default"}`)
		seconds, err := strconv.ParseFloat(value, 64)
		if err != nil {
			return -1
		}
		return seconds
	}
	idle := admin(t, database)
	run(t, idle, "BEGIN ISOLATION LEVEL REPEATABLE READ", "SELECT count(*) FROM leftfold.event")
	eventually(t, func() string {
		if a := age(); a < 4 {
			return fmt.Sprintf("the oldest transaction is said to be %v s old", a)
		}
		return ""
	})
	f.progress(t, "while the snapshot is held")
	run(t, idle, "COMMIT")
	eventually(t, func() string {
		if a := age(); a > 1 {
			return fmt.Sprintf("nothing is held any more, and it is said to be %v s old", a)
		}
		return ""
	})
	f.account(t)
}

func TestAPoolerThatBeginsToShareSessionsLosesNothing(t *testing.T) {
	t.Parallel()
	database := pgtest.Start(t)
	pooler := database.StartPgBouncer(t, "pool_mode = session", "default_pool_size = 40")
	r := start(t, place{url: pooler.URL()}, probe(t))
	f := r.send(t)
	f.progress(t, "with sessions of its own")
	pooler.Reconfigure(t, "pool_mode = transaction", "default_pool_size = 40")
	terminate(t, database)
	// It is by chance whether a statement comes to a session that was set up for it.
	f.await(t, "shared", f.heard)
	t.Logf("%d refusals", f.refused.Load())
	pooler.Reconfigure(t, "pool_mode = session", "default_pool_size = 40")
	f.progress(t, "with sessions of its own again")
	f.account(t)
}
