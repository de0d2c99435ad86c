package aggregate

import (
	"flag"
	"os"
	"strings"
	"testing"

	kstatus "github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/leftfold/leftfold/api/v1alpha1"
	"github.com/leftfold/leftfold/controllers/internal/apitest"
	"github.com/leftfold/leftfold/controllers/shard"
)

var server *apitest.Server

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(apitest.Main(m, func(s *apitest.Server) { server = s }))
}

// rig is a Reconciler in a namespace of its own, with a Runtime that is called
// bank and an Aggregate that is called account.
type rig struct {
	*testing.T
	namespace string
	client    *apitest.Counted
	events    *events.FakeRecorder
	// view is what the Fleet sees of the bank; nil: nothing yet.
	view *shard.View
	*Reconciler
}

func newRig(t *testing.T) *rig {
	r := &rig{T: t, namespace: server.Namespace(t), client: server.Count(), events: events.NewFakeRecorder(100)}
	r.Reconciler = &Reconciler{Client: r.client, Views: r, Events: r.events}
	return r
}

// View implements Views.
func (r *rig) View(runtime types.NamespacedName) (shard.View, bool) {
	if r.view == nil || runtime.Name != "bank" {
		return shard.View{}, false
	}
	return *r.view, true
}

// Aggregates implements Views; tests call Reconcile themselves.
func (r *rig) Aggregates() source.Source { return nil }

func (r *rig) bank() {
	r.Helper()
	r.must(server.Client.Create(r.Context(), &v1alpha1.Runtime{
		ObjectMeta: metav1.ObjectMeta{Namespace: r.namespace, Name: "bank"},
		Spec:       v1alpha1.RuntimeSpec{StoreRef: v1alpha1.LocalReference{Name: "ledger"}},
	}))
}

// account makes an Aggregate of two shards.
func (r *rig) account(changes ...func(*v1alpha1.Aggregate)) *v1alpha1.Aggregate {
	r.Helper()
	a := &v1alpha1.Aggregate{
		ObjectMeta: metav1.ObjectMeta{Namespace: r.namespace, Name: "account"},
		Spec: v1alpha1.AggregateSpec{
			RuntimeRef: v1alpha1.LocalReference{Name: "bank"}, Shards: 2,
			State:  []v1alpha1.Field{{Name: "balance", Type: "int"}},
			Events: []v1alpha1.Event{{Name: "Deposited", Fields: []v1alpha1.Field{{Name: "amount", Type: "int"}}, Apply: map[string]v1alpha1.Expression{"balance": "state.balance + event.amount"}}},
		},
	}
	for _, change := range changes {
		change(a)
	}
	r.must(server.Client.Create(r.Context(), a))
	return a
}

func (r *rig) must(err error) {
	r.Helper()
	if err != nil {
		r.Fatal(err)
	}
}

// sees has the Fleet see a pod, a definition of the account that all pods have
// taken up, and two shards that are owned; changes make it another view.
func (r *rig) sees(changes ...func(*shard.View)) {
	r.Helper()
	a := r.read()
	v := &shard.View{
		Surveyed:    true,
		Members:     []shard.Member{{Incarnation: "1", Pod: "bank-x", Ready: true}},
		Definitions: []shard.Definition{{Kind: v1alpha1.KindAggregate, Name: "account", UID: a.UID, Observed: a.Generation, Accepted: a.Generation}},
		Shards: []shard.Shard{
			{Aggregate: "account", Number: 0, First: 0, Last: 32767, State: shard.Owned, Pod: "bank-x"},
			{Aggregate: "account", Number: 1, First: 32768, Last: 65535, State: shard.Owned, Pod: "bank-x"},
			{Aggregate: "other", Number: 0, First: 0, Last: 65535, State: shard.Unowned},
		},
	}
	for _, change := range changes {
		change(v)
	}
	r.view = v
}

func (r *rig) read() *v1alpha1.Aggregate {
	r.Helper()
	var a v1alpha1.Aggregate
	r.must(server.Client.Get(r.Context(), client.ObjectKey{Namespace: r.namespace, Name: "account"}, &a))
	return &a
}

func (r *rig) shards() []v1alpha1.Shard {
	r.Helper()
	var list v1alpha1.ShardList
	r.must(server.Client.List(r.Context(), &list, client.InNamespace(r.namespace)))
	return list.Items
}

func (r *rig) reconcile() {
	r.Helper()
	_, err := r.Reconcile(r.Context(), ctrl.Request{NamespacedName: types.NamespacedName{Namespace: r.namespace, Name: "account"}})
	r.must(err)
}

// want fails unless the account has this Ready condition, one of the words that
// kstatus has, and these in its message.
func (r *rig) want(reason string, status kstatus.Status, words ...string) {
	r.Helper()
	a := r.read()
	ready := meta.FindStatusCondition(a.Status.Conditions, v1alpha1.ConditionReady)
	if ready == nil {
		r.Fatalf("there is no Ready condition: %+v", a.Status)
	}
	if ready.Reason != reason {
		r.Errorf("reason is %s (%s), want %s", ready.Reason, ready.Message, reason)
	}
	for _, word := range words {
		if !strings.Contains(ready.Message, word) {
			r.Errorf("message %q lacks %q", ready.Message, word)
		}
	}
	if a.Status.ObservedGeneration != a.Generation {
		r.Errorf("observedGeneration is %d, want %d", a.Status.ObservedGeneration, a.Generation)
	}
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(a)
	r.must(err)
	result, err := kstatus.Compute(&unstructured.Unstructured{Object: content})
	r.must(err)
	if result.Status != status {
		r.Errorf("kstatus is %s, want %s: %+v", result.Status, status, a.Status.Conditions)
	}
}
