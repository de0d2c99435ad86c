//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// sound are objects that are accepted as they are; each invalid one is one of
// them with one thing changed.
var sound = map[string]string{
	"EventStore": `
apiVersion: leftfold.io/v1alpha1
kind: EventStore
metadata: {name: NAME}
spec:
  sqlite: {storage: 1Gi}
  deletionPolicy: Delete`,
	"Runtime": `
apiVersion: leftfold.io/v1alpha1
kind: Runtime
metadata: {name: NAME}
spec:
  storeRef: {name: bank}
  replicas: 0
  failover: {heartbeatIntervalMilliseconds: 200, heartbeatTimeoutMilliseconds: 1000}`,
	"Aggregate": `
apiVersion: leftfold.io/v1alpha1
kind: Aggregate
metadata: {name: NAME}
spec:
  runtimeRef: {name: bank}
  shards: 1
  types:
  - name: Limit
    fields:
    - {name: single, type: int}
  state:
  - {name: count, type: int}
  - {name: limits, type: map<Limit>}
  commands:
  - name: Add
    fields:
    - {name: amount, type: int, check: "self > 0"}
    let:
    - {name: twice, value: "command.amount * 2"}
    reject:
    - {when: "state.count > 10", reason: TooMany}
    emit:
    - {event: Added, set: {amount: "twice"}}
  events:
  - name: Added
    fields: [{name: amount, type: int}]
    apply: {count: "state.count + event.amount"}`,
	"Projection": `
apiVersion: leftfold.io/v1alpha1
kind: Projection
metadata: {name: NAME}
spec:
  sources:
  - {aggregate: account, events: [Opened, Deposited]}
  table:
    key: {name: account, type: string, value: "meta.entity"}
    columns: [{name: balance, type: int}]
    apply:
    - {event: Deposited, set: {balance: "row.balance + event.amount"}}`,
}

// invalid is a sound object with one mistake.
type invalid struct {
	mistake  string
	kind     string
	old, new string
	// refused: the API server refuses it, with this text. Otherwise it is
	// Stalled for this reason, with a message that holds field.
	refused       string
	reason, field string
}

