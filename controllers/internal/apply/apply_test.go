package apply

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"
	metav1ac "k8s.io/client-go/applyconfigurations/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/leftfold/leftfold/api/v1alpha1"
	"github.com/leftfold/leftfold/controllers/internal/apitest"
)

var server *apitest.Server

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(apitest.Main(m, func(s *apitest.Server) { server = s }))
}

// service is one with a field of every sort: values, maps, a list of items with
// keys, a list that is owned as a whole.
func service(namespace string) *corev1ac.ServiceApplyConfiguration {
	return corev1ac.Service("bank", namespace).
		WithLabels(map[string]string{v1alpha1.LabelManagedBy: v1alpha1.FieldManager, "team": "ledger"}).
		WithSpec(corev1ac.ServiceSpec().
			WithSelector(map[string]string{"app": "bank"}).
			WithExternalIPs("10.1.1.1", "10.1.1.2").
			WithSessionAffinity(corev1.ServiceAffinityNone).
			WithPorts(
				corev1ac.ServicePort().WithName("http").WithPort(80).WithProtocol(corev1.ProtocolTCP).WithTargetPort(intstr.FromString("http")),
				corev1ac.ServicePort().WithName("more").WithPort(81).WithProtocol(corev1.ProtocolTCP)))
}

func TestAnApplyIsMadeOnlyWhenItWouldChangeSomething(t *testing.T) {
	edit := func(change func(*corev1.Service)) func(*testing.T, *corev1.Service) {
		return func(t *testing.T, s *corev1.Service) {
			change(s)
			if err := server.Client.Update(t.Context(), s, client.FieldOwner("somebody")); err != nil {
				t.Fatal(err)
			}
		}
	}
	nothing := func(*corev1ac.ServiceApplyConfiguration) {}
	untouched := func(*testing.T, *corev1.Service) {}
	for _, c := range []struct {
		name string
		// happens to the object that is there; desired is what it is to be then.
		happens func(*testing.T, *corev1.Service)
		desired func(*corev1ac.ServiceApplyConfiguration)
		want    bool
	}{
		{"nothing happened", untouched, nothing, false},
		{"somebody added a field", edit(func(s *corev1.Service) { s.Annotations = map[string]string{"note": "mine"} }), nothing, false},
		{"somebody added a key to a map", edit(func(s *corev1.Service) { s.Labels["more"] = "mine" }), nothing, false},
		{"somebody added to what is owned as a whole", edit(func(s *corev1.Service) { s.Spec.Selector["more"] = "mine" }), nothing, true},
		{"somebody changed a value", edit(func(s *corev1.Service) { s.Labels["team"] = "mine" }), nothing, true},
		{"somebody removed a value", edit(func(s *corev1.Service) { delete(s.Labels, "team") }), nothing, true},
		{"somebody changed an item", edit(func(s *corev1.Service) { s.Spec.Ports[0].TargetPort = intstr.FromInt32(1) }), nothing, true},
		{"somebody removed an item", edit(func(s *corev1.Service) { s.Spec.Ports = s.Spec.Ports[:1] }), nothing, true},
		{"another value is desired", untouched, func(s *corev1ac.ServiceApplyConfiguration) { s.Labels["team"] = "other" }, true},
		{"another field is desired", untouched, func(s *corev1ac.ServiceApplyConfiguration) {
			s.Spec.WithInternalTrafficPolicy(corev1.ServiceInternalTrafficPolicyLocal)
		}, true},
		{"a field is desired no more", untouched, func(s *corev1ac.ServiceApplyConfiguration) { s.Spec.SessionAffinity = nil }, true},
		{"a key is desired no more", untouched, func(s *corev1ac.ServiceApplyConfiguration) { delete(s.Labels, "team") }, true},
		{"an item is desired no more", untouched, func(s *corev1ac.ServiceApplyConfiguration) { s.Spec.Ports = s.Spec.Ports[:1] }, true},
		{"another item is desired", untouched, func(s *corev1ac.ServiceApplyConfiguration) {
			s.Spec.WithPorts(corev1ac.ServicePort().WithName("third").WithPort(82).WithProtocol(corev1.ProtocolTCP))
		}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			namespace, counted := server.Namespace(t), server.Count()
			var made corev1.Service
			if changed, err := Object(t.Context(), counted, counted, &made, service(namespace)); err != nil || !changed {
				t.Fatalf("make it: %t, %v", changed, err)
			}
			c.happens(t, made.DeepCopy())
			counted.Writes()
			desired := service(namespace)
			c.desired(desired)
			wanted, err := json.Marshal(desired.Spec)
			if err != nil {
				t.Fatal(err)
			}
			var got corev1.Service
			changed, err := Object(t.Context(), counted, counted, &got, desired)
			if err != nil {
				t.Fatal(err)
			}
			if changed != c.want || (counted.Writes() > 0) != c.want {
				t.Errorf("applied: %t, want %t", changed, c.want)
			}
			var spec corev1.ServiceSpec
			if err := json.Unmarshal(wanted, &spec); err != nil {
				t.Fatal(err)
			}
			if len(got.Spec.Ports) != len(spec.Ports) || got.Labels["team"] != desired.Labels["team"] {
				t.Errorf("what it gives is not what is there: %+v", got.Spec)
			}
			if diff := cmp.Diff(got.ResourceVersion, version(t, namespace)); diff != "" {
				t.Errorf("version that it gives (-gives +there):\n%s", diff)
			}
			again := service(namespace)
			c.desired(again)
			if changed, err := Object(t.Context(), counted, counted, &got, again); err != nil || changed {
				t.Errorf("applied once more: %t, %v", changed, err)
			}
		})
	}
}

