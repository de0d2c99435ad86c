package main

import (
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// install puts the chart onto the API server, which has no controllers: nothing
// runs, so that nothing is waited for.
func install(t *testing.T, release, chart string, args ...string) {
	t.Helper()
	helm(t, append([]string{"upgrade", "--install", release, chart, "-n", "leftfold-system", "--create-namespace"}, args...)...)
}

func uninstall(t *testing.T, release string) {
	t.Helper()
	helm(t, "uninstall", release, "-n", "leftfold-system", "--ignore-not-found")
}

var kinds = []string{"aggregates", "eventstores", "projections", "runtimes", "shards"}

// waitForKinds waits until the API server serves all five kinds.
func waitForKinds(t *testing.T) {
	t.Helper()
	for _, kind := range kinds {
		kubectl(t, "wait", "--for=condition=Established", "--timeout=60s", "crd/"+kind+".leftfold.io")
	}
}

// removeKinds takes the definitions away, so that another test can begin anew.
func removeKinds(t *testing.T) {
	t.Helper()
	kubectl(t, append([]string{"delete", "--ignore-not-found", "--wait=false"}, definitions()...)...)
	waitForNoKinds(t)
}

// definitions names those of all five kinds.
func definitions() (names []string) {
	for _, kind := range kinds {
		names = append(names, "crd/"+kind+".leftfold.io")
	}
	return names
}

// waitForNoKinds waits until the definitions that are being deleted are gone. The API
// server deletes their objects first. When it cannot yet, for it has only just begun to
// serve a kind, it tries again after pauses that grow to minutes, but at once when the
// definition changes: so it is changed.
func waitForNoKinds(t *testing.T) {
	t.Helper()
	left := ""
	for deadline := time.Now().Add(2 * time.Minute); time.Now().Before(deadline); {
		left = kubectl(t, append([]string{"get", "--ignore-not-found", "-o", "name"}, definitions()...)...)
		if left == "" {
			return
		}
		for name := range strings.FieldsSeq(left) {
			// It may go at this very moment; then there is nothing to be changed.
			_, _, _ = run(t, kubectlProgram, "annotate", name, "--overwrite", "changed="+strconv.FormatInt(time.Now().UnixNano(), 10))
		}
		<-time.After(time.Second)
	}
	t.Fatalf("definitions that do not go: %s", left)
}

func bank() *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "leftfold.io/v1alpha1", "kind": "EventStore",
		"metadata": map[string]any{"name": "bank", "namespace": "leftfold-system"},
		"spec":     map[string]any{"sqlite": map[string]any{"storage": "1Gi"}},
	}}
}

func TestUninstallKeepsTheKindsAndTheirObjectsAndInstallFindsThemAgain(t *testing.T) {
	install(t, "leftfold", "charts/leftfold")
	t.Cleanup(func() { removeKinds(t) })
	t.Cleanup(func() { uninstall(t, "leftfold") })
	waitForKinds(t)
	store := bank()
	if err := cluster.Create(t.Context(), store); err != nil {
		t.Fatal(err)
	}
	created := store.GetUID()

	uninstall(t, "leftfold")
	deployment := types.NamespacedName{Namespace: "leftfold-system", Name: "leftfold-operator"}
	if err := cluster.Get(t.Context(), deployment, &appsv1.Deployment{}); !apierrors.IsNotFound(err) {
		t.Errorf("the operator is still there: %v", err)
	}
	install(t, "leftfold", "charts/leftfold")
	if err := cluster.Get(t.Context(), client.ObjectKeyFromObject(store), store); err != nil {
		t.Fatal(err)
	}
	if store.GetUID() != created || store.GetDeletionTimestamp() != nil {
		t.Error("the object is another one than before the uninstall")
	}
}

func TestTheKindsCanBeInstalledApart(t *testing.T) {
	install(t, "leftfold-crds", "charts/leftfold-crds")
	t.Cleanup(func() { removeKinds(t) })
	t.Cleanup(func() { uninstall(t, "leftfold-crds") })
	install(t, "leftfold", "charts/leftfold", "--set", "crds.enabled=false")
	t.Cleanup(func() { uninstall(t, "leftfold") })
	waitForKinds(t)

	uninstall(t, "leftfold")
	uninstall(t, "leftfold-crds")
	get(t, "", "CustomResourceDefinition", "apiextensions.k8s.io/v1", "runtimes.leftfold.io")
}

