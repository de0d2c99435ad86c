package v1alpha1_test

import (
	"fmt"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/leftfold/leftfold/api/v1alpha1"
)

func TestColumnsTellTheTruthAtAGlance(t *testing.T) {
	condition := func(kind, status, reason string) metav1.Condition {
		return metav1.Condition{
			Type: kind, Status: metav1.ConditionStatus(status), Reason: reason, Message: "words for people",
			LastTransitionTime: metav1.NewTime(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)),
		}
	}
	ready := []metav1.Condition{condition(v1alpha1.ConditionReady, "True", v1alpha1.ReasonReady)}
	stalled := func(reason string) []metav1.Condition {
		return []metav1.Condition{
			condition(v1alpha1.ConditionReady, "False", reason),
			condition(v1alpha1.ConditionStalled, "True", reason),
		}
	}

	t.Run("of an EventStore", func(t *testing.T) {
		store := accept[v1alpha1.EventStore](t, postgresManifest)
		store.Status = v1alpha1.EventStoreStatus{ObservedGeneration: 1, Version: "PostgreSQL 15.8", Conditions: stalled(v1alpha1.ReasonSchemaInUse)}
		wantColumns(t, store, "eventstores", map[string]string{
			"Store": "PostgreSQL 15.8", "Ready": "False", "Reason": "SchemaInUse", "Schema": "leftfold", "Message": "words for people",
		})
	})
	t.Run("of a Runtime", func(t *testing.T) {
		runtime := accept[v1alpha1.Runtime](t, runtimeManifest)
		runtime.Status = v1alpha1.RuntimeStatus{
			ObservedGeneration: 1, Replicas: pointer[int32](3), ReadyReplicas: pointer[int32](0), Shards: pointer[int32](0),
			Conditions: stalled(v1alpha1.ReasonPodsNotReady),
		}
		wantColumns(t, runtime, "runtimes", map[string]string{
			"Store": "bank", "Desired": "3", "Pods": "3", "Pods-Ready": "0", "Shards": "0", "Ready": "False", "Reason": "PodsNotReady",
			"Message": "words for people",
		})
	})
	t.Run("of an Aggregate", func(t *testing.T) {
		aggregate := accept[v1alpha1.Aggregate](t, aggregateManifest)
		aggregate.Status = v1alpha1.AggregateStatus{ObservedGeneration: 2, AcceptedGeneration: 1, OwnedShards: pointer[int32](15), Conditions: stalled(v1alpha1.ReasonHistoryNeedsIt)}
		wantColumns(t, aggregate, "aggregates", map[string]string{
			"Runtime": "bank", "Shards": "16", "Owned": "15", "Ready": "False", "Reason": "HistoryNeedsIt", "Accepted": "1", "Message": "words for people",
		})
	})
	t.Run("of a Shard", func(t *testing.T) {
		shard := accept[v1alpha1.Shard](t, shardManifest)
		detected := metav1.NewTime(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))
		shard.Status = v1alpha1.ShardStatus{
			ObservedGeneration: 1, Epoch: pointer[int64](7), Restarts: pointer[int32](0), Conditions: ready,
			Owner: &v1alpha1.ShardOwner{Pod: "bank-x", Node: "n1"},
			LastFailover: &v1alpha1.ShardFailover{
				Reason: v1alpha1.FailoverProcessDied, DetectedTime: detected, RecoveredTime: &detected, DurationMilliseconds: pointer[int64](87),
			},
		}
		wantColumns(t, shard, "shards", map[string]string{
			"Aggregate": "account", "Pod": "bank-x", "Node": "n1", "Epoch": "7", "Restarts": "0", "Ready": "True", "Reason": "Ready",
			"Last-Failover": "ProcessDied", "Took-Ms": "87",
		})
	})
	t.Run("of a Projection", func(t *testing.T) {
		projection := accept[v1alpha1.Projection](t, projectionManifest)
		projection.Status = v1alpha1.ProjectionStatus{
			ObservedGeneration: 1, AcceptedGeneration: 1, Table: "balances", Position: "AAE", LagEvents: pointer[int64](0),
			LagSeconds: pointer[int64](0), QuarantinedEntities: pointer[int64](2), Conditions: stalled(v1alpha1.ReasonEntitiesQuarantined),
		}
		wantColumns(t, projection, "projections", map[string]string{
			"Table": "balances", "Lag-Events": "0", "Lag-Seconds": "0", "Quarantined": "2", "Ready": "False", "Reason": "EntitiesQuarantined",
			"Accepted": "1", "Message": "words for people",
		})
	})
}

// wantColumns writes the status of the object and compares the row that kubectl
// would print of it. Name and Age are there always.
func wantColumns(t *testing.T, object client.Object, resource string, want map[string]string) {
	t.Helper()
	if err := cluster.Status().Update(t.Context(), object); err != nil {
		t.Fatal(err)
	}
	table := &metav1.Table{}
	err := restClient(t).Get().
		Namespace(namespace).Resource(resource).Name(object.GetName()).
		SetHeader("Accept", "application/json;as=Table;v=v1;g=meta.k8s.io").
		Do(t.Context()).Into(table)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for i, column := range table.ColumnDefinitions {
		got[column.Name] = fmt.Sprint(table.Rows[0].Cells[i])
	}
	want["Name"] = object.GetName()
	if got["Age"] == "" || got["Age"] == "<nil>" {
		t.Error("the column Age is empty")
	}
	want["Age"] = got["Age"]
	wantSame(t, got, want)
}

func restClient(t *testing.T) rest.Interface {
	t.Helper()
	config := rest.CopyConfig(restConfig)
	config.APIPath = "/apis"
	config.GroupVersion = &v1alpha1.GroupVersion
	config.NegotiatedSerializer = serializer.WithoutConversionCodecFactory{CodecFactory: scheme.Codecs}
	made, err := rest.RESTClientFor(config)
	if err != nil {
		t.Fatal(err)
	}
	return made
}

func TestShortNamesAndCategory(t *testing.T) {
	finder, err := discovery.NewDiscoveryClientForConfig(restConfig)
	if err != nil {
		t.Fatal(err)
	}
	resources, err := finder.ServerResourcesForGroupVersion(v1alpha1.GroupVersion.String())
	if err != nil {
		t.Fatal(err)
	}
	type names struct {
		Kind       string
		Short      []string
		Categories []string
		Namespaced bool
	}
	got := map[string]names{}
	for _, r := range resources.APIResources {
		if r.SingularName != "" {
			got[r.Name] = names{r.Kind, r.ShortNames, r.Categories, r.Namespaced}
		}
	}
	category := []string{"leftfold"}
	wantSame(t, got, map[string]names{
		"eventstores": {v1alpha1.KindEventStore, []string{"lstore"}, category, true},
		"runtimes":    {v1alpha1.KindRuntime, []string{"lrun"}, category, true},
		"aggregates":  {v1alpha1.KindAggregate, []string{"lagg"}, category, true},
		"shards":      {v1alpha1.KindShard, []string{"lshard"}, category, true},
		"projections": {v1alpha1.KindProjection, []string{"lproj"}, category, true},
	})
}

func pointer[T any](value T) *T { return &value }
