package v1alpha1_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/leftfold/leftfold/api/v1alpha1"
)

// The least that each kind can say.
const (
	leastPostgres   = "kind: EventStore\nmetadata: {name: least}\nspec: {postgres: {connectionSecretRef: {name: bank-db}}}"
	leastSQLite     = "kind: EventStore\nmetadata: {name: least}\nspec: {sqlite: {}}"
	leastRuntime    = "kind: Runtime\nmetadata: {name: least}\nspec: {storeRef: {name: bank}}"
	leastAggregate  = "kind: Aggregate\nmetadata: {name: least}\nspec: {runtimeRef: {name: bank}, events: [{name: Happened}]}"
	leastShard      = "kind: Shard\nmetadata: {name: least-0}\nspec: {aggregateRef: {name: least}, id: 0, slots: {first: 0, last: 65535}}"
	leastProjection = "kind: Projection\nmetadata: {name: least}\nspec: {sources: [{aggregate: a}], table: {key: {name: k, type: string, value: meta.entity}, columns: [{name: c, type: int}], apply: [{event: Happened, set: {c: '1'}}]}}"
)

func TestDefaultsAreWrittenIntoTheObject(t *testing.T) {
	t.Run("a PostgreSQL store reads the key uri, uses the schema leftfold and keeps its data", func(t *testing.T) {
		store := accept[v1alpha1.EventStore](t, leastPostgres)
		wantSame(t, store.Spec, v1alpha1.EventStoreSpec{
			Postgres: &v1alpha1.PostgresStore{
				ConnectionSecretRef: v1alpha1.SecretKeyReference{Name: "bank-db", Key: "uri"},
				Schema:              "leftfold",
			},
			DeletionPolicy: v1alpha1.DeletionRetain,
		})
		wantSame(t, store.Spec.Postgres.Schema, v1alpha1.DefaultSchema)
		wantSame(t, store.Spec.Postgres.ConnectionSecretRef.Key, v1alpha1.DefaultSecretKey)
	})
	t.Run("an SQLite store takes 1Gi", func(t *testing.T) {
		store := accept[v1alpha1.EventStore](t, leastSQLite)
		wantSame(t, store.Spec.SQLite.Storage.Equal(resource.MustParse("1Gi")), true)
		wantSame(t, store.Spec.SQLite.Storage.Equal(resource.MustParse(v1alpha1.DefaultSQLiteStorage)), true)
	})
	t.Run("a Runtime has one pod, which is unreachable after a second of silence", func(t *testing.T) {
		one := int32(1)
		runtime := accept[v1alpha1.Runtime](t, leastRuntime)
		wantSame(t, runtime.Spec, v1alpha1.RuntimeSpec{
			StoreRef: v1alpha1.LocalReference{Name: "bank"},
			Replicas: &one,
			Failover: v1alpha1.Failover{HeartbeatIntervalMilliseconds: 200, HeartbeatTimeoutMilliseconds: 1000},
		})
		wantSame(t, *runtime.Spec.Replicas, v1alpha1.DefaultReplicas)
		wantSame(t, runtime.Spec.Failover, v1alpha1.Failover{
			HeartbeatIntervalMilliseconds: v1alpha1.DefaultHeartbeatIntervalMilliseconds,
			HeartbeatTimeoutMilliseconds:  v1alpha1.DefaultHeartbeatTimeoutMilliseconds,
		})
	})
	t.Run("an Aggregate has 16 shards, snapshots every 100 events, and forgets and remembers after minutes", func(t *testing.T) {
		aggregate := accept[v1alpha1.Aggregate](t, leastAggregate)
		wantSame(t, aggregate.Spec, v1alpha1.AggregateSpec{
			RuntimeRef:    v1alpha1.LocalReference{Name: "bank"},
			Shards:        16,
			Events:        []v1alpha1.Event{{Name: "Happened"}},
			Snapshots:     v1alpha1.Snapshots{Every: 100},
			Passivation:   v1alpha1.Passivation{IdleSeconds: 120},
			Deduplication: v1alpha1.Deduplication{Commands: 128, Minutes: 10},
		})
		wantSame(t, aggregate.Spec.Shards, v1alpha1.DefaultShards)
		wantSame(t, aggregate.Spec.Snapshots.Every, v1alpha1.DefaultSnapshotEvery)
		wantSame(t, aggregate.Spec.Passivation.IdleSeconds, v1alpha1.DefaultPassivationIdleSeconds)
		wantSame(t, aggregate.Spec.Deduplication, v1alpha1.Deduplication{
			Commands: v1alpha1.DefaultDeduplicationCommands,
			Minutes:  v1alpha1.DefaultDeduplicationMinutes,
		})
	})
	t.Run("half of a pair gets the default of the other half", func(t *testing.T) {
		aggregate := accept[v1alpha1.Aggregate](t, leastAggregate,
			set("spec.deduplication", "{minutes: 60}"), set("spec.snapshots", "{}"), set("spec.passivation", "{}"))
		wantSame(t, aggregate.Spec.Deduplication, v1alpha1.Deduplication{Commands: 128, Minutes: 60})
		wantSame(t, aggregate.Spec.Snapshots, v1alpha1.Snapshots{Every: 100})
		wantSame(t, aggregate.Spec.Passivation, v1alpha1.Passivation{IdleSeconds: 120})
		runtime := accept[v1alpha1.Runtime](t, leastRuntime, set("spec.failover", "{heartbeatIntervalMilliseconds: 100}"))
		wantSame(t, runtime.Spec.Failover, v1alpha1.Failover{HeartbeatIntervalMilliseconds: 100, HeartbeatTimeoutMilliseconds: 1000})
	})
}

