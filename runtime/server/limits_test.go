package server_test

import (
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/leftfold/leftfold/runtime/server"
)

func TestAFullMailboxIsOverloadedAndLosesNothing(t *testing.T) {
	onEachStore(t, func(t *testing.T, p place) {
		r := start(t, p, probe(t), func(c *server.Config) { c.Limits.MailboxCommands = 2 })
		var accepted, refused atomic.Int64
		var senders sync.WaitGroup
		for range 32 {
			senders.Go(func() {
				for range 20 {
					a, err := r.try(t.Context(), addTo("crowded"))
					switch {
					case err != nil:
						t.Error(err)
					case a.status == http.StatusOK:
						accepted.Add(1)
					case a.status == http.StatusTooManyRequests && a.at("reason") == "Overloaded" && a.header.Get("Retry-After") != "":
						refused.Add(1)
					default:
						t.Errorf("%d %v %s", a.status, a.header, a.text)
					}
				}
			})
		}
		senders.Wait()
		if refused.Load() == 0 {
			t.Error("nothing was refused")
		}
		if got := r.metric(t, `leftfold_refusals_total{limit="mailbox"}`); got != itoa(refused.Load()) {
			t.Errorf("%s refusals by the mailbox are counted, callers saw %d", got, refused.Load())
		}
		if a := r.ok(t, get(probePath("crowded"))); a.at("version") != a.at("state", "count") || a.str(t, "version") != itoa(accepted.Load()) {
			t.Errorf("%d were accepted, the entity has %v", accepted.Load(), a.text)
		}
	})
}

// Only PostgreSQL lets somebody else hold a row of the store: SQLite's file is
// locked by its one process.
func TestACommandWhoseTimeEndsDuringItsCommitIsOutcomeUnknownAndRunsOnce(t *testing.T) {
	p := postgresPlace(t)
	r := start(t, p, probe(t), func(c *server.Config) { c.CommandTimeout = 500 * time.Millisecond })
	r.add(t, "held")
	conn, err := pgx.Connect(t.Context(), p.url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(t.Context()) }()
	tx, err := conn.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), "SELECT 1 FROM "+pgx.Identifier{p.schema, "shard"}.Sanitize()+" FOR UPDATE"); err != nil {
		t.Fatal(err)
	}
	keyed := post(probePath("held")+"/Add", `{"amount":5}`, "Idempotency-Key", "once")
	row{status: 504, reason: "OutcomeUnknown", request: keyed}.run(t, r)
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() string {
		a := r.do(t, keyed)
		if a.status == http.StatusGatewayTimeout {
			return a.text
		}
		if a.status != 200 || a.at("version") != "2" {
			t.Fatalf("the same key again: %d %s", a.status, a.text)
		}
		return ""
	})
	if a := r.ok(t, get(probePath("held"))); a.at("version") != "2" || a.at("state", "count") != "6" {
		t.Errorf("it ran more than once, or not: %s", a.text)
	}
}

func TestAStartThatFailsSaysWhyAndLeavesNothingBehind(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	data := t.TempDir()
	cases := map[string]struct {
		change func(c *server.Config)
		says   string
	}{
		"the port is in use":                       {func(c *server.Config) { c.Listen = taken.Addr().String() }, "address already in use"},
		"the port of metrics was asked for and is": {func(c *server.Config) { c.Ops = taken.Addr().String() }, "address already in use"},
		"there is no place for events":             {func(c *server.Config) { c.Data = "" }, "a data folder or a store URL is needed"},
		"there are two places for events":          {func(c *server.Config) { c.Store = "postgres://127.0.0.1:1/x" }, "either --data or --store"},
		"the data folder is a file":                {func(c *server.Config) { c.Data = "limits_test.go" }, "limits_test.go"},
		"the database cannot be reached":           {func(c *server.Config) { c.Data, c.Store = "", "postgres://127.0.0.1:1/x?connect_timeout=1" }, "PostgreSQL"},
	}
	for sentence, c := range cases {
		t.Run(sentence, func(t *testing.T) {
			cfg := server.Config{Set: probe(t), Listen: "127.0.0.1:0", Ops: "127.0.0.1:0", Data: data, Logger: logger(t)}
			c.change(&cfg)
			s, err := server.Start(t.Context(), cfg)
			if err == nil {
				t.Errorf("it started: %v", s.Stop())
			} else if !strings.Contains(err.Error(), c.says) {
				t.Errorf("it said: %v", err)
			}
		})
	}
	r := start(t, place{data: data}, probe(t)) // what failed holds neither port nor lock
	r.add(t, "e")
	if _, err := server.Start(t.Context(), server.Config{Set: probe(t), Listen: "127.0.0.1:0", Data: data, Logger: logger(t)}); err == nil || !strings.Contains(err.Error(), "lock") {
		t.Errorf("a second server on the same folder: %v", err)
	}
	r.add(t, "e")
}

func TestWhatMeetsALimitIsCountedUnderItsName(t *testing.T) {
	r := start(t, sqlitePlace(t), probe(t))
	ones := func(n int) string { return `{"items":[` + strings.TrimSuffix(strings.Repeat("1,", n), ",") + `]}` }
	text := `{"text":"` + strings.Repeat("x", 700_000) + `"}`
	r.ok(t, post(probePath("e")+"/Grow", text))
	for _, c := range []struct {
		limit, command, body string
		status               int
	}{
		{"expression_cost", "Burn", ones(300), 500},
		{"events", "AddAll", ones(1001), 500},
		{"state", "Grow", text, 413},
		{"body", "Grow", strings.Repeat(" ", 1<<20+1), 413},
	} {
		series := `leftfold_refusals_total{limit="` + c.limit + `"}`
		if got := r.metric(t, series); got != "0" {
			t.Errorf("%s is %q before", series, got)
		}
		if a := r.do(t, post(probePath("e")+"/"+c.command, c.body, "Idempotency-Key", c.limit)); a.status != c.status {
			t.Errorf("%s: %d %s", c.limit, a.status, a.text)
		}
		if got := r.metric(t, series); got != "1" {
			t.Errorf("%s is %q, want 1", series, got)
		}
	}
	if a := r.do(t, post(probePath("e")+"/Burn", ones(300), "Idempotency-Key", "expression_cost")); a.header.Get("Idempotent-Replay") != "true" {
		t.Errorf("the same key again: %d %s", a.status, a.text)
	}
	if got := r.metric(t, `leftfold_refusals_total{limit="expression_cost"}`); got != "1" {
		t.Errorf("a remembered answer was counted: %s", got)
	}
}
