package cli_test

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	_ "modernc.org/sqlite" // to tamper with the embedded store

	"github.com/leftfold/leftfold/api/postgres/pgtest"
)

// readyWithin is the promise of two seconds, with room for machines that do
// much else at once.
const readyWithin = 10 * time.Second

// place is where leftfold dev keeps events, and how somebody may change them
// behind its back.
type place struct {
	flags []string
	exec  func(t *testing.T, statement string)
}

func onEachStore(t *testing.T, test func(t *testing.T, p place)) {
	t.Run("sqlite", func(t *testing.T) {
		data := t.TempDir()
		test(t, place{[]string{"--data", data}, func(t *testing.T, statement string) {
			t.Helper()
			db, err := sql.Open("sqlite", filepath.Join(data, "bank", "leftfold.db"))
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = db.Close() }()
			if _, err := db.ExecContext(t.Context(), statement); err != nil {
				t.Fatal(err)
			}
		}})
	})
	t.Run("postgres", func(t *testing.T) {
		url := pgtest.Start(t).URL() // its own server, for dev knows one schema only
		test(t, place{[]string{"--store", url}, func(t *testing.T, statement string) {
			t.Helper()
			conn, err := pgx.Connect(t.Context(), url+"&search_path=leftfold")
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = conn.Close(context.Background()) }()
			if _, err := conn.Exec(t.Context(), statement); err != nil {
				t.Fatal(err)
			}
		}})
	})
}

func TestAProcessIsReadySoonStopsWellAndKeepsEverythingWhenKilled(t *testing.T) {
	onEachStore(t, func(t *testing.T, place place) {
		args := append([]string{"-f", bank}, place.flags...)
		p := serve(t, args...)
		first := p.ready
		p.must(t, "send", "account", "alice", "Open", "owner=Alice")
		for i := range 5 {
			p.must(t, "send", "account", "alice", "Deposit", "amount=10", "--id", fmt.Sprint(i))
		}
		if code := p.end(t, syscall.SIGKILL); code != -1 {
			t.Errorf("killed with exit %d", code)
		}
		p = serve(t, args...)
		t.Logf("ready after %s the first time, after %s on what a kill left", first.Round(time.Millisecond), p.ready.Round(time.Millisecond))
		if first > readyWithin || p.ready > readyWithin {
			t.Errorf("that is more than %s", readyWithin)
		}
		holds(t, p.must(t, "get", "account", "alice"), "version 6", "balance  50")
		holds(t, p.must(t, "send", "account", "alice", "Deposit", "amount=10", "--id", "4"), "the remembered answer")
		p.must(t, "verify")
		if code := p.end(t, syscall.SIGTERM); code != 0 {
			t.Errorf("stopped with exit %d\n%s", code, p.log)
		}
		p = serve(t, args...)
		holds(t, p.must(t, "get", "account", "alice"), "version 6")
		if code := p.end(t, syscall.SIGINT); code != 0 {
			t.Errorf("interrupted with exit %d\n%s", code, p.log)
		}
	})
}

func TestVerifyFindsWhatSomebodyChanged(t *testing.T) {
	onEachStore(t, func(t *testing.T, place place) {
		args := append([]string{"-f", bank}, place.flags...)
		p := serve(t, args...)
		p.must(t, "send", "account", "alice", "Open", "owner=Alice")
		p.must(t, "send", "account", "alice", "Deposit", "amount=10")
		p.must(t, "send", "account", "bob", "Open", "owner=Bob")
		holds(t, p.must(t, "verify"), "ok")
		for _, c := range []struct{ sentence, statement, undo, says string }{
			{
				"an amount", `UPDATE event SET data = '{"amount":1000}' WHERE type = 'Deposited'`,
				`UPDATE event SET data = '{"amount":10}' WHERE type = 'Deposited'`, `the hash chain breaks at seq 2 (entity "alice" version 2)`,
			},
			{
				"an author", `UPDATE event SET command_id = 'x' || command_id WHERE type = 'Deposited'`,
				`UPDATE event SET command_id = substr(command_id, 2) WHERE type = 'Deposited'`, "the hash chain breaks at seq 2",
			},
			{"a missing event", `DELETE FROM event WHERE type = 'Deposited'`, "", "no event after seq 1, though its head is higher"},
		} {
			p.end(t, syscall.SIGTERM)
			place.exec(t, c.statement)
			p = serve(t, args...)
			s := p.client(t, "verify")
			if s.code != 1 {
				t.Errorf("%s was changed: exit %d\n%s%s", c.sentence, s.code, s.out, s.errors)
			}
			holds(t, s.out+s.errors, "BROKEN", c.says)
			if c.undo == "" {
				continue
			}
			p.end(t, syscall.SIGTERM)
			place.exec(t, c.undo)
			p = serve(t, args...)
			p.must(t, "verify")
		}
	})
}