func TestAnObjectThatNobodyVisitedSaysSo(t *testing.T) {
	t.Run("an EventStore", func(t *testing.T) {
		wantSame(t, accept[v1alpha1.EventStore](t, leastSQLite).Status, v1alpha1.EventStoreStatus{ObservedGeneration: v1alpha1.UnobservedGeneration})
	})
	t.Run("a Runtime", func(t *testing.T) {
		wantSame(t, accept[v1alpha1.Runtime](t, leastRuntime).Status, v1alpha1.RuntimeStatus{ObservedGeneration: -1})
	})
	t.Run("an Aggregate", func(t *testing.T) {
		wantSame(t, accept[v1alpha1.Aggregate](t, leastAggregate).Status, v1alpha1.AggregateStatus{ObservedGeneration: -1})
	})
	t.Run("a Shard", func(t *testing.T) {
		wantSame(t, accept[v1alpha1.Shard](t, leastShard).Status, v1alpha1.ShardStatus{ObservedGeneration: -1})
	})
	t.Run("a Projection", func(t *testing.T) {
		wantSame(t, accept[v1alpha1.Projection](t, leastProjection).Status, v1alpha1.ProjectionStatus{ObservedGeneration: -1})
	})
	t.Run("a status that a user writes is not taken", func(t *testing.T) {
		wantSame(t, accept[v1alpha1.Shard](t, leastShard, set("status", "{epoch: 9, observedGeneration: 1}")).Status,
			v1alpha1.ShardStatus{ObservedGeneration: -1})
	})
}

// accept stores a manifest for the time of the test and returns what the API
// server made of it, in the types of this package.
func accept[Kind any](t *testing.T, manifest string, changes ...change) *Kind {
	t.Helper()
	object := parse(t, manifest, changes...)
	store(t, object)
	typed := new(Kind)
	as, ok := any(typed).(client.Object)
	if !ok {
		t.Fatalf("%T is not a kind", typed)
	}
	if err := cluster.Get(t.Context(), client.ObjectKeyFromObject(object), as); err != nil {
		t.Fatal(err)
	}
	// What the types cannot hold would be lost on the way to the operator.
	back, err := runtime.DefaultUnstructuredConverter.ToUnstructured(as)
	if err != nil {
		t.Fatal(err)
	}
	wantSame(t, back["spec"], object.Object["spec"])
	return typed
}

func wantSame[T any](t *testing.T, got, want T) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("not as wanted (-want +got):\n%s", diff)
	}
}
