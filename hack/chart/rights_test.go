package main

import (
	"context"
	"flag"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

var update = flag.Bool("update", false, "write the rights that the chart grants into its table; the reasons are for a person to fill in")

// rightsFile is the chart's own account of them, for whoever has to approve it.
const rightsFile = repository + "/charts/leftfold/RIGHTS.md"

// mayDo asks the API server what an account may do in a namespace, as
// `kubectl auth can-i --list` does. Keys are resources, values sorted verbs.
func mayDo(t *testing.T, user, namespace string) map[string]string {
	t.Helper()
	config := rest.CopyConfig(restConfig)
	config.Impersonate = rest.ImpersonationConfig{UserName: user, Groups: []string{"system:authenticated", "system:serviceaccounts"}}
	as, err := client.New(config, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	review := &authorizationv1.SelfSubjectRulesReview{Spec: authorizationv1.SelfSubjectRulesReviewSpec{Namespace: namespace}}
	if err := as.Create(t.Context(), review); err != nil {
		t.Fatal(err)
	}
	if review.Status.Incomplete {
		t.Fatalf("the API server does not tell all: %s", review.Status.EvaluationError)
	}
	verbs := map[string][]string{}
	for _, rule := range review.Status.ResourceRules {
		for _, group := range rule.APIGroups {
			for _, resource := range rule.Resources {
				what := strings.TrimSuffix(resource+"."+group, ".")
				for _, name := range rule.ResourceNames {
					verbs[what+" ("+name+")"] = append(verbs[what+" ("+name+")"], rule.Verbs...)
				}
				if len(rule.ResourceNames) == 0 {
					verbs[what] = append(verbs[what], rule.Verbs...)
				}
			}
		}
	}
	for _, rule := range review.Status.NonResourceRules {
		for _, path := range rule.NonResourceURLs {
			verbs[path] = append(verbs[path], rule.Verbs...)
		}
	}
	joined := map[string]string{}
	for what, list := range verbs {
		slices.Sort(list)
		joined[what] = strings.Join(slices.Compact(list), " ")
	}
	return joined
}

// beyond leaves out of the rights what is among the others.
func beyond(rights, others map[string]string) map[string]string {
	left := map[string]string{}
	for what, verbs := range rights {
		if others[what] != verbs {
			left[what] = verbs
		}
	}
	return left
}

// install applies what the chart renders, but the Deployment and the
// definitions, and removes it when the test ends.
func installRights(t *testing.T, args ...string) {
	t.Helper()
	for _, object := range render(t, args...) {
		switch object.GetKind() {
		case "ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding":
		default:
			continue
		}
		if err := cluster.Apply(t.Context(), client.ApplyConfigurationFromUnstructured(object), client.FieldOwner("chart-test")); err != nil {
			t.Fatalf("%s: %v", identity(object), err)
		}
		t.Cleanup(func() { cleanUp(t, object) })
	}
}

// cleanUp removes an object after the test, whose own context is over by then.
func cleanUp(t *testing.T, object client.Object) {
	t.Helper()
	if err := client.IgnoreNotFound(cluster.Delete(context.Background(), object)); err != nil {
		t.Error(err)
	}
}

// bind gives a user a role, as the operator does for runtime pods.
func bind(t *testing.T, user, kind, name, namespace string) {
	t.Helper()
	binding := &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "test-" + name, Namespace: namespace},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: kind, Name: name},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: user}},
	}
	if err := cluster.Create(t.Context(), binding); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cleanUp(t, binding) })
}

const (
	operator = "system:serviceaccount:leftfold-system:leftfold-operator"
	pod      = "system:serviceaccount:team-a:bank"
	nobody   = "system:serviceaccount:elsewhere:nobody"
)