func TestVerifySeesTheStoreAndNotTheMemory(t *testing.T) {
	store := pgtest.Start(t).URL()
	p := serve(t, "-f", bank, "--store", store)
	p.must(t, "send", "account", "alice", "Open", "owner=Alice")
	conn, err := pgx.Connect(t.Context(), store)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	if _, err := conn.Exec(t.Context(), `UPDATE leftfold.event SET data = '{"owner":"Mallory"}'`); err != nil {
		t.Fatal(err)
	}
	if s := p.client(t, "verify"); s.code != 1 {
		t.Errorf("exit %d\n%s", s.code, s.out)
	}
}

func TestWhatIsTakenIsToldClearly(t *testing.T) {
	data := t.TempDir()
	p := serve(t, "-f", bank, "--data", data)
	address := strings.TrimPrefix(p.url, "http://")
	s := leftfold(t, "dev", "-f", bank, "--data", t.TempDir(), "--listen", address)
	if s.code != 1 || s.out != "" {
		t.Errorf("the same port: exit %d\n%s", s.code, s.out)
	}
	holds(t, s.errors, "leftfold: ", address, "address already in use")
	s = leftfold(t, "dev", "-f", bank, "--data", data, "--listen", "127.0.0.1:0")
	if s.code != 1 || s.out != "" {
		t.Errorf("the same folder: exit %d\n%s", s.code, s.out)
	}
	holds(t, s.errors, "leftfold: ", filepath.Join(data, "bank"), "lock")
	p.must(t, "send", "account", "alice", "Open", "owner=Alice") // the first is none the worse
}

func TestATemporaryFolderGoesWithTheProcess(t *testing.T) {
	temporary := t.TempDir()
	t.Setenv("TMPDIR", temporary)
	p := serve(t, "-f", bank)
	p.must(t, "send", "account", "alice", "Open", "owner=Alice")
	if left, _ := os.ReadDir(temporary); len(left) != 1 {
		t.Errorf("while it serves: %v", left)
	}
	if code := p.end(t, syscall.SIGTERM); code != 0 {
		t.Errorf("exit %d", code)
	}
	if left, _ := os.ReadDir(temporary); len(left) != 0 {
		t.Errorf("after it: %v", left)
	}
}

func TestDevTakesUpChangedFiles(t *testing.T) {
	folder := t.TempDir()
	if err := os.CopyFS(folder, os.DirFS(bank)); err != nil {
		t.Fatal(err)
	}
	p := serve(t, "-f", folder, "--data", t.TempDir())
	p.must(t, "send", "account", "alice", "Open", "owner=Alice")
	file := filepath.Join(folder, "account.yaml")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	changed := strings.Replace(string(text), "self > 0", "self > 9", 1)
	begun := time.Now()
	if err := os.WriteFile(file, []byte(changed), 0o600); err != nil {
		t.Fatal(err)
	}
	for {
		s := p.client(t, "send", "account", "alice", "Deposit", "amount=5")
		if s.code == 1 {
			holds(t, s.errors, "400 CheckFailed: amount")
			break
		}
		if time.Since(begun) > patience {
			t.Fatal("the change does not take effect")
		}
	}
	t.Logf("in force after %s", time.Since(begun).Round(time.Millisecond))
}

func TestADatabaseThatWouldNotKeepEventsIsRefusedWithTheFix(t *testing.T) {
	database := pgtest.Start(t)
	standby := database.StartStandby(t)
	for name, test := range map[string]struct{ store, fix string }{
		"PgBouncer in transaction mode": {database.StartPgBouncer(t, "pool_mode = transaction").URL(), "pool_mode = session"},
		"a hot standby":                 {standby.URL(), "connect to the primary"},
		"commits that are asynchronous": {database.URL() + "&options=-c%20synchronous_commit%3Doff", "SET synchronous_commit = on"},
	} {
		t.Run(name, func(t *testing.T) {
			s := leftfold(t, "dev", "-f", bank, "--listen", "127.0.0.1:0", "--store", test.store)
			if s.code != 1 || s.out != "" {
				t.Errorf("exit code %d, printed %q; want 1 and no ready line", s.code, s.out)
			}
			holds(t, s.errors, test.fix)
			if strings.Contains(s.errors, "s3cret") {
				t.Errorf("the password is told: %s", s.errors)
			}
		})
	}
}
