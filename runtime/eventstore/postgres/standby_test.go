package postgres_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/leftfold/leftfold/api/postgres/pgtest"
	"github.com/leftfold/leftfold/runtime/eventstore"
	"github.com/leftfold/leftfold/runtime/eventstore/postgres"
)

// settled tells how opening a store goes: empty, or the advice of its refusal.
func settled(t *testing.T, url string) string {
	t.Helper()
	s, err := postgres.Open(t.Context(), postgres.Options{URL: url, Schema: "leftfold"})
	switch {
	case err == nil:
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		return ""
	case !errors.Is(err, eventstore.ErrUnsafe):
		t.Errorf("open: %v; want ErrUnsafe", err)
	}
	return err.Error()
}

func TestAHotStandbyIsRefusedUntilItIsPromoted(t *testing.T) {
	primary := pgtest.Start(t)
	s := open(t, func(o *postgres.Options) { o.URL, o.Schema = primary.URL(), "leftfold" })
	standby := primary.StartStandby(t) // which, once promoted, waits for no other
	primary.Set(t, "synchronous_standby_names", "*")
	o := claim(t, s, aggregate(t, s, 1)[0], 0)
	o.mustAppend(s, o.batch("anna", `{"n":1}`, 3))
	if got := settled(t, standby.URL()); !strings.Contains(got, "the server is a standby") || !strings.Contains(got, "target_session_attrs=primary") {
		t.Errorf("the standby: %q", got)
	}
	standby.Promote(t)
	next := reopen(t, postgres.Options{URL: standby.URL(), Schema: "leftfold"})
	if n := len(log(t, next, o.lease.Shard)); n != 3 {
		t.Errorf("%d events are there, 3 were acknowledged", n)
	}
	o2 := claim(t, next, o.lease.Shard, o.lease.Epoch)
	o2.mustAppend(next, o2.batch("berta", `{}`, 1))
}

func TestARolesSettingsAreRefusedUntilTheyAreMended(t *testing.T) {
	server := pgtest.Start(t)
	admin, err := server.Superuser(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close(t.Context())
	for _, v := range []struct{ setting, value, good, advice string }{
		{"synchronous_commit", "off", "on", "synchronous_commit is off"},
		{"synchronous_commit", "local", "remote_apply", "synchronous_commit is local"},
		{"synchronous_commit", "remote_write", "on", "synchronous_commit is remote_write"},
		{"default_transaction_read_only", "on", "off", "transaction_read_only is on"},
	} {
		t.Run(v.setting+" "+v.value, func(t *testing.T) {
			exec(t, admin, "ALTER ROLE leftfold SET "+v.setting+" = "+v.value)
			if got := settled(t, server.URL()); !strings.Contains(got, v.advice) {
				t.Errorf("refused with %q; want %q", got, v.advice)
			}
			exec(t, admin, "ALTER ROLE leftfold SET "+v.setting+" = "+v.good)
			if got := settled(t, server.URL()); got != "" {
				t.Errorf("mended, and refused with %q", got)
			}
		})
	}
}

func TestTooFewConnectionsAreRefusedAndFewAreMadeDoWith(t *testing.T) {
	server := pgtest.Start(t)
	admin, err := server.Superuser(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close(t.Context())
	for _, v := range []struct {
		limit   string
		refused bool
		used    int
	}{
		{"8", true, 0}, {"11", false, 11}, {"12", false, 12}, {"18", false, 18}, {"-1", false, 18},
	} {
		exec(t, admin, "ALTER ROLE leftfold CONNECTION LIMIT "+v.limit)
		if v.refused {
			if got := settled(t, server.URL()); !strings.Contains(got, "raise max_connections") {
				t.Errorf("limit %s: refused with %q", v.limit, got)
			}
			continue
		}
		s, err := postgres.Open(t.Context(), postgres.Options{URL: server.URL(), Schema: "leftfold"})
		if err != nil {
			t.Fatalf("limit %s: %v", v.limit, err)
		}
		if s.Connections() != v.used {
			t.Errorf("limit %s: the store uses up to %d connections, want %d", v.limit, s.Connections(), v.used)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}
