package v1alpha1_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	autoscalingv1 "k8s.io/api/autoscaling/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/leftfold/leftfold/api/v1alpha1"
)

// apply applies the object on the server's side, as the named manager, and
// returns what the server keeps.
func apply(t *testing.T, manager string, object *unstructured.Unstructured) *unstructured.Unstructured {
	t.Helper()
	kept := object.DeepCopy()
	err := cluster.Apply(t.Context(), client.ApplyConfigurationFromUnstructured(kept), client.FieldOwner(manager))
	if err != nil {
		t.Fatalf("apply %s %s: %v", object.GetKind(), object.GetName(), err)
	}
	return kept
}

func TestApplyingTwiceChangesNothing(t *testing.T) {
	for name, manifest := range map[string]string{
		"an EventStore on PostgreSQL":            postgresManifest,
		"an EventStore on PostgreSQL, the least": leastPostgres,
		"an EventStore on SQLite":                sqliteManifest,
		"an EventStore on SQLite, the least":     leastSQLite,
		"a Runtime":                              runtimeManifest,
		"a Runtime, the least":                   leastRuntime,
		"an Aggregate":                           aggregateManifest,
		"an Aggregate, the least":                leastAggregate,
		"a Shard":                                shardManifest,
		"a Projection":                           projectionManifest,
		"a Projection, the least":                leastProjection,
	} {
		t.Run(name, func(t *testing.T) {
			object := parse(t, manifest)
			created := apply(t, "author", object)
			deleteAfter(t, created)
			// The API server stores a new object without its status and fills the
			// status's defaults in when it reads it, so that the next write of any
			// kind makes a new version. The operator's first visit is that write.
			visited := visit(t, created)
			again := apply(t, "author", object)
			wantSame(t, again.GetResourceVersion(), visited.GetResourceVersion())
			wantSame(t, again.GetGeneration(), int64(1))
			wantSame(t, again.Object["spec"], created.Object["spec"])
		})
	}
}

// visit writes the status as an operator does that has seen the object.
func visit(t *testing.T, object *unstructured.Unstructured) *unstructured.Unstructured {
	t.Helper()
	visited := object.DeepCopy()
	if err := set("status.observedGeneration", "1")(visited.Object); err != nil {
		t.Fatal(err)
	}
	if err := cluster.Status().Update(t.Context(), visited); err != nil {
		t.Fatal(err)
	}
	return visited
}

func TestLetKeepsTheOrderThatTheAuthorGivesIt(t *testing.T) {
	names := func(object *unstructured.Unstructured) []string {
		commands, _, err := unstructured.NestedSlice(object.Object, "spec", "commands")
		if err != nil {
			t.Fatal(err)
		}
		let, _, err := unstructured.NestedSlice(commands[0].(map[string]any), "let")
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, binding := range let {
			names = append(names, binding.(map[string]any)["name"].(string))
		}
		return names
	}
	first := apply(t, "author", parse(t, aggregateManifest, set("spec.commands[0].let", "[{name: a, value: '1'}, {name: b, value: '2'}, {name: c, value: '3'}]")))
	deleteAfter(t, first)
	wantSame(t, names(first), []string{"a", "b", "c"})
	second := apply(t, "author", parse(t, aggregateManifest, set("spec.commands[0].let", "[{name: c, value: '1'}, {name: d, value: '2'}, {name: b, value: '3'}, {name: a, value: '4'}]")))
	wantSame(t, names(second), []string{"c", "d", "b", "a"})
}

func TestAnAutoscalerScalesARuntimeThatLeavesReplicasOut(t *testing.T) {
	object := parse(t, leastRuntime)
	kept := apply(t, "author", object)
	deleteAfter(t, kept)

	runtime := &v1alpha1.Runtime{}
	if err := cluster.Get(t.Context(), client.ObjectKeyFromObject(kept), runtime); err != nil {
		t.Fatal(err)
	}
	two := int32(2)
	runtime.Status.Replicas = &two
	runtime.Status.Selector = "leftfold.io/runtime=least"
	if err := cluster.Status().Update(t.Context(), runtime); err != nil {
		t.Fatal(err)
	}

	scale := &autoscalingv1.Scale{}
	if err := cluster.SubResource("scale").Get(t.Context(), runtime, scale); err != nil {
		t.Fatalf("an autoscaler begins by reading the scale: %v", err)
	}
	wantSame(t, scale.Spec.Replicas, int32(1))
	wantSame(t, scale.Status, autoscalingv1.ScaleStatus{Replicas: 2, Selector: "leftfold.io/runtime=least"})

	scale.Spec.Replicas = 5
	if err := cluster.SubResource("scale").Update(t.Context(), runtime, client.WithSubResourceBody(scale)); err != nil {
		t.Fatal(err)
	}
	again := apply(t, "author", object)
	replicas, _, err := unstructured.NestedInt64(again.Object, "spec", "replicas")
	if err != nil {
		t.Fatal(err)
	}
	wantSame(t, replicas, int64(5))
}

func TestEverySampleIsAccepted(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("..", "..", "config", "samples", "*", "*.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	accepted := 0
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, document := range strings.Split(string(content), "\n---\n") {
			object := &unstructured.Unstructured{}
			if err := yaml.Unmarshal([]byte(document), &object.Object); err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			if object.GroupVersionKind().Group != v1alpha1.Group {
				continue
			}
			object.SetNamespace(namespace)
			if err := create(t, object); err != nil {
				t.Errorf("%s: %v", file, err)
			}
			accepted++
		}
	}
	if accepted == 0 {
		t.Error("no sample was found")
	}
}