func version(t *testing.T, namespace string) string {
	t.Helper()
	var s corev1.Service
	if err := server.Client.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: "bank"}, &s); err != nil {
		t.Fatal(err)
	}
	return s.ResourceVersion
}

func TestWhatSomebodyElseMadeIsLeftAlone(t *testing.T) {
	namespace := server.Namespace(t)
	theirs := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "bank"},
		Spec:       corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: 1}}},
	}
	if err := server.Client.Create(t.Context(), theirs); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name  string
		cache client.Client
	}{
		{"when it is in the cache", server.Client},
		// As a cache that holds the operator's objects alone.
		{"when it is not in the cache", elsewhere{server.Client}},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Object(t.Context(), c.cache, server.Client, &corev1.Service{}, service(namespace))
			if !errors.Is(err, ErrForeign) {
				t.Errorf("error is %v, want ErrForeign", err)
			}
			if got := version(t, namespace); got != theirs.ResourceVersion {
				t.Errorf("it was written")
			}
		})
	}
}

// elsewhere is a client whose reads find nothing.
type elsewhere struct{ client.Client }

func (e elsewhere) Get(ctx context.Context, key client.ObjectKey, o client.Object, options ...client.GetOption) error {
	key.Name += "-nowhere"
	return e.Client.Get(ctx, key, o, options...)
}

func TestAnObjectUnderTheSameOwnerIsTheOperators(t *testing.T) {
	namespace := server.Namespace(t)
	owner := metav1ac.OwnerReference().WithAPIVersion("leftfold.io/v1alpha1").WithKind("Runtime").WithName("bank").WithUID("u1").WithController(true)
	unlabelled := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "bank", OwnerReferences: []metav1.OwnerReference{{
			APIVersion: "leftfold.io/v1alpha1", Kind: "Runtime", Name: "bank", UID: "u1", Controller: new(true),
		}}},
		Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{Name: "first", Port: 1}}},
	}
	if err := server.Client.Create(t.Context(), unlabelled); err != nil {
		t.Fatal(err)
	}
	if _, err := Object(t.Context(), server.Client, server.Client, &corev1.Service{}, service(namespace).WithOwnerReferences(owner)); err != nil {
		t.Errorf("somebody took its labels away, and now it is refused: %v", err)
	}
}