var mistakes = []invalid{
	// What the schema and its rules tell at apply.
	{"a store of both kinds", "EventStore", "  sqlite:", "  postgres: {connectionSecretRef: {name: db}}\n  sqlite:", "exactly one of spec.postgres and spec.sqlite", "", ""},
	{"a store of no kind", "EventStore", "  sqlite: {storage: 1Gi}\n", "", "exactly one of spec.postgres and spec.sqlite", "", ""},
	{"no storage at all", "EventStore", "1Gi", "\"0\"", "storage must be more than 0", "", ""},
	{"an unknown deletion policy", "EventStore", "deletionPolicy: Delete", "deletionPolicy: Shred", "deletionPolicy", "", ""},
	{"a schema that begins with a digit", "EventStore", "sqlite: {storage: 1Gi}", "postgres: {connectionSecretRef: {name: db}, schema: 1st}", "schema must be lower case", "", ""},
	{"a schema of PostgreSQL's own", "EventStore", "sqlite: {storage: 1Gi}", "postgres: {connectionSecretRef: {name: db}, schema: pg_bank}", "schema must be lower case", "", ""},
	{"a runtime without a store", "Runtime", "  storeRef: {name: bank}\n", "", "storeRef", "", ""},
	{"fewer than no replicas", "Runtime", "replicas: 0", "replicas: -1", "replicas", "", ""},
	{"a heartbeat timeout of less than two intervals", "Runtime", "TimeoutMilliseconds: 1000", "TimeoutMilliseconds: 300", "at least twice", "", ""},
	{"an image with a space", "Runtime", "replicas: 0", "image: \"a b\"", "image", "", ""},
	{"a field that does not exist", "Runtime", "replicas: 0", "replicaz: 3", "replicaz", "", ""},
	{"no shards", "Aggregate", "shards: 1", "shards: 0", "shards", "", ""},
	{"too many shards", "Aggregate", "shards: 1", "shards: 257", "shards", "", ""},
	{"a command in lower case", "Aggregate", "name: Add\n", "name: add\n", "name", "", ""},
	{"a field in upper case", "Aggregate", "name: count, type: int", "name: Count, type: int", "name", "", ""},
	{"a field with a word of the language as its name", "Aggregate", "name: count, type: int", "name: in, type: int", "name", "", ""},
	{"two fields of one name", "Aggregate", "  - {name: count, type: int}", "  - {name: count, type: int}\n  - {name: count, type: string}", "count", "", ""},
	{"a state field with a default", "Aggregate", "name: count, type: int", "name: count, type: int, default: \"1\"", "state[] takes no check and no default", "", ""},
	{"an event that nobody declared", "Aggregate", "{event: Added, set", "{event: Gone, set", "must name one of spec.events", "", ""},
	{"an empty expression", "Aggregate", "\"self > 0\"", "\"\"", "check", "", ""},
	{"no events", "Aggregate", "  events:\n  - name: Added\n    fields: [{name: amount, type: int}]\n    apply: {count: \"state.count + event.amount\"}", "", "events", "", ""},
	{"a type in brackets that do not match", "Aggregate", "map<Limit>", "map<Limit", "type", "", ""},
	{"a name that is too long for shards", "Aggregate", "name: NAME", "name: NAME-" + strings.Repeat("x", 50), "at most 58 characters", "", ""},
	{"a projection without sources", "Projection", "  sources:\n  - {aggregate: account, events: [Opened, Deposited]}\n", "", "sources", "", ""},
	{"a column of PostgreSQL's own", "Projection", "name: balance, type: int", "name: ctid, type: int", "system column", "", ""},
	{"a rule that sets and deletes", "Projection", "{event: Deposited, set", "{event: Deposited, delete: true, set", "exactly one of set and delete", "", ""},
	{"a rule that does neither", "Projection", "{event: Deposited, set: {balance: \"row.balance + event.amount\"}}", "{event: Deposited}", "exactly one of set and delete", "", ""},
	{"columns that differ in case alone", "Projection", "[{name: balance, type: int}]", "[{name: balance, type: int}, {name: baLance, type: int}]", "differ in more than case", "", ""},
	{"a key of a type that no key has", "Projection", "name: account, type: string", "name: account, type: double", "type", "", ""},

	// What only the operator can tell: Stalled, with the field and the fix.
	{"a check that is no boolean", "Aggregate", "\"self > 0\"", "\"self + 1\"", "", "InvalidExpression", "check"},
	{"an expression that does not parse", "Aggregate", "\"state.count > 10\"", "\"state.count >\"", "", "InvalidExpression", "when"},
	{"a state field that is not there", "Aggregate", "\"state.count > 10\"", "\"state.counter > 10\"", "", "", "when"},
	{"a command field that is not there", "Aggregate", "\"command.amount * 2\"", "\"command.sum * 2\"", "", "", "let"},
	{"a value of another type than its field", "Aggregate", "set: {amount: \"twice\"}", "set: {amount: \"'two'\"}", "", "InvalidExpression", "set"},
	{"an event field that is not set", "Aggregate", "set: {amount: \"twice\"}", "set: {}", "", "", "amount"},
	{"a type that nobody declared", "Aggregate", "map<Limit>", "map<Limits>", "", "", "Limits"},
	{"a type that contains itself", "Aggregate", "{name: single, type: int}", "{name: single, type: Limit}", "", "InvalidType", "Limit"},
	{"an apply to a field that is not there", "Aggregate", "apply: {count:", "apply: {sum:", "", "", "sum"},
	{"an unknown function", "Aggregate", "\"state.count + event.amount\"", "\"plus(state.count, event.amount)\"", "", "InvalidExpression", "apply"},
	{"a projection on an aggregate that is not there", "Projection", "aggregate: account,", "aggregate: nobody,", "", "AggregateNotFound", "nobody"},
	{"a projection on an event that is not there", "Projection", "[Opened, Deposited]", "[Opened, Deposited, Vanished]", "", "", "Vanished"},
	{"a rule for a column that is not there", "Projection", "set: {balance:", "set: {sum:", "", "", "sum"},
	{"a row field that is not there", "Projection", "\"row.balance + event.amount\"", "\"row.sum + event.amount\"", "", "", "set"},
	{"a table that another projection has", "Projection", "  table:\n", "  table:\n    name: balances\n", "", "TableNameTaken", "table"},
	{"more replicas than SQLite bears", "Runtime", "replicas: 0", "replicas: 2", "", "SingleReplicaStore", "replicas"},
	{"a runtime on a store that is not there", "Runtime", "storeRef: {name: bank}", "storeRef: {name: nowhere}", "", "StoreNotFound", "nowhere"},
	{"an aggregate on a runtime that is not there", "Aggregate", "runtimeRef: {name: bank}", "runtimeRef: {name: nowhere}", "", "RuntimeNotFound", "nowhere"},
	{"a store whose Secret is not there", "EventStore", "sqlite: {storage: 1Gi}", "postgres: {connectionSecretRef: {name: nowhere}}", "", "SecretNotFound", "nowhere"},
}

