package cli_test

import (
	"syscall"
	"testing"
	"time"

	"github.com/leftfold/leftfold/api/postgres/pgtest"
)

func TestAProcessTakesOverFromOneThatWasKilledOnTheSameDatabase(t *testing.T) {
	store := pgtest.Start(t).URL()
	first := serve(t, "-f", bank, "--store", store)
	first.must(t, "send", "account", "alice", "Open", "owner=Alice")
	second := serve(t, "-f", bank, "--store", store) // takes all shards
	second.must(t, "send", "account", "alice", "Deposit", "amount=1", "--id", "d-1")
	second.end(t, syscall.SIGKILL)
	begun := time.Now()
	for {
		// Callers are held for a while, then told that nothing was attempted.
		s := first.client(t, "send", "account", "alice", "Deposit", "amount=1", "--id", "d-2")
		if s.code == 0 {
			holds(t, s.out, "alice is at version 3")
			break
		}
		holds(t, s.errors, "503 NotAttempted")
		if time.Since(begun) > patience {
			t.Fatal("nobody takes over")
		}
	}
	t.Logf("the first answers again %s after the second was killed", time.Since(begun).Round(time.Millisecond))
	holds(t, first.must(t, "send", "account", "alice", "Deposit", "amount=1", "--id", "d-1"), "alice is at version 2 (the remembered answer to this key)")
	holds(t, first.must(t, "verify"), "ok")
}
