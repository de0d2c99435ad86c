//go:build e2e

package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// TestObjectsAreDeletedInAnyOrder deletes the bank's objects in many orders; each
// deletion, and that of the namespace, must come to an end.
func TestObjectsAreDeletedInAnyOrder(t *testing.T) {
	const store, runtime, aggregate, projection = "eventstore/bank", "runtime/bank", "aggregate/account", "projection/balances"
	for _, order := range [][]string{
		{projection, aggregate, runtime, store},
		{store, runtime, aggregate, projection},
		{runtime, store, projection, aggregate},
		{aggregate, store, projection, runtime},
		{"secret/bank-db", store, runtime, projection, aggregate},
		{},
	} {
		name := "the namespace alone"
		if len(order) > 0 {
			name = strings.Join(order, " ")
		}
		t.Run(name, func(t *testing.T) {
			namespace := fmt.Sprintf("order-%d", time.Now().UnixMilli())
			t.Cleanup(func() { removeNamespace(t, namespace) })
			bank, err := theStage.ApplyBank(t.Context(), namespace)
			if err != nil {
				t.Fatal(err)
			}
			if err := bank.AwaitReady(t.Context(), time.Minute); err != nil {
				t.Fatal(err)
			}
			// All at once, without waiting for one before the next.
			for _, object := range order {
				in(t, bank, "delete", object, "--wait=false")
			}
			for _, object := range order {
				in(t, bank, "wait", "--for=delete", object, "--timeout=60s")
			}
			if len(order) > 0 {
				eventually(t, time.Minute, func() error {
					left := in(t, bank, "get", "leftfold,pods,deployments,services,secrets,poddisruptionbudgets,serviceaccounts,rolebindings", "-l", "leftfold.io/runtime=bank", "-o", "name")
					if left != "" {
						return fmt.Errorf("left behind: %s", left)
					}
					return nil
				})
			}
		})
	}
}

// TestRetainedDataIsFoundAgain deletes every object of a bank and applies it
// again: the events are there, and the chain goes on.
func TestRetainedDataIsFoundAgain(t *testing.T) {
	for _, sample := range []string{"config/samples/bank", "config/samples/bank-sqlite"} {
		t.Run(sample, func(t *testing.T) {
			namespace := fmt.Sprintf("retain-%d", time.Now().UnixMilli())
			kubectl(t, "create", "namespace", namespace)
			t.Cleanup(func() { removeNamespace(t, namespace) })
			url, err := theStage.Database(t.Context(), namespace)
			if err != nil {
				t.Fatal(err)
			}
			kubectl(t, "create", "secret", "generic", "bank-db", "-n", namespace, "--from-literal=uri="+url)
			kubectl(t, "apply", "-n", namespace, "-k", sample)
			kubectl(t, "wait", "-n", namespace, "--for=condition=Ready", "leftfold", "--all", "--timeout=60s")
			useBank(t, namespace)

			kubectl(t, "delete", "-n", namespace, "-k", sample, "--timeout=60s")
			kubectl(t, "wait", "-n", namespace, "--for=delete", "pods", "--all", "--timeout=60s")
			kubectl(t, "apply", "-n", namespace, "-k", sample)
			kubectl(t, "wait", "-n", namespace, "--for=condition=Ready", "leftfold", "--all", "--timeout=60s")
			service := "http://" + kubectl(t, "get", "service", "-n", namespace, "bank", "-o", "jsonpath={.spec.clusterIP}")
			if got := leftfold(t, "get", "account", "ada", "-o", "json", "--server", service); !strings.Contains(strings.ReplaceAll(got, " ", ""), `"balance":300`) {
				t.Errorf("after all objects were deleted and applied again: %s", got)
			}
			leftfold(t, "send", "account", "ada", "Deposit", "amount=1", "--server", service)
			leftfold(t, "verify", "--server", service)
		})
	}
}

// TestDeletedDataIsGone deletes an EventStore whose policy says so.
func TestDeletedDataIsGone(t *testing.T) {
	bank := newBank(t)
	useBank(t, bank.Namespace)
	in(t, bank, "patch", "eventstore", "bank", "--type=merge", "-p", `{"spec":{"deletionPolicy":"Delete"}}`)
	in(t, bank, "delete", "leftfold", "--all", "--timeout=90s")
	url := strings.Replace(theStage.Postgres.SuperuserURL(), "/leftfold?", "/"+strings.ReplaceAll(bank.Namespace, "-", "_")+"?", 1)
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(t.Context()) }()
	var exists bool
	if err := conn.QueryRow(t.Context(), "SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = 'leftfold')").Scan(&exists); err != nil || exists {
		t.Errorf("schema leftfold is still there: %t (%v)", exists, err)
	}
}
