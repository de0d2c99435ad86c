package postgres_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"pgregory.net/rapid"

	"github.com/leftfold/leftfold/api/postgres/pgtest"
	"github.com/leftfold/leftfold/runtime/eventstore"
	"github.com/leftfold/leftfold/runtime/eventstore/postgres"
)

// withoutStandby opens a store on a server of its own and then makes the server
// wait at every commit for a standby that does not exist.
func withoutStandby(t *testing.T) (*postgres.Store, *owner, *pgx.Conn) {
	t.Helper()
	server := pgtest.Start(t)
	s := open(t, func(o *postgres.Options) { o.URL, o.Schema = server.URL(), "leftfold" })
	o := claim(t, s, aggregate(t, s, 1)[0], 0)
	admin := session(t, server.SuperuserURL(), s)
	exec(t, admin, "ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
	exec(t, admin, "SELECT pg_reload_conf()")
	// What a session shows says nothing: commits wait once the checkpointer has read
	// the configuration.
	other := session(t, server.SuperuserURL(), s)
	waits := make(chan struct{})
	go func() {
		defer close(waits)
		for {
			if _, err := other.Exec(t.Context(), "SELECT pg_logical_emit_message(true, '', '')"); err != nil {
				return // it waited, and its session was ended
			}
		}
	}()
	eventually(t, "a commit waits", func() bool {
		var ended bool
		err := admin.QueryRow(t.Context(), "SELECT coalesce(bool_or(pg_terminate_backend(pid)), false) FROM pg_stat_activity WHERE wait_event = 'SyncRep'").Scan(&ended)
		return err == nil && ended
	})
	<-waits
	return s, o, admin
}

func TestWhatNeedNotBeDurableWaitsForNoStandby(t *testing.T) {
	s, o, admin := withoutStandby(t)
	a := o.lease.Shard.Aggregate
	row := eventstore.Outcome{Entity: "anna", CommandID: "c", Time: time.UnixMicro(1).UTC()}
	exec(t, admin, "SET synchronous_commit = off")
	if _, err := admin.Exec(t.Context(), `INSERT INTO outcome (aggregate, entity, command_id, request_hash, version, answer, time)
		VALUES ($1, $2, $3, $4, 1, '', $5)`, a, row.Entity, row.CommandID, row.RequestHash[:], row.Time); err != nil {
		t.Fatal(err)
	}
	if err := s.SaveSnapshots(t.Context(), []eventstore.Snapshot{{Aggregate: a, Entity: row.Entity, Version: 1}}); err != nil {
		t.Fatal(err)
	}
	if l, err := s.LoadEntity(t.Context(), a, row.Entity, 1); err != nil || l.Snapshot.Version != 1 || len(l.Outcomes) != 1 {
		t.Errorf("stored are %+v, %v; want a snapshot and an outcome", l, err)
	}
	if err := s.DeleteOutcomes(t.Context(), a, []eventstore.Outcome{row}); err != nil {
		t.Fatal(err)
	}
	if l, err := s.LoadEntity(t.Context(), a, row.Entity, 1); err != nil || len(l.Outcomes) != 0 {
		t.Errorf("%d outcomes are left, %v", len(l.Outcomes), err)
	}
	if err := s.Release(t.Context(), eventstore.Tenure{Lease: o.lease, Head: o.head, HeadHash: o.hash}); err != nil {
		t.Fatal(err)
	}
	if row, err := s.Shard(t.Context(), o.lease.Shard); err != nil || row.Owner != "" {
		t.Errorf("the shard's owner is %q, %v; want none", row.Owner, err)
	}
}

func TestAnAppendThatCommittedWithAWarningIsUnknown(t *testing.T) {
	for name, end := range map[string]string{
		"its wait for the standby is cancelled":        "pg_cancel_backend",
		"its session is ended while it waits for that": "pg_terminate_backend",
	} {
		t.Run(name, func(t *testing.T) {
			s, o, admin := withoutStandby(t)
			results := make(chan eventstore.AppendResult, 1)
			b := o.batch("anna", `{}`, 1)
			go func() { results <- one(t, s, b) }()
			eventually(t, "the append waits for its standby", func() bool {
				var waits bool
				err := admin.QueryRow(t.Context(), "SELECT coalesce(bool_or("+end+"(pid)), false) FROM pg_stat_activity WHERE wait_event = 'SyncRep'").Scan(&waits)
				return err == nil && waits
			})
			r := receive(t, results)
			if r.Status != eventstore.Unknown {
				t.Fatalf("append: status %d, %v; want Unknown", r.Status, r.Err)
			}
			t.Log(r.Err)
			if n := len(log(t, s, o.lease.Shard)); n != 1 {
				t.Errorf("%d events are in the log; the commit was local and is there", n)
			}
		})
	}
}

func TestAClaimWaitsForAnAppendThatWaitsForItsStandby(t *testing.T) {
	s, o, admin := withoutStandby(t)
	results := make(chan eventstore.AppendResult, 1)
	b := o.batch("anna", `{}`, 1)
	go func() { results <- one(t, s, b) }()
	eventually(t, "the append waits for its standby", func() bool {
		var waits bool
		err := admin.QueryRow(t.Context(), "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE wait_event = 'SyncRep')").Scan(&waits)
		return err == nil && waits
	})
	claimed := make(chan error, 1)
	go func() {
		_, err := s.Claim(t.Context(), request(o.lease.Shard, 1))
		claimed <- err
	}()
	eventually(t, "the claim waits for the append", func() bool { return waiting(t, admin, "Lock") == 1 })
	exec(t, admin, "ALTER SYSTEM RESET synchronous_standby_names")
	exec(t, admin, "SELECT pg_reload_conf()")
	if r := receive(t, results); r.Status != eventstore.Appended {
		t.Errorf("append: status %d, %v; want Appended", r.Status, r.Err)
	}
	if err := receive(t, claimed); err != nil {
		t.Errorf("claim: %v", err)
	}
}

func TestWhatWasAcknowledgedSurvivesACrashAndTheStoreGoesOnWithoutBeingOpenedAgain(t *testing.T) {
	server := pgtest.Start(t)
	s := open(t, func(o *postgres.Options) { o.URL, o.Schema = server.URL(), "leftfold" })
	o := claim(t, s, aggregate(t, s, 1)[0], 0)
	for range 20 {
		o.mustAppend(s, o.batch("anna", `{"amount":1.10}`, 3))
	}
	if err := server.Crash(); err != nil {
		t.Fatal(err)
	}
	if r := one(t, s, o.batch("anna", `{}`, 1)); r.Status != eventstore.Unknown && r.Status != eventstore.NotAttempted {
		t.Errorf("append to a dead server: status %d, %v", r.Status, r.Err)
	}
	if err := server.Restart(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the store reaches the server again", func() bool {
		_, err := s.Shard(t.Context(), o.lease.Shard)
		return err == nil
	})
	if n := int64(len(log(t, s, o.lease.Shard))); n != o.head {
		t.Fatalf("%d events are there, %d were acknowledged", n, o.head)
	}
	eventually(t, "the owner appends again", func() bool {
		b := o.batch("anna", `{}`, 1)
		r := one(t, s, b)
		if r.Status == eventstore.Appended {
			o.committed(b)
		}
		return r.Status == eventstore.Appended
	})
}

