package runtime

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/leftfold/leftfold/api/identity"
	"github.com/leftfold/leftfold/api/v1alpha1"
	"github.com/leftfold/leftfold/controllers/internal/apitest"
	"github.com/leftfold/leftfold/controllers/internal/certificate"
	"github.com/leftfold/leftfold/controllers/shard"
)

// rig is a Reconciler in a namespace of its own, and what it works on.
type rig struct {
	*testing.T
	namespace string
	client    *apitest.Counted
	events    *events.FakeRecorder
	now       time.Time
	views     map[types.NamespacedName]shard.View
	*Reconciler
}

func newRig(t *testing.T) *rig {
	r := &rig{
		T: t, namespace: server.Namespace(t), client: server.Count(), events: events.NewFakeRecorder(100),
		now: time.Now().Truncate(time.Second), views: map[types.NamespacedName]shard.View{},
	}
	clock := func() time.Time { return r.now }
	keeper := certificate.NewKeeper(certificate.Config{
		Client: r.client, Reader: r.client, Namespace: r.namespace, Holder: identity.NewHolder(), Now: clock,
	})
	r.Reconciler = &Reconciler{
		Client: r.client, Live: r.client, Certificates: keeper, Views: r, Events: r.events,
		Image: "leftfold:1", Role: Role{Kind: "ClusterRole", Name: "leftfold-runtime"}, Now: clock,
	}
	return r
}

// View implements Views.
func (r *rig) View(runtime types.NamespacedName) (shard.View, bool) {
	v, ok := r.views[runtime]
	return v, ok
}

func (r *rig) create(objects ...client.Object) {
	r.Helper()
	for _, o := range objects {
		o.SetNamespace(r.namespace)
		if err := server.Client.Create(r.Context(), o); err != nil {
			r.Fatalf("create %T: %v", o, err)
		}
	}
}

func (r *rig) key(name string) client.ObjectKey {
	return client.ObjectKey{Namespace: r.namespace, Name: name}
}

// get reads the object of that name.
func get[T any, P interface {
	*T
	client.Object
}](r *rig, name string) P {
	r.Helper()
	o := P(new(T))
	if err := server.Client.Get(r.Context(), r.key(name), o); err != nil {
		r.Fatalf("read %T %s: %v", o, name, err)
	}
	return o
}

// absent fails when there is such an object.
func absent[T any, P interface {
	*T
	client.Object
}](r *rig, name string) {
	r.Helper()
	o := P(new(T))
	if err := server.Client.Get(r.Context(), r.key(name), o); client.IgnoreNotFound(err) != nil || err == nil {
		r.Errorf("%T %s: want none, got %v", o, name, err)
	}
}

// change writes an object as somebody else than the operator.
func change[T any, P interface {
	*T
	client.Object
}](r *rig, name string, with func(P)) {
	r.Helper()
	o := get[T, P](r, name)
	with(o)
	if err := server.Client.Update(r.Context(), o, client.FieldOwner("somebody")); err != nil {
		r.Fatalf("change %T %s: %v", o, name, err)
	}
}

// store makes an EventStore on PostgreSQL with its Secret, which is ready.
func (r *rig) store(name string) {
	r.Helper()
	r.create(
		&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: name + "-db"}, Data: map[string][]byte{"uri": []byte("postgres://somewhere/bank")}},
		&v1alpha1.EventStore{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: v1alpha1.EventStoreSpec{
			Postgres: &v1alpha1.PostgresStore{ConnectionSecretRef: v1alpha1.SecretKeyReference{Name: name + "-db"}},
		}})
	r.storeIs(name, metav1.ConditionTrue, v1alpha1.ReasonReady)
}

// storeIs sets the Ready condition of an EventStore.
func (r *rig) storeIs(name string, ready metav1.ConditionStatus, reason string) {
	r.Helper()
	store := get[v1alpha1.EventStore](r, name)
	store.Status.ObservedGeneration = store.Generation
	meta.SetStatusCondition(&store.Status.Conditions, metav1.Condition{Type: v1alpha1.ConditionReady, Status: ready, Reason: reason, Message: "words about " + reason})
	if err := server.Client.Status().Update(r.Context(), store); err != nil {
		r.Fatal(err)
	}
}

