package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/pflag"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/leftfold/leftfold/controllers/setup"
)

// scenarios are the files of values that the chart is tested with.
func scenarios(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("testdata/values/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no values to test with: %v", err)
	}
	return files
}

// values is where a file of testdata/values is, seen from the root of the tree.
func values(name string) string { return filepath.Join("hack/chart/testdata/values", name) }

// render returns the objects that Helm makes of the chart in leftfold-system.
func render(t *testing.T, args ...string) []*unstructured.Unstructured {
	t.Helper()
	return objects(t, helm(t, append([]string{"template", "leftfold", "charts/leftfold", "-n", "leftfold-system"}, args...)...))
}

func objects(t *testing.T, text string) []*unstructured.Unstructured {
	t.Helper()
	var all []*unstructured.Unstructured
	decoder := yaml.NewYAMLOrJSONDecoder(strings.NewReader(text), 4096)
	for {
		object := &unstructured.Unstructured{}
		err := decoder.Decode(object)
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		if len(object.Object) > 0 {
			all = append(all, object)
		}
	}
}

// identity is kind, namespace and name.
func identity(object client.Object) string {
	return object.GetObjectKind().GroupVersionKind().Kind + " " + object.GetNamespace() + "/" + object.GetName()
}

// find returns the one object of the kind, as the given type.
func find[T any](t *testing.T, all []*unstructured.Unstructured, kind string) *T {
	t.Helper()
	var found *T
	for _, object := range all {
		if object.GetKind() != kind {
			continue
		}
		if found != nil {
			t.Fatalf("more than one %s", kind)
		}
		found = new(T)
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, found); err != nil {
			t.Fatal(err)
		}
	}
	if found == nil {
		t.Fatalf("no %s", kind)
	}
	return found
}

func TestHelmFindsNothingToSayAgainstTheCharts(t *testing.T) {
	for _, file := range scenarios(t) {
		helm(t, "lint", "--strict", "charts/leftfold", "-f", values(filepath.Base(file)))
	}
	helm(t, "lint", "--strict", "charts/leftfold-crds")
}

func TestAnAPIServerTakesWhatTheChartRenders(t *testing.T) {
	for _, namespace := range []string{"leftfold-system", "team-a", "team-b"} {
		needNamespace(t, namespace)
	}
	for _, file := range scenarios(t) {
		name := filepath.Base(file)
		t.Run(strings.TrimSuffix(name, ".yaml"), func(t *testing.T) {
			for _, object := range render(t, "-f", values(name)) {
				err := cluster.Apply(t.Context(), client.ApplyConfigurationFromUnstructured(object),
					client.FieldOwner("chart-test"), client.DryRunAll)
				if err != nil {
					t.Errorf("%s: %v", identity(object), err)
				}
			}
		})
	}
}

