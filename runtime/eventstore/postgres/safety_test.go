package postgres

import (
	"errors"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/leftfold/leftfold/api/postgres/pgtest"
	"github.com/leftfold/leftfold/runtime/eventstore"
)

func TestOpeningARealServerWithUnsafeSettingsFailsWithTheFix(t *testing.T) {
	for name, test := range map[string]struct{ setting, text string }{
		"asynchronous commit":      {"synchronous_commit=off", "ALTER ROLE ... SET synchronous_commit = on"},
		"read only by default":     {"default_transaction_read_only=on", "default_transaction_read_only = off"},
		"escapes in plain strings": {"standard_conforming_strings=off", "set it to on"},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := Open(t.Context(), Options{
				URL: pgtest.URL(t) + "&options=-c%20" + strings.ReplaceAll(test.setting, "=", "%3D"), Schema: pgtest.Schema(t)})
			if err == nil {
				_ = s.Close()
			}
			if !errors.Is(err, eventstore.ErrUnsafe) || !strings.Contains(err.Error(), test.text) {
				t.Errorf("open: %v; want ErrUnsafe with %q", err, test.text)
			}
		})
	}
}

func TestASchemaThatANewerReleaseChangedIsUsedWhileItSaysThatItCanBe(t *testing.T) {
	o := Options{URL: pgtest.URL(t), Schema: pgtest.Schema(t)}
	for _, step := range []struct {
		name, change string // made by the newer release
		refused      bool
	}{
		{"it only added", "INSERT INTO goose_db_version (version_id, is_applied) VALUES (900, true); ALTER TABLE event ADD COLUMN later text", false},
		{"it took away what this release needs", "UPDATE compatibility SET minimum_version = 900", true},
	} {
		s, err := Open(t.Context(), o)
		if err != nil {
			t.Fatalf("before %s: %v", step.name, err)
		}
		if _, err := s.projection.Exec(t.Context(), step.change); err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		s, err = Open(t.Context(), o)
		if err == nil {
			_ = s.Close()
		}
		if refused := errors.Is(err, eventstore.ErrUnsafe) && strings.Contains(err.Error(), "too new"); refused != step.refused || !refused && err != nil {
			t.Errorf("when %s: open gives %v; want refused: %v", step.name, err, step.refused)
		}
	}
}

func TestEveryConnectionRunsReadCommittedWithoutTimeoutsOfTheRole(t *testing.T) {
	s, err := Open(t.Context(), Options{
		URL:    pgtest.URL(t) + "&options=-c%20default_transaction_isolation%3Dserializable%20-c%20statement_timeout%3D1234",
		Schema: pgtest.Schema(t)})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for name, pool := range map[string]*pgxpool.Pool{"append": s.appends.pool, "control": s.control, "query": s.query, "projection": s.projection} {
		t.Run(name, func(t *testing.T) {
			var isolation, timeout string
			row := pool.QueryRow(t.Context(), "SELECT current_setting('transaction_isolation'), current_setting('statement_timeout')")
			if err := row.Scan(&isolation, &timeout); err != nil {
				t.Fatal(err)
			}
			if isolation != "read committed" || timeout != "0" {
				t.Errorf("isolation %q, statement_timeout %q; want read committed, 0", isolation, timeout)
			}
		})
	}
}

func TestAnErrorTellsWhetherTheStatementMayHaveCommitted(t *testing.T) {
	pg := func(severity, code string) error {
		return &pgconn.PgError{SeverityUnlocalized: severity, Severity: "FEHLER", Code: code}
	}
	for name, test := range map[string]struct {
		err  error
		want verdict
	}{
		"a serialization failure was rolled back":   {pg("ERROR", "40001"), rolledBack},
		"a deadlock was rolled back":                {pg("ERROR", "40P01"), rolledBack},
		"a full disk was rolled back":               {pg("ERROR", "53100"), rolledBack},
		"a lock timeout was rolled back":            {pg("ERROR", "55P03"), rolledBack},
		"a read-only server wrote nothing":          {pg("ERROR", "25006"), rolledBack},
		"a duplicate key is a duplicate":            {pg("ERROR", "23505"), duplicate},
		"bad JSON is bad data":                      {pg("ERROR", "22P02"), badData},
		"a key too long for its index is bad data":  {pg("ERROR", "54000"), badData},
		"a cancelled statement may have committed":  {pg("ERROR", "57014"), unknown},
		"a shutdown may have come after the commit": {pg("FATAL", "57P01"), unknown},
		"a crash of the server leaves it open":      {pg("WARNING", "57P02"), unknown},
		"a protocol violation leaves it open":       {pg("ERROR", "08P01"), unknown},
		"a panic leaves it open":                    {pg("PANIC", "XX000"), unknown},
		"an error of the network leaves it open":    {errors.New("connection reset by peer"), unknown},
	} {
		t.Run(name, func(t *testing.T) {
			if got := judge(test.err); got != test.want {
				t.Errorf("judge = %d, want %d", got, test.want)
			}
		})
	}
}
