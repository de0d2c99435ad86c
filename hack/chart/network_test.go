package main

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/leftfold/leftfold/api/v1alpha1"
)

// somebody is a pod that knocks at another.
type somebody struct {
	namespace string
	labels    labels.Set
}

// lets tells whether the policy of a pod in the namespace lets somebody in, as
// NetworkPolicy defines it: by pods' labels, and by the name of their namespace.
func lets(t *testing.T, policy *networkingv1.NetworkPolicy, who somebody, port int32) bool {
	t.Helper()
	matches := func(selector *metav1.LabelSelector, set labels.Set) bool {
		compiled, err := metav1.LabelSelectorAsSelector(selector)
		if err != nil {
			t.Fatal(err)
		}
		return compiled.Matches(set)
	}
	for _, rule := range policy.Spec.Ingress {
		if !slices.ContainsFunc(rule.Ports, func(p networkingv1.NetworkPolicyPort) bool { return p.Port.IntVal == port }) {
			continue
		}
		if len(rule.From) == 0 {
			return true
		}
		for _, peer := range rule.From {
			near := who.namespace == policy.Namespace
			if peer.NamespaceSelector != nil {
				near = matches(peer.NamespaceSelector, labels.Set{"kubernetes.io/metadata.name": who.namespace})
			}
			if near && (peer.PodSelector == nil || matches(peer.PodSelector, who.labels)) {
				return true
			}
		}
	}
	return false
}

// policies returns the policy for operator pods and that for runtime pods in team-a.
func policies(t *testing.T, all []*unstructured.Unstructured) (operator, runtimePods *networkingv1.NetworkPolicy) {
	t.Helper()
	for _, object := range all {
		if object.GetKind() != "NetworkPolicy" || object.GetNamespace() == "team-b" {
			continue
		}
		policy := &networkingv1.NetworkPolicy{}
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, policy); err != nil {
			t.Fatal(err)
		}
		if policy.Spec.PodSelector.MatchLabels["app.kubernetes.io/component"] == "operator" {
			operator = policy
		} else {
			runtimePods = policy
		}
	}
	if operator == nil || runtimePods == nil {
		t.Fatal("a policy is missing")
	}
	return operator, runtimePods
}

func TestNetworkPoliciesLetInWhoHasBusinessThere(t *testing.T) {
	needNamespace(t, "leftfold-system")
	needNamespace(t, "team-a")
	ways := map[string][]*unstructured.Unstructured{
		"watching namespaces": render(t, "-f", values("namespaced.yaml")),
		"named namespaces": render(t, "--set", "networkPolicy.enabled=true", "--set", "networkPolicy.runtimeNamespaces={team-a}",
			"--set", "crds.enabled=false"),
		"a release of another name": objects(t, helm(t, "template", "events", "charts/leftfold", "-n", "leftfold-system",
			"--set", "networkPolicy.enabled=true", "--set", "networkPolicy.runtimeNamespaces={team-a}", "--set", "crds.enabled=false")),
	}
	// By hand: the policies of config/, which are put into namespaces by kubectl.
	ways["kustomize"] = objects(t, kubectl(t, "kustomize", "config/default"))
	for file, namespace := range map[string]string{"operator.yaml": "leftfold-system", "runtime.yaml": "team-a"} {
		content, err := os.ReadFile(filepath.Join(repository, "config/networkpolicy", file))
		if err != nil {
			t.Fatal(err)
		}
		policy := objects(t, string(content))[0]
		policy.SetNamespace(namespace)
		err = cluster.Apply(t.Context(), client.ApplyConfigurationFromUnstructured(policy), client.FieldOwner("chart-test"), client.DryRunAll)
		if err != nil {
			t.Errorf("%s: %v", file, err)
		}
		ways["kustomize"] = append(ways["kustomize"], policy)
	}
	for name, all := range ways {
		t.Run(name, func(t *testing.T) {
			deployment := find[appsv1.Deployment](t, all, "Deployment")
			runtimeLabels := labels.Set(v1alpha1.RuntimeLabels("bank"))
			operator := somebody{"leftfold-system", deployment.Spec.Template.Labels}
			pod := somebody{"team-a", runtimeLabels}
			stranger := somebody{"team-a", labels.Set{"app": "web"}}
			elsewhere := somebody{"elsewhere", runtimeLabels}
			pretender := somebody{"elsewhere", deployment.Spec.Template.Labels}
			toOperator, toPods := policies(t, all)
			if !labels.SelectorFromSet(toOperator.Spec.PodSelector.MatchLabels).Matches(operator.labels) {
				t.Error("the operator's policy is not about its pods")
			}
			if !labels.SelectorFromSet(toPods.Spec.PodSelector.MatchLabels).Matches(runtimeLabels) {
				t.Error("the pods' policy is not about them")
			}
			for _, knock := range []struct {
				what   string
				policy *networkingv1.NetworkPolicy
				who    somebody
				port   int32
				want   bool
			}{
				{"the operator at a pod's 8082", toPods, operator, 8082, true},
				{"a pod at another pod's 8082", toPods, pod, 8082, true},
				{"a stranger at a pod's 8082", toPods, stranger, 8082, false},
				{"a runtime pod of another namespace at a pod's 8082", toPods, elsewhere, 8082, false},
				{"somebody labelled as the operator at a pod's 8082", toPods, pretender, 8082, false},
				{"a user at a pod's 8080", toPods, stranger, 8080, true},
				{"a scraper at a pod's 8081", toPods, stranger, 8081, true},
				{"anybody at a pod's other ports", toPods, operator, 9000, false},
				{"a scraper at the operator's 8443", toOperator, stranger, 8443, true},
				{"anybody at the operator's 8081", toOperator, stranger, 8081, false},
			} {
				if got := lets(t, knock.policy, knock.who, knock.port); got != knock.want {
					t.Errorf("%s: let in %t, want %t", knock.what, got, knock.want)
				}
			}
		})
	}
}

func TestNetworkPoliciesCanBeNarrowedToClientsAndScrapers(t *testing.T) {
	toOperator, toPods := policies(t, render(t, "-f", values("everything.yaml")))
	prometheus := somebody{"team-a", labels.Set{"app": "prometheus"}}
	stranger := somebody{"team-a", labels.Set{"app": "web"}}
	if !lets(t, toPods, prometheus, 8081) || lets(t, toPods, stranger, 8081) {
		t.Error("8081 is not for scrapers alone")
	}
	if lets(t, toPods, prometheus, 8080) || lets(t, toPods, stranger, 8080) {
		t.Error("8080 is not for clients alone")
	}
	if lets(t, toOperator, stranger, 8443) {
		t.Error("the operator's metrics are not for scrapers alone")
	}
}