// TestDataComesBackEqualAndKeepsTheChain writes JSON in all its spellings:
// jsonb reorders keys, rewrites numbers and drops a zero's sign.
func TestDataComesBackEqualAndKeepsTheChain(t *testing.T) {
	s := open(t)
	o := claim(t, s, aggregate(t, s, 1)[0], 0)
	rapid.Check(t, func(r *rapid.T) {
		entity := rapid.StringMatching(`[a-zß☃😀/%'"\\ ]{1,40}`).Draw(r, "entity")
		data := object(3).Draw(r, "data")
		b := o.batch(entity, data, 1)
		if result := one(t, s, b); result.Status != eventstore.Appended {
			r.Fatalf("append %s: status %d, %v", data, result.Status, result.Err)
		}
		before := o.hash
		o.committed(b)
		events, err := s.ReadShard(t.Context(), o.lease.Shard, o.head-1, 10)
		if err != nil || len(events) != 1 {
			r.Fatalf("read %d events, %v", len(events), err)
		}
		want, err := eventstore.AppendCanonical(nil, []byte(data))
		if err != nil {
			r.Fatal(err)
		}
		got, err := eventstore.AppendCanonical(nil, events[0].Data)
		if err != nil {
			r.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			r.Fatalf("wrote %s, read %s", want, got)
		}
		if err := eventstore.VerifyChain(before, events); err != nil {
			r.Fatal(err)
		}
	})
	log(t, s, o.lease.Shard)
}

