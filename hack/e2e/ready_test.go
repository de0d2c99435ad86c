//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// TestSamplesAreReadyWithinThirtySeconds applies samples as a user would, with a
// database outside of the cluster and with none, and uses them.
func TestSamplesAreReadyWithinThirtySeconds(t *testing.T) {
	t.Run("the bank on a PostgreSQL outside of the cluster", func(t *testing.T) {
		began := time.Now()
		namespace := namespaceOf(t)
		t.Cleanup(func() { removeNamespace(t, namespace) })
		bank, err := theStage.ApplyBank(t.Context(), namespace)
		if err != nil {
			t.Fatal(err)
		}
		if err := bank.AwaitReady(t.Context(), 30*time.Second); err != nil {
			t.Fatal(err)
		}
		t.Attr("measured", fmt.Sprintf("all Ready %s after kubectl apply", time.Since(began).Round(time.Millisecond)))
		useBank(t, namespace)
		tellsTheTruth(t, namespace, "3", "PostgreSQL")
	})
	t.Run("the bank on SQLite", func(t *testing.T) {
		began := time.Now()
		namespace := newNamespace(t)
		kubectl(t, "apply", "-n", namespace, "-k", "config/samples/bank-sqlite")
		for _, object := range []string{"eventstore/bank", "runtime/bank", "aggregate/account", "projection/balances"} {
			kubectl(t, "wait", "-n", namespace, "--for=condition=Ready", object, "--timeout=30s")
		}
		kubectl(t, "wait", "-n", namespace, "--for=condition=Ready", "shards", "--all", "--timeout=30s")
		t.Attr("measured", fmt.Sprintf("all Ready %s after kubectl apply", time.Since(began).Round(time.Millisecond)))
		useBank(t, namespace)
		tellsTheTruth(t, namespace, "1", "SQLite")
	})
}

// useBank sends commands through the Service.
func useBank(t *testing.T, namespace string) {
	t.Helper()
	service := "http://" + kubectl(t, "get", "service", "-n", namespace, "bank", "-o", "jsonpath={.spec.clusterIP}")
	for _, call := range []struct {
		command, body string
		status        int
		version       int64
	}{
		{"Open", `{"owner":"ada"}`, 200, 1},
		{"Deposit", `{"amount":500}`, 200, 2},
		{"Withdraw", `{"amount":200,"channel":"online"}`, 200, 3},
		{"Withdraw", `{"amount":20000,"channel":"online"}`, 409, 0},
	} {
		response, err := http.Post(service+"/v1/aggregates/account/ada/"+call.command, "application/json", strings.NewReader(call.body))
		if err != nil {
			t.Fatal(err)
		}
		text, _ := io.ReadAll(response.Body) // what is missing shows below
		_ = response.Body.Close()
		var answer struct{ Version int64 }
		_ = json.Unmarshal(text, &answer)
		if response.StatusCode != call.status || answer.Version != call.version {
			t.Errorf("%s: %d %s, want %d and version %d", call.command, response.StatusCode, text, call.status, call.version)
		}
	}
	response, err := http.Get(service + "/v1/aggregates/account/ada")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	var view struct{ State struct{ Balance int64 } }
	if err := json.NewDecoder(response.Body).Decode(&view); err != nil || view.State.Balance != 300 {
		t.Errorf("balance %d (%v), want 300", view.State.Balance, err)
	}
}

// tellsTheTruth compares what kubectl get shows with what is so.
func tellsTheTruth(t *testing.T, namespace, pods, store string) {
	t.Helper()
	for _, row := range []struct{ kind, want string }{
		{"eventstore", store},
		{"runtime", "bank bank " + pods + " " + pods + " " + pods + " 16 True"},
		{"aggregate", "account bank 16 16 True"},
	} {
		got := strings.Join(strings.Fields(kubectl(t, "get", row.kind, "-n", namespace, "--no-headers")), " ")
		if !strings.Contains(got, row.want) {
			t.Errorf("kubectl get %s shows %q, want %q in it", row.kind, got, row.want)
		}
	}
	if n := len(strings.Split(kubectl(t, "get", "shards", "-n", namespace, "--no-headers"), "\n")); n != 16 {
		t.Errorf("kubectl get shards shows %d rows, want 16", n)
	}
}
