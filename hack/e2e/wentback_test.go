//go:build e2e

package e2e

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/leftfold/leftfold/api/v1alpha1"
)

// TestAStoreThatWentBackWaitsForAPerson takes the last event of an account away, as a
// failover to a copy that lagged does. The pod that acknowledged it notices by itself,
// and serves the shard no more, nor does another, until that pod is deleted.
func TestAStoreThatWentBackWaitsForAPerson(t *testing.T) {
	bank := newBank(t)
	useBank(t, bank.Namespace)
	service, err := bank.ServiceURL(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	send := func(entity, command, body string) (status int, text string) {
		response, err := http.Post(service+"/v1/aggregates/account/"+entity+"/"+command, "application/json", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = response.Body.Close() }()
		all, _ := io.ReadAll(response.Body) // what is missing shows
		return response.StatusCode, string(all)
	}
	if status, text := send("bob", "Open", `{"owner":"bob"}`); status != http.StatusOK {
		t.Fatalf("open bob: %d %s", status, text)
	}
	database, err := pgx.Connect(t.Context(), strings.Replace(theStage.Postgres.SuperuserURL(), "/leftfold?",
		"/"+strings.ReplaceAll(bank.Namespace, "-", "_")+"?", 1))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = database.Close(t.Context()) }()
	number, lost := loseLast(t, database, "ada"), time.Now()
	if other := shardOf(t, database, "bob"); other == number {
		t.Fatalf("both accounts are of shard %d", number)
	}
	name := fmt.Sprintf("account-%d", number)

	stalled := func() error {
		reason, err := bank.Stalled(t.Context(), name)
		if err == nil && reason != v1alpha1.ReasonStoreWentBack {
			err = fmt.Errorf("shard %s says %q, and not that its store went back", name, reason)
		}
		return err
	}
	eventually(t, 20*time.Second, stalled)
	t.Logf("said %s after the loss", time.Since(lost).Round(time.Millisecond))
	if status, text := send("ada", "Deposit", `{"amount":1}`); status != http.StatusServiceUnavailable && status != http.StatusGatewayTimeout {
		t.Errorf("a deposit to what the store has lost: %d %s", status, text)
	}
	message := in(t, bank, "get", "shard", name, "-o", `jsonpath={.status.conditions[?(@.type=="Stalled")].message}`)
	_, says, _ := strings.Cut(message, " Pod ")
	knows, says, _ := strings.Cut(says, " says: ")
	if !strings.Contains(says, "acknowledged up to") {
		t.Fatalf("it does not say who knows of what: %s", message)
	}
	if got := in(t, bank, "get", "aggregate", "account", "-o", `jsonpath={.status.conditions[?(@.type=="Stalled")].reason}`); got != v1alpha1.ReasonStoreWentBack {
		t.Errorf("the aggregate is stalled for %q", got)
	}
	epoch, owner := claimOf(t, database, number)
	if status, text := send("bob", "Deposit", `{"amount":1}`); status != http.StatusOK {
		t.Errorf("a deposit to another shard: %d %s", status, text)
	}
	if err := stalled(); err != nil {
		t.Error(err)
	}

	// Its aggregate changes: it is tried again, there.
	if err := bank.Amend(t.Context()); err != nil {
		t.Fatal(err)
	}
	eventually(t, 20*time.Second, func() error {
		if now, by := claimOf(t, database, number); now == epoch || by != owner {
			return fmt.Errorf("epoch %d by %s, before %d by %s", now, by, epoch, owner)
		}
		return stalled()
	})

	in(t, bank, "delete", "pod", knows, "--wait=false")
	eventually(t, time.Minute, func() error {
		status, text := send("ada", "Deposit", `{"amount":1}`)
		if status != http.StatusOK {
			return fmt.Errorf("a deposit without pod %s: %d %s", knows, status, text)
		}
		if !strings.Contains(text, `"version":3`) {
			t.Errorf("the event that was lost was version 3, and after it comes %s", text)
		}
		return nil
	})
}

func shardOf(t *testing.T, database *pgx.Conn, entity string) (shard int) {
	t.Helper()
	err := database.QueryRow(t.Context(), `SELECT DISTINCT shard FROM leftfold.event WHERE entity = $1`, entity).Scan(&shard)
	if err != nil {
		t.Fatal(err)
	}
	return shard
}

func claimOf(t *testing.T, database *pgx.Conn, shard int) (epoch int64, owner string) {
	t.Helper()
	if err := database.QueryRow(t.Context(), `SELECT epoch, owner FROM leftfold.shard WHERE shard = $1`, shard).Scan(&epoch, &owner); err != nil {
		t.Fatal(err)
	}
	return epoch, owner
}

// loseLast takes the last event of an entity's shard away, which must be the entity's,
// with what projections and snapshots made of it, and gives the shard.
func loseLast(t *testing.T, database *pgx.Conn, entity string) (shard int) {
	t.Helper()
	shard = shardOf(t, database, entity)
	var lost string
	err := pgx.BeginFunc(t.Context(), database, func(tx pgx.Tx) error {
		return tx.QueryRow(t.Context(), `
			WITH lost AS (
				DELETE FROM leftfold.event e USING leftfold.shard s
				WHERE s.shard = $1 AND e.aggregate = s.aggregate AND e.shard = s.shard AND e.seq = s.head RETURNING e.*),
			snapshots AS (DELETE FROM leftfold.snapshot USING lost WHERE snapshot.entity = lost.entity),
			offsets AS (
				UPDATE leftfold.projection_offset o SET seq = lost.seq - 1 FROM lost
				WHERE o.aggregate = lost.aggregate AND o.shard = lost.shard AND o.seq = lost.seq)
			UPDATE leftfold.shard s SET head = before.seq, head_hash = before.hash, head_time = before.recorded_at
			FROM leftfold.event before, lost
			WHERE before.aggregate = lost.aggregate AND before.shard = lost.shard AND before.seq = lost.seq - 1
				AND s.aggregate = lost.aggregate AND s.shard = lost.shard
			RETURNING lost.entity`, shard).Scan(&lost)
	})
	if err != nil || lost != entity {
		t.Fatalf("the event that is to be lost is of %q: %v", lost, err)
	}
	return shard
}