// bank makes a Runtime that is called bank on a store that is called ledger.
func (r *rig) bank(changes ...func(*v1alpha1.Runtime)) {
	r.Helper()
	runtime := &v1alpha1.Runtime{
		ObjectMeta: metav1.ObjectMeta{Name: "bank"},
		Spec:       v1alpha1.RuntimeSpec{StoreRef: v1alpha1.LocalReference{Name: "ledger"}, Replicas: new(int32(3))},
	}
	for _, change := range changes {
		change(runtime)
	}
	r.create(runtime)
}

// reconcile looks at the bank once.
func (r *rig) reconcile() ctrl.Result {
	r.Helper()
	result, err := r.Reconcile(r.Context(), ctrl.Request{NamespacedName: r.key("bank")})
	if err != nil {
		r.Fatalf("reconcile: %v", err)
	}
	return result
}

// deploymentIs plays the controller of Deployments: so many pods, of them so many
// of the newest revision, and so many ready.
func (r *rig) deploymentIs(pods, updated, ready int32, conditions ...appsv1.DeploymentCondition) {
	r.Helper()
	d := get[appsv1.Deployment](r, "bank")
	d.Status = appsv1.DeploymentStatus{
		ObservedGeneration: d.Generation, Replicas: pods, UpdatedReplicas: updated, ReadyReplicas: ready, AvailableReplicas: ready,
		Conditions: conditions,
	}
	if err := server.Client.Status().Update(r.Context(), d); err != nil {
		r.Fatal(err)
	}
}

// want fails unless the bank has this Ready condition, one of the words that
// kstatus has, and this in its message.
func (r *rig) want(reason string, kstatus status.Status, words ...string) {
	r.Helper()
	runtime := get[v1alpha1.Runtime](r, "bank")
	ready := meta.FindStatusCondition(runtime.Status.Conditions, v1alpha1.ConditionReady)
	if ready == nil {
		r.Fatalf("there is no Ready condition: %+v", runtime.Status)
	}
	if ready.Reason != reason {
		r.Errorf("reason is %s (%s), want %s", ready.Reason, ready.Message, reason)
	}
	for _, word := range words {
		if !strings.Contains(ready.Message, word) {
			r.Errorf("message %q lacks %q", ready.Message, word)
		}
	}
	if runtime.Status.ObservedGeneration != runtime.Generation {
		r.Errorf("observedGeneration is %d, want %d", runtime.Status.ObservedGeneration, runtime.Generation)
	}
	if got := kstatusOf(r.T, server.Scheme, runtime); got != kstatus {
		r.Errorf("kstatus is %s, want %s: %+v", got, kstatus, runtime.Status.Conditions)
	}
}

func kstatusOf(t *testing.T, scheme *runtime.Scheme, object client.Object) status.Status {
	t.Helper()
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(object)
	if err != nil {
		t.Fatal(err)
	}
	result, err := status.Compute(&unstructured.Unstructured{Object: content})
	if err != nil {
		t.Fatal(err)
	}
	return result.Status
}

// versions of all objects that there are, by kind and name.
func (r *rig) versions() map[string]string {
	r.Helper()
	versions := map[string]string{}
	for _, list := range []client.ObjectList{
		&v1alpha1.RuntimeList{}, &appsv1.DeploymentList{}, &corev1.ServiceList{}, &corev1.ServiceAccountList{}, &corev1.SecretList{},
		&policyv1.PodDisruptionBudgetList{}, &rbacv1.RoleBindingList{},
	} {
		if err := server.Client.List(r.Context(), list, client.InNamespace(r.namespace)); err != nil {
			r.Fatal(err)
		}
		_ = meta.EachListItem(list, func(item runtime.Object) error {
			o := item.(client.Object)
			versions[fmt.Sprintf("%T %s", o, o.GetName())] = o.GetResourceVersion()
			return nil
		})
	}
	return versions
}

// told gives the events so far.
func (r *rig) told() []string {
	var told []string
	for {
		select {
		case e := <-r.events.Events:
			told = append(told, e)
		default:
			return told
		}
	}
}

var _ Views = (*rig)(nil)