// value draws JSON text with the spellings that a database may change.
func value(depth int) *rapid.Generator[string] {
	plain := []*rapid.Generator[string]{
		rapid.SampledFrom([]string{"null", "true", "false", "-0", "-0.0", "0e5", "1.500", "1e3", "1E-7", "9007199254740993",
			"-9223372036854775808", "123456789012345678901234567890.000100", `""`, `"\u00e9\/\b"`, `"\ud83d\ude00"`, `" \\u0000"`}),
		rapid.Custom(func(t *rapid.T) string { return fmt.Sprint(rapid.Int64().Draw(t, "int")) }),
		rapid.Custom(func(t *rapid.T) string {
			return fmt.Sprintf("%d.%de%d", rapid.IntRange(-99, 99).Draw(t, "whole"), rapid.IntRange(0, 9999).Draw(t, "fraction"),
				rapid.IntRange(-30, 30).Draw(t, "exponent"))
		}),
	}
	if depth == 0 {
		return rapid.OneOf(plain...)
	}
	return rapid.OneOf(append(plain, object(depth-1), rapid.Custom(func(t *rapid.T) string {
		return "[" + strings.Join(rapid.SliceOfN(value(depth-1), 0, 4).Draw(t, "elements"), ", ") + "]"
	}))...)
}

func object(depth int) *rapid.Generator[string] {
	return rapid.Custom(func(t *rapid.T) string {
		names := rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"a", "b", "aa", "ab", "é", "😀", "ﬀ", "", "A", "zz", "10", "9"}), 0, 6, rapid.ID).Draw(t, "names")
		members := make([]string, len(names))
		for i, name := range names {
			members[i] = fmt.Sprintf("%q : %s", name, value(depth).Draw(t, "value"))
		}
		return "{" + strings.Join(members, ",") + "}"
	})
}

func TestNoErrorTellsThePassword(t *testing.T) {
	const secret = "hunter2-is-secret"
	server := host(t, pgtest.URL(t))
	for name, url := range map[string]string{
		"a wrong password":                "postgres://leftfold:" + secret + "@" + server + "/leftfold?sslmode=disable",
		"a host that does not answer":     "postgres://leftfold:" + secret + "@127.0.0.1:1/leftfold",
		"a name that does not resolve":    "postgres://leftfold:" + secret + "@host.invalid/leftfold?connect_timeout=2",
		"a port that is no number":        "postgres://leftfold:" + secret + "@localhost:port/leftfold",
		"a slash in the password":         "postgres://leftfold:p/" + secret + "@" + server + "/leftfold",
		"an at sign and a slash":          "postgres://leftfold:p@x/" + secret + "@" + server + "/leftfold",
		"a hash in the password":          "postgres://leftfold:p#" + secret + "@" + server + "/leftfold",
		"a question mark in the password": "postgres://leftfold:p?" + secret + "@" + server + "/leftfold",
		"a percent sign in the password":  "postgres://leftfold:%zz" + secret + "@" + server + "/leftfold",
		"keywords and a wrong value":      "host=localhost password=" + secret + " sslmode=sometimes",
		"a keyword of TCP that is wrong":  "host=localhost password=" + secret + " tcp_user_timeout=soon",
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			s, err := postgres.Open(ctx, postgres.Options{URL: url})
			if err == nil {
				_ = s.Close()
				t.Fatal("it was opened")
			}
			if strings.Contains(err.Error(), secret) {
				t.Errorf("the error tells the password: %v", err)
			}
		})
	}
}