func TestEachAccountHasTheRightsThatTheChartSaysAndGivesReasonsFor(t *testing.T) {
	for _, namespace := range []string{"leftfold-system", "team-a", "elsewhere"} {
		needNamespace(t, namespace)
	}
	installRights(t)
	bind(t, pod, "ClusterRole", "leftfold-runtime", "team-a")
	scraper := &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "test-scraper"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "leftfold-metrics-reader"},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: "scraper"}},
	}
	if err := cluster.Create(t.Context(), scraper); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cleanUp(t, scraper) })

	// What everybody may, such as asking which kinds there are.
	everybody := mayDo(t, nobody, "elsewhere")
	everywhere := beyond(mayDo(t, operator, "elsewhere"), everybody)
	var got []right
	add := func(account, where string, rights map[string]string) {
		for what, verbs := range rights {
			got = append(got, right{Account: account, Where: where, What: what, Verbs: verbs})
		}
	}
	add("operator", "everywhere", everywhere)
	for where, namespace := range map[string]string{"its own namespace": "leftfold-system", "kube-system": "kube-system"} {
		add("operator", where, beyond(beyond(mayDo(t, operator, namespace), everybody), everywhere))
	}
	add("runtime pod", "its own namespace", beyond(mayDo(t, pod, "team-a"), everybody))
	add("runtime pod", "everywhere", beyond(mayDo(t, pod, "elsewhere"), everybody))
	add("scraper", "everywhere", beyond(mayDo(t, "scraper", "elsewhere"), everybody))

	text, err := os.ReadFile(rightsFile)
	if err != nil {
		t.Fatal(err)
	}
	before, want, err := parseRights(string(text))
	if err != nil {
		t.Fatal(err)
	}
	for i := range got {
		same := slices.IndexFunc(want, func(r right) bool {
			return r.Account == got[i].Account && r.Where == got[i].Where && r.What == got[i].What
		})
		if same >= 0 {
			got[i].Why = want[same].Why
		}
		if got[i].Why == "" {
			t.Errorf("%s, %s: no reason is given for %s %s", got[i].Account, got[i].Where, got[i].Verbs, got[i].What)
		}
	}
	table := before + formatRights(got)
	if *update {
		if err := os.WriteFile(rightsFile, []byte(table), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(string(text), table); diff != "" {
		t.Errorf("%s: -said +granted (-update writes it)\n%s", filepath.Base(rightsFile), diff)
	}
}

func TestInNamespacedModeTheSameRightsHoldThereAndNowhereElse(t *testing.T) {
	for _, namespace := range []string{"leftfold-system", "team-a", "team-b", "elsewhere"} {
		needNamespace(t, namespace)
	}
	everybody := mayDo(t, nobody, "elsewhere")
	var everywhere map[string]string
	t.Run("watching everything", func(t *testing.T) {
		installRights(t, "--set", "metrics.authentication=false")
		everywhere = beyond(mayDo(t, operator, "elsewhere"), everybody)
		// Zones of nodes and names of namespaces are the whole cluster's.
		maps.DeleteFunc(everywhere, func(what, _ string) bool {
			resource, _, _ := strings.Cut(what, " ")
			return slices.Contains(clusterScoped, resource)
		})
	})
	if len(everywhere) == 0 {
		t.Fatal("the operator may do nothing when it watches everything")
	}
	installRights(t, "-f", values("namespaced.yaml"))
	for _, namespace := range []string{"team-a", "team-b"} {
		if diff := cmp.Diff(everywhere, beyond(mayDo(t, operator, namespace), everybody)); diff != "" {
			t.Errorf("%s: -when it watches everything +granted\n%s", namespace, diff)
		}
	}
	for _, namespace := range []string{"elsewhere", "kube-system", "default"} {
		if found := beyond(mayDo(t, operator, namespace), everybody); len(found) > 0 {
			t.Errorf("the operator may %v in %s", found, namespace)
		}
	}
	bind(t, pod, "Role", "leftfold-runtime", "team-a")
	if found := beyond(mayDo(t, pod, "team-a"), everybody); len(found) == 0 {
		t.Error("runtime pods cannot read their definitions")
	}
}

// A binding is refused to whoever lacks the rights that it grants; the operator
// makes one for every Runtime.
func TestTheOperatorMayGiveRuntimePodsTheirRole(t *testing.T) {
	for _, namespace := range []string{"leftfold-system", "team-a", "team-b"} {
		needNamespace(t, namespace)
	}
	for _, mode := range []struct{ values, kind string }{{"default.yaml", "ClusterRole"}, {"namespaced.yaml", "Role"}} {
		t.Run(mode.values, func(t *testing.T) {
			installRights(t, "-f", values(mode.values))
			config := rest.CopyConfig(restConfig)
			config.Impersonate = rest.ImpersonationConfig{UserName: operator}
			as, err := client.New(config, client.Options{})
			if err != nil {
				t.Fatal(err)
			}
			binding := func(kind, name string) *rbacv1.RoleBinding {
				return &rbacv1.RoleBinding{
					ObjectMeta: metav1.ObjectMeta{Name: "bank", Namespace: "team-a"},
					RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: kind, Name: name},
					Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Name: "bank", Namespace: "team-a"}},
				}
			}
			if err := as.Create(t.Context(), binding(mode.kind, "leftfold-runtime"), client.DryRunAll); err != nil {
				t.Errorf("its own role: %v", err)
			}
			if err := as.Create(t.Context(), binding("ClusterRole", "cluster-admin"), client.DryRunAll); err == nil {
				t.Error("it may make anybody an administrator")
			}
		})
	}
}

// The profile of a pod is what is left when somebody breaks into one.
func TestARuntimePodCannotReadSecretsNorWriteAnything(t *testing.T) {
	needNamespace(t, "leftfold-system")
	needNamespace(t, "team-a")
	installRights(t)
	bind(t, pod, "ClusterRole", "leftfold-runtime", "team-a")
	config := rest.CopyConfig(restConfig)
	config.Impersonate = rest.ImpersonationConfig{UserName: pod}
	as, err := client.New(config, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := as.List(t.Context(), &corev1.SecretList{}, client.InNamespace("team-a")); err == nil {
		t.Error("it reads Secrets")
	}
	for what, verbs := range beyond(mayDo(t, pod, "team-a"), mayDo(t, nobody, "team-a")) {
		if !strings.HasSuffix(what, ".leftfold.io") || verbs != "get list watch" {
			t.Errorf("it may %s %s", verbs, what)
		}
	}
}
