package v1alpha1_test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/leftfold/leftfold/api/v1alpha1"
)

// The manifests that the tables change, one small thing at a time. Each is
// accepted as it stands and uses every field that a user may write.
const (
	postgresManifest = `
kind: EventStore
metadata: {name: bank}
spec:
  postgres:
    connectionSecretRef: {name: bank-db, key: uri}
    schema: leftfold
  deletionPolicy: Retain
`
	sqliteManifest = `
kind: EventStore
metadata: {name: bank}
spec:
  sqlite: {storage: 1Gi}
`
	runtimeManifest = `
kind: Runtime
metadata: {name: bank}
spec:
  storeRef: {name: bank}
  replicas: 3
  image: registry.example/leftfold:1
  resources: {requests: {cpu: 500m, memory: 256Mi}, limits: {memory: 1Gi}}
  pod:
    labels: {team: ledger}
    annotations: {example.org/owner: ledger}
    nodeSelector: {disk: fast}
    tolerations: [{key: dedicated, operator: Equal, value: ledger, effect: NoSchedule}]
    affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: [{matchExpressions: [{key: arch, operator: In, values: [amd64]}]}]}}}
    topologySpreadConstraints: [{maxSkew: 1, topologyKey: topology.kubernetes.io/zone, whenUnsatisfiable: ScheduleAnyway}]
    env: [{name: GOGC, value: "200"}]
    serviceAccountName: ledger
    priorityClassName: high
  failover: {heartbeatIntervalMilliseconds: 200, heartbeatTimeoutMilliseconds: 1000}
`
	aggregateManifest = `
kind: Aggregate
metadata: {name: account}
spec:
  runtimeRef: {name: bank}
  shards: 16
  types:
  - name: Limit
    fields:
    - {name: single, type: int, check: "self >= 0"}
  state:
  - {name: status, type: string}
  - {name: balance, type: int}
  - {name: limits, type: map<Limit>, optional: true}
  commands:
  - name: Withdraw
    fields:
    - {name: amount, type: int, check: "self > 0"}
    - {name: channel, type: string, default: "'atm'"}
    let:
    - {name: fee, value: "command.channel == 'atm' ? 100 : 0"}
    reject:
    - {when: "state.balance < command.amount", reason: InsufficientFunds, message: "'balance ' + string(state.balance)"}
    emit:
    - {event: Withdrawn, when: "command.amount > 0", set: {amount: "command.amount", fee: "fee"}}
  - name: SetLimits
    fields:
    - {name: limits, type: map<Limit>}
    emit:
    - event: LimitSet
      forEach: {in: "command.limits", as: channel}
      set: {channel: "channel", limit: "command.limits[channel]"}
  events:
  - name: Withdrawn
    fields: [{name: amount, type: int}, {name: fee, type: int, optional: true}]
    apply: {balance: "state.balance - event.amount - event.fee"}
  - name: LimitSet
    fields: [{name: channel, type: string}, {name: limit, type: Limit}]
    apply: {limits: "state.limits.with(event.channel, event.limit)"}
  snapshots: {every: 100}
  passivation: {idleSeconds: 120}
  deduplication: {commands: 128, minutes: 10}
`
	shardManifest = `
kind: Shard
metadata: {name: account-3}
spec: {aggregateRef: {name: account}, id: 3, slots: {first: 12288, last: 16383}}
`
	projectionManifest = `
kind: Projection
metadata: {name: balances}
spec:
  sources:
  - {aggregate: account, events: [Opened, Withdrawn, Closed]}
  table:
    name: balances
    key: {name: account, type: string, value: "meta.entity"}
    columns:
    - {name: owner, type: string, optional: true}
    - {name: balance, type: int, indexed: true}
    apply:
    - {event: Opened, aggregate: account, set: {owner: "event.owner"}}
    - event: Withdrawn
      key: "meta.entity"
      when: "event.amount > 0"
      forEach: {in: "[1, 2]", as: item}
      set: {balance: "row.balance - event.amount"}
    - {event: Closed, delete: true}
`
)