func TestTheKindsMoveFromOneChartToTheOther(t *testing.T) {
	install(t, "leftfold", "charts/leftfold")
	t.Cleanup(func() { removeKinds(t) })
	t.Cleanup(func() { uninstall(t, "leftfold") })
	waitForKinds(t)
	before := get(t, "", "CustomResourceDefinition", "apiextensions.k8s.io/v1", "runtimes.leftfold.io").GetUID()

	install(t, "leftfold-crds", "charts/leftfold-crds", "--take-ownership")
	t.Cleanup(func() { uninstall(t, "leftfold-crds") })
	install(t, "leftfold", "charts/leftfold", "--set", "crds.enabled=false")
	after := get(t, "", "CustomResourceDefinition", "apiextensions.k8s.io/v1", "runtimes.leftfold.io")
	if after.GetUID() != before || after.GetDeletionTimestamp() != nil {
		t.Error("the definition was made anew, and all objects with it")
	}
	if owner := after.GetAnnotations()["meta.helm.sh/release-name"]; owner != "leftfold-crds" {
		t.Errorf("the definition belongs to %s", owner)
	}
}

func TestInstalledTwiceNothingChanges(t *testing.T) {
	for name, install := range map[string]func(*testing.T){
		"the chart": func(t *testing.T) {
			install(t, "leftfold", "charts/leftfold")
			t.Cleanup(func() { uninstall(t, "leftfold") })
		},
		"config/default": func(t *testing.T) {
			kubectl(t, "apply", "--server-side", "-k", "config/default")
			t.Cleanup(func() {
				for _, object := range objects(t, kubectl(t, "kustomize", "config/default")) {
					if object.GetKind() != "Namespace" { // an API server alone never ends the deletion of one
						cleanUp(t, object)
					}
				}
			})
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Cleanup(func() { removeKinds(t) })
			install(t)
			waitForKinds(t)
			first := versions(t)
			install(t)
			if diff := cmp.Diff(first, versions(t)); diff != "" {
				t.Errorf("-first +second\n%s", diff)
			}
		})
	}
}

// versions returns the resourceVersion of each object of the default install.
func versions(t *testing.T) map[string]string {
	t.Helper()
	found := map[string]string{}
	for _, object := range objects(t, kubectl(t, "kustomize", "config/default")) {
		there := get(t, object.GetNamespace(), object.GetKind(), object.GetAPIVersion(), object.GetName())
		found[identity(object)] = there.GetResourceVersion()
	}
	return found
}

func get(t *testing.T, namespace, kind, version, name string) *unstructured.Unstructured {
	t.Helper()
	object := &unstructured.Unstructured{}
	object.SetGroupVersionKind(schema.FromAPIVersionAndKind(version, kind))
	if err := cluster.Get(t.Context(), types.NamespacedName{Namespace: namespace, Name: name}, object); err != nil {
		t.Fatal(err)
	}
	return object
}

func TestTwoReleasesShareAClusterWhenEachHasItsNamespaces(t *testing.T) {
	needNamespace(t, "team-a")
	needNamespace(t, "team-b")
	owners := map[string][]string{}
	for _, namespace := range []string{"team-a", "team-b"} {
		text := helm(t, "template", namespace, "charts/leftfold", "-n", namespace,
			"--set", "watchNamespaces={"+namespace+"}", "--set", "crds.enabled=false")
		for _, object := range objects(t, text) {
			owners[identity(object)] = append(owners[identity(object)], namespace)
		}
	}
	var shared []string
	for object, releases := range owners {
		if len(releases) > 1 {
			shared = append(shared, object)
		}
	}
	if len(shared) > 0 {
		slices.Sort(shared)
		t.Errorf("both releases want to own %s", strings.Join(shared, ", "))
	}
}

func TestWithoutKeepTheKindsGoWithTheRelease(t *testing.T) {
	install(t, "leftfold", "charts/leftfold", "--set", "crds.keep=false")
	t.Cleanup(func() { removeKinds(t) })
	waitForKinds(t)
	uninstall(t, "leftfold")
	waitForNoKinds(t)
}