func TestTheOldestTransactionIsSeenWhoeverHoldsIt(t *testing.T) {
	server := pgtest.Start(t)
	s := open(t, func(o *postgres.Options) { o.URL, o.Schema = server.URL(), "leftfold" })
	o := claim(t, s, aggregate(t, s, 1)[0], 0)
	age := func() time.Duration {
		t.Helper()
		d, err := s.OldestTransaction(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	eventually(t, "nothing is held when nobody holds anything", func() bool { return age() == 0 })
	other := session(t, server.SuperuserURL(), s)
	exec(t, other, "BEGIN ISOLATION LEVEL REPEATABLE READ")
	exec(t, other, "SELECT count(*) FROM event")
	o.mustAppend(s, o.batch("anna", `{}`, 1))
	eventually(t, "the other role's snapshot grows old", func() bool { return age() > 50*time.Millisecond })
	exec(t, other, "COMMIT")
	eventually(t, "the age falls when it is given up", func() bool { return age() == 0 })
}

func TestTheServersConnectionsAreKnown(t *testing.T) {
	s := open(t)
	n, err := s.ServerConnections(t.Context())
	if err != nil || n < s.Connections() {
		t.Errorf("the server allows %d connections, %v; the store uses %d", n, err, s.Connections())
	}
}

func TestSecondBatchesOfAShardAreInvalid(t *testing.T) {
	s := open(t)
	o := claim(t, s, aggregate(t, s, 1)[0], 0)
	r := s.Append(t.Context(), []eventstore.Batch{o.batch("anna", `{}`, 1), o.batch("berta", `{}`, 1)})
	if r[0].Status != eventstore.Appended || r[1].Status != eventstore.Invalid && r[1].Status != eventstore.Refused {
		t.Errorf("statuses %d, %d; want Appended and then Invalid or Refused", r[0].Status, r[1].Status)
	}
	if n := len(log(t, s, o.lease.Shard)); n != 1 {
		t.Errorf("%d events were written, want 1", n)
	}
}

func TestAClaimOfNothingIsUnknown(t *testing.T) {
	s := open(t)
	if _, err := s.Claim(t.Context(), request(eventstore.ShardID{Aggregate: 7}, 0)); !errors.Is(err, eventstore.ErrUnknownName) {
		t.Errorf("claim: %v; want ErrUnknownName", err)
	}
}

// A connection is checked when it is made, and used for an hour: what the server
// is told meanwhile must not make its commits weaker.
func TestAConnectionStaysDurableWhenTheServerIsToldOtherwise(t *testing.T) {
	server := pgtest.Start(t)
	s := open(t, func(o *postgres.Options) { o.URL, o.Schema = server.URL(), "leftfold" })
	o := claim(t, s, aggregate(t, s, 1)[0], 0)
	o.mustAppend(s, o.batch("anna", `{}`, 1))
	conn, err := s.ProjectionDB().Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	admin := session(t, server.SuperuserURL(), s)
	exec(t, admin, "ALTER SYSTEM SET synchronous_commit = off")
	exec(t, admin, "SELECT pg_reload_conf()")
	var setting string
	eventually(t, "the server has read its configuration", func() bool {
		if err := admin.QueryRow(t.Context(), "SHOW synchronous_commit").Scan(&setting); err != nil {
			t.Fatal(err)
		}
		return setting == "off"
	})
	if err := conn.QueryRowContext(t.Context(), "SHOW synchronous_commit").Scan(&setting); err != nil {
		t.Fatal(err)
	}
	if setting != "on" {
		t.Errorf("synchronous_commit is %s on a connection in use", setting)
	}
	if _, err := postgres.Open(t.Context(), postgres.Options{URL: server.URL(), Schema: "leftfold"}); !errors.Is(err, eventstore.ErrUnsafe) {
		t.Errorf("a new store opens with %v, want ErrUnsafe", err)
	}
}