// parse reads a manifest, gives it the API version and the tests' namespace,
// and makes the changes.
func parse(t *testing.T, manifest string, changes ...change) *unstructured.Unstructured {
	t.Helper()
	object := &unstructured.Unstructured{}
	if err := yaml.Unmarshal([]byte(manifest), &object.Object); err != nil {
		t.Fatalf("the manifest is not YAML: %v", err)
	}
	object.SetAPIVersion(v1alpha1.GroupVersion.String())
	object.SetNamespace(namespace)
	for _, change := range changes {
		if err := change(object.Object); err != nil {
			t.Fatalf("the manifest cannot be changed: %v", err)
		}
	}
	return object
}

// change alters one place of a manifest.
type change func(manifest map[string]any) error

// set puts a value, written in YAML, at a path such as spec.state[0].name.
func set(path, value string) change {
	return func(manifest map[string]any) error {
		var parsed any
		if err := yaml.Unmarshal([]byte(value), &parsed); err != nil {
			return fmt.Errorf("value of %s: %w", path, err)
		}
		return put(manifest, path, parsed)
	}
}

// setText puts a text at a path, whatever YAML would make of it.
func setText(path, text string) change {
	return func(manifest map[string]any) error { return put(manifest, path, text) }
}

// drop removes the field at a path.
func drop(path string) change {
	return func(manifest map[string]any) error {
		parent, last, err := walk(manifest, path)
		if err != nil {
			return err
		}
		fields, ok := parent.(map[string]any)
		if !ok {
			return fmt.Errorf("%s is not a field", path)
		}
		delete(fields, last)
		return nil
	}
}

// repeat puts a list of count items at a path; item writes the one at i.
func repeat(path string, count int, item func(i int) string) change {
	items := make([]string, count)
	for i := range items {
		items[i] = item(i)
	}
	return set(path, "["+strings.Join(items, ", ")+"]")
}

// put stores a value at a path whose parents are there.
func put(manifest map[string]any, path string, value any) error {
	parent, last, err := walk(manifest, path)
	if err != nil {
		return err
	}
	switch parent := parent.(type) {
	case map[string]any:
		parent[last] = value
	case []any:
		i, err := strconv.Atoi(last)
		if err != nil || i >= len(parent) {
			return fmt.Errorf("%s: no item %s", path, last)
		}
		parent[i] = value
	}
	return nil
}

// walk returns what holds the last step of a path, and that step.
func walk(manifest map[string]any, path string) (parent any, last string, err error) {
	steps := strings.Split(strings.ReplaceAll(strings.ReplaceAll(path, "[", "."), "]", ""), ".")
	parent = manifest
	for _, step := range steps[:len(steps)-1] {
		switch at := parent.(type) {
		case map[string]any:
			parent = at[step]
		case []any:
			i, err := strconv.Atoi(step)
			if err != nil || i >= len(at) {
				return nil, "", fmt.Errorf("%s: no item %s", path, step)
			}
			parent = at[i]
		}
		if parent == nil {
			return nil, "", fmt.Errorf("%s: nothing at %s", path, step)
		}
	}
	return parent, steps[len(steps)-1], nil
}

// appendTo adds an item, written in YAML, to a list; the path is the one that
// the item will have.
func appendTo(path, item string) change {
	return func(manifest map[string]any) error {
		var parsed any
		if err := yaml.Unmarshal([]byte(item), &parsed); err != nil {
			return err
		}
		list := path[:strings.LastIndex(path, "[")]
		parent, last, err := walk(manifest, list)
		if err != nil {
			return err
		}
		fields, ok := parent.(map[string]any)
		if !ok {
			return fmt.Errorf("%s is not a field", list)
		}
		items, ok := fields[last].([]any)
		if !ok || path != fmt.Sprintf("%s[%d]", list, len(items)) {
			return fmt.Errorf("%s would not be the next item of %s", path, list)
		}
		fields[last] = append(items, parsed)
		return nil
	}
}