// Deployments are taken whatever their pods look like; the profile speaks up
// when a pod is made.
func TestOperatorPodsKeepToTheRestrictedProfile(t *testing.T) {
	needNamespace(t, "leftfold-system")
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "default", Namespace: "leftfold-system"}}
	if err := client.IgnoreAlreadyExists(cluster.Create(t.Context(), account)); err != nil {
		t.Fatal(err)
	}
	rendered := map[string]*appsv1.Deployment{
		"kustomize": find[appsv1.Deployment](t, objects(t, kubectl(t, "kustomize", "config/default")), "Deployment"),
	}
	for _, file := range scenarios(t) {
		name := filepath.Base(file)
		rendered[name] = find[appsv1.Deployment](t, render(t, "-f", values(name)), "Deployment")
	}
	for name, deployment := range rendered {
		template := deployment.Spec.Template
		// Nobody has made this class here.
		template.Spec.PriorityClassName = ""
		pod := &corev1.Pod{ObjectMeta: template.ObjectMeta, Spec: template.Spec}
		pod.Name, pod.Namespace = "operator", "leftfold-system"
		if err := cluster.Create(t.Context(), pod, client.DryRunAll); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestEveryObjectOfTheReleaseSaysInWhichNamespaceItIs(t *testing.T) {
	clusterWide := []string{"ClusterRole", "ClusterRoleBinding", "CustomResourceDefinition"}
	for _, object := range render(t, "-f", values("everything.yaml")) {
		if (object.GetNamespace() == "") != slices.Contains(clusterWide, object.GetKind()) {
			t.Errorf("%s", identity(object))
		}
	}
}

func TestLabelsAndAnnotationsReachEveryObject(t *testing.T) {
	for _, object := range render(t, "-f", values("everything.yaml")) {
		if object.GetLabels()["team"] != "platform" {
			t.Errorf("%s lacks the label", identity(object))
		}
		want := "object"
		switch object.GetKind() {
		case "CustomResourceDefinition":
			want = "definition"
		case "ServiceAccount":
			want = "account"
		}
		if got := object.GetAnnotations()["example"]; got != want {
			t.Errorf("%s has the annotation %q, want %q", identity(object), got, want)
		}
	}
}

func TestLabelsOfOnesOwnCannotBreakTheSelector(t *testing.T) {
	all := render(t, "--set", `labels.app\.kubernetes\.io/name=other`, "--set", `podLabels.app\.kubernetes\.io/component=other`)
	deployment := find[appsv1.Deployment](t, all, "Deployment")
	selector, err := metav1.LabelSelectorAsSelector(deployment.Spec.Selector)
	if err != nil {
		t.Fatal(err)
	}
	if !selector.Matches(labelSet(deployment.Spec.Template.Labels)) {
		t.Errorf("selector %v does not match the pods' labels %v", selector, deployment.Spec.Template.Labels)
	}
}

type labelSet map[string]string

func (s labelSet) Has(key string) bool                       { _, found := s[key]; return found }
func (s labelSet) Get(key string) string                     { return s[key] }
func (s labelSet) Lookup(key string) (value string, ok bool) { value, ok = s[key]; return value, ok }

func TestValuesReachTheOperator(t *testing.T) {
	digest := "sha256:0000000000000000000000000000000000000000000000000000000000000000"
	table := map[string]struct {
		file        string
		image       string
		with, never []string
	}{
		"by default it watches everything": {
			"default.yaml", "leftfold-operator:0.1.0",
			[]string{"--runtime-image=leftfold:0.1.0", "--runtime-role=ClusterRole/leftfold-runtime", "--metrics-address=:8443", "--log-format=json"},
			[]string{"--watch-namespaces", "--metrics-authentication"},
		},
		"namespaces of its own, and roles there": {
			"namespaced.yaml", "leftfold-operator:0.1.0",
			[]string{"--watch-namespaces=team-a,team-b", "--runtime-role=Role/leftfold-runtime", "--metrics-authentication=false"}, nil,
		},
		"a digest wins over the tag": {
			"everything.yaml", "leftfold/operator@" + digest,
			[]string{"--runtime-image=leftfold/runtime:2", "--runtime-role=ClusterRole/events-runtime", "--log-level=debug", "--log-format=text"}, nil,
		},
		"metrics can be off": {"bare.yaml", "leftfold-operator:0.1.0", []string{"--metrics-address=0"}, nil},
	}
	for name, test := range table {
		t.Run(name, func(t *testing.T) {
			container := find[appsv1.Deployment](t, render(t, "-f", values(test.file)), "Deployment").Spec.Template.Spec.Containers[0]
			if container.Image != test.image {
				t.Errorf("image %s, want %s", container.Image, test.image)
			}
			for _, arg := range test.with {
				if !slices.Contains(container.Args, arg) {
					t.Errorf("%v lacks %s", container.Args, arg)
				}
			}
			for _, prefix := range test.never {
				if slices.ContainsFunc(container.Args, func(arg string) bool { return strings.HasPrefix(arg, prefix) }) {
					t.Errorf("%v has %s", container.Args, prefix)
				}
			}
		})
	}
}

func TestTheOperatorKnowsEachArgument(t *testing.T) {
	rendered := map[string]*appsv1.Deployment{
		"kustomize": find[appsv1.Deployment](t, objects(t, kubectl(t, "kustomize", "config/default")), "Deployment"),
	}
	for _, file := range scenarios(t) {
		name := filepath.Base(file)
		rendered[name] = find[appsv1.Deployment](t, render(t, "-f", values(name)), "Deployment")
	}
	for name, deployment := range rendered {
		options := setup.NewOptions("dev")
		flags := pflag.NewFlagSet("leftfold-operator", pflag.ContinueOnError)
		options.Bind(flags)
		if err := flags.Parse(deployment.Spec.Template.Spec.Containers[0].Args); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestDefinitionsInTheChartsAreTheGeneratedOnes(t *testing.T) {
	want := map[string]any{}
	files, err := filepath.Glob(filepath.Join(repository, "config/crd/bases/*.yaml"))
	if err != nil || len(files) != 5 {
		t.Fatalf("%d definitions, %v", len(files), err)
	}
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		object := objects(t, string(content))[0]
		want[object.GetName()] = object.Object["spec"]
	}
	for name, text := range map[string]string{
		"leftfold":      helm(t, "template", "leftfold", "charts/leftfold"),
		"leftfold-crds": helm(t, "template", "leftfold", "charts/leftfold-crds"),
	} {
		got := map[string]any{}
		for _, object := range objects(t, text) {
			if object.GetKind() == "CustomResourceDefinition" {
				got[object.GetName()] = object.Object["spec"]
				if object.GetAnnotations()["helm.sh/resource-policy"] != "keep" {
					t.Errorf("%s: %s would go with the release", name, object.GetName())
				}
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: -generated +rendered\n%s", name, diff)
		}
	}
}

// Both ways to install must say the same, or one of them rots.
func TestKustomizeAndChartInstallTheSameObjects(t *testing.T) {
	rules := func(all []*unstructured.Unstructured) map[string]any {
		described := map[string]any{}
		for _, object := range all {
			switch object.GetKind() {
			case "Namespace": // made by --create-namespace
			case "ClusterRole", "Role", "ClusterRoleBinding", "RoleBinding":
				granted, _ := object.Object["rules"].([]any)
				slices.SortFunc(granted, func(a, b any) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
				described[identity(object)] = []any{granted, object.Object["roleRef"], object.Object["subjects"]}
			default:
				described[identity(object)] = nil
			}
		}
		return described
	}
	chart, kustomize := rules(render(t)), rules(objects(t, kubectl(t, "kustomize", "config/default")))
	if diff := cmp.Diff(chart, kustomize); diff != "" {
		t.Errorf("-chart +kustomize\n%s", diff)
	}
}

func TestKustomizeRunsTheOperatorAsTheChartDoes(t *testing.T) {
	kustomize := find[appsv1.Deployment](t, objects(t, kubectl(t, "kustomize", "config/default")), "Deployment").Spec
	chart := find[appsv1.Deployment](t, render(t, "--set", "image.tag=latest", "--set", "runtimeImage.tag=latest"), "Deployment").Spec
	// The chart's pods say which release they are of.
	labels := map[string]string{"app.kubernetes.io/name": "leftfold", "app.kubernetes.io/component": "operator"}
	for _, spec := range []*appsv1.DeploymentSpec{&kustomize, &chart} {
		for _, carrier := range []map[string]string{spec.Selector.MatchLabels, spec.Template.Labels} {
			maps.DeleteFunc(carrier, func(key, _ string) bool { return labels[key] == "" })
		}
		for i := range spec.Template.Spec.TopologySpreadConstraints {
			spec.Template.Spec.TopologySpreadConstraints[i].LabelSelector = nil
		}
		slices.Sort(spec.Template.Spec.Containers[0].Args)
	}
	if diff := cmp.Diff(chart, kustomize); diff != "" {
		t.Errorf("-chart +kustomize\n%s", diff)
	}
}

func TestNoRoleHasAWildcard(t *testing.T) {
	for _, file := range scenarios(t) {
		for _, object := range render(t, "-f", values(filepath.Base(file))) {
			if object.GetKind() != "ClusterRole" && object.GetKind() != "Role" {
				continue
			}
			var role rbacv1.ClusterRole
			if err := runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, &role); err != nil {
				t.Fatal(err)
			}
			if len(role.Rules) == 0 {
				t.Errorf("%s grants nothing", identity(object))
			}
			for _, rule := range role.Rules {
				for _, names := range [][]string{rule.APIGroups, rule.Resources, rule.Verbs, rule.NonResourceURLs} {
					if slices.ContainsFunc(names, func(name string) bool { return strings.Contains(name, "*") }) {
						t.Errorf("%s: %v", identity(object), rule)
					}
				}
			}
		}
	}
}

func TestWatchingNamespacesNeedsNothingOfTheWholeCluster(t *testing.T) {
	for _, object := range render(t, "-f", values("namespaced.yaml")) {
		if object.GetNamespace() == "" {
			t.Errorf("%s is of the whole cluster", identity(object))
		}
		if !slices.Contains([]string{"leftfold-system", "team-a", "team-b"}, object.GetNamespace()) {
			t.Errorf("%s is elsewhere", identity(object))
		}
	}
	var clusterWide []string
	for _, object := range render(t, "-f", values("namespaced.yaml"), "--set", "metrics.authentication=true") {
		if object.GetKind() == "ClusterRoleBinding" {
			clusterWide = append(clusterWide, object.GetName())
		}
	}
	if diff := cmp.Diff([]string{"leftfold-metrics-authentication"}, clusterWide); diff != "" {
		t.Errorf("with authentication of scrapes: -want +bound\n%s", diff)
	}
}

func TestNothingNamesARegistry(t *testing.T) {
	for _, chart := range []string{"leftfold", "leftfold-crds"} {
		content := []byte(helm(t, "template", "leftfold", "charts/"+chart))
		for line := range bytes.Lines(content) {
			image, found := bytes.CutPrefix(bytes.TrimSpace(line), []byte("image: "))
			if registry, _, named := bytes.Cut(image, []byte("/")); found && named {
				t.Errorf("%s: %s", chart, registry)
			}
		}
	}
}