// TestInvalidObjectsAreRefusedOrStalledByNameOfTheField applies each mistake to a
// namespace in which the bank runs.
func TestInvalidObjectsAreRefusedOrStalledByNameOfTheField(t *testing.T) {
	if len(mistakes) < 40 {
		t.Fatalf("only %d mistakes", len(mistakes))
	}
	namespace := newNamespace(t)
	kubectl(t, "apply", "-n", namespace, "-k", "config/samples/bank-sqlite")
	kubectl(t, "wait", "-n", namespace, "--for=condition=Ready", "projection/balances", "--timeout=60s")
	for i, m := range mistakes {
		t.Run(m.mistake, func(t *testing.T) {
			manifest := strings.ReplaceAll(sound[m.kind], m.old, m.new)
			if manifest == sound[m.kind] {
				t.Fatalf("%q is not in the sound %s", m.old, m.kind)
			}
			name := fmt.Sprintf("invalid-%d", i)
			manifest = strings.ReplaceAll(manifest, "NAME", name)
			_, err := theStage.Apply(t.Context(), namespace, manifest)
			if m.refused != "" {
				if err == nil || !strings.Contains(err.Error(), m.refused) {
					t.Errorf("kubectl apply: %v, want %q in it", err, m.refused)
				}
				return
			}
			if err != nil {
				t.Fatalf("the API server refuses what the operator should judge: %v", err)
			}
			afterwards(t, "delete", "-n", namespace, m.kind, name, "--timeout=60s")
			eventually(t, 20*time.Second, func() error { return stalled(t, namespace, m, name) })
		})
	}
}

// stalled wants a condition that tells the mistake: Stalled, or, where something
// that is missing may still come, Ready=False, for the reason.
func stalled(t *testing.T, namespace string, m invalid, name string) error {
	var object struct {
		Status struct{ Conditions []metav1.Condition }
	}
	text := kubectl(t, "get", "-n", namespace, m.kind, name, "-o", "json")
	if err := json.Unmarshal([]byte(text), &object); err != nil {
		return err
	}
	for _, c := range object.Status.Conditions {
		waits := strings.HasSuffix(m.reason, "NotFound") && c.Type == "Ready" && c.Status == metav1.ConditionFalse
		if !waits && (c.Type != "Stalled" || c.Status != metav1.ConditionTrue) {
			continue
		}
		if m.reason != "" && c.Reason != m.reason {
			return fmt.Errorf("%s=%s for %s (%s), want %s", c.Type, c.Status, c.Reason, c.Message, m.reason)
		}
		if !strings.Contains(c.Message, m.field) {
			return fmt.Errorf("message %q does not name %q", c.Message, m.field)
		}
		return nil
	}
	return fmt.Errorf("neither refused nor Stalled: %+v", object.Status.Conditions)
}
