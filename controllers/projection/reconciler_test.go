package projection

import (
	"flag"
	"os"
	"strings"
	"testing"
	"time"

	kstatus "github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"github.com/google/go-cmp/cmp"
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

// rig is a Reconciler in a namespace of its own.
type rig struct {
	*testing.T
	namespace string
	client    *apitest.Counted
	// view is what the Fleet sees of Runtime bank; nil: nothing yet.
	view *shard.View
	*Reconciler
}

func newRig(t *testing.T) *rig {
	r := &rig{T: t, namespace: server.Namespace(t), client: server.Count()}
	r.Reconciler = &Reconciler{Client: r.client, Views: r, Events: events.NewFakeRecorder(100)}
	return r
}

// View implements Views.
func (r *rig) View(runtime types.NamespacedName) (shard.View, bool) {
	if r.view == nil || runtime.Name != "bank" {
		return shard.View{}, false
	}
	return *r.view, true
}

// Projections implements Views; tests call Reconcile themselves.
func (r *rig) Projections() source.Source { return nil }

func (r *rig) create(o client.Object) {
	r.Helper()
	o.SetNamespace(r.namespace)
	r.must(server.Client.Create(r.Context(), o))
}

func (r *rig) must(err error) {
	r.Helper()
	if err != nil {
		r.Fatal(err)
	}
}

func (r *rig) runtime(name, store string) {
	r.Helper()
	r.create(&v1alpha1.Runtime{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec:       v1alpha1.RuntimeSpec{StoreRef: v1alpha1.LocalReference{Name: store}},
	})
}

func (r *rig) aggregate(name, runtime, amount string) {
	r.Helper()
	r.create(&v1alpha1.Aggregate{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: v1alpha1.AggregateSpec{
			RuntimeRef: v1alpha1.LocalReference{Name: runtime}, Shards: 1,
			Events: []v1alpha1.Event{{Name: "Deposited", Fields: []v1alpha1.Field{{Name: "amount", Type: amount}}}},
		},
	})
}

// bank makes what a Projection needs: a Runtime and an Aggregate.
func (r *rig) bank() {
	r.Helper()
	r.runtime("bank", "ledger")
	r.aggregate("account", "bank", "int")
}

// balances makes a Projection of that name over the account, or over others.
func (r *rig) balances(name string, changes ...func(*v1alpha1.Projection)) *v1alpha1.Projection {
	r.Helper()
	p := &v1alpha1.Projection{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: v1alpha1.ProjectionSpec{
			Sources: []v1alpha1.Source{{Aggregate: "account"}},
			Table: &v1alpha1.Table{
				Name: "balances", Key: v1alpha1.Key{Name: "account", Type: "string", Value: "meta.entity"},
				Columns: []v1alpha1.Column{{Name: "balance", Type: "int"}},
				Apply:   []v1alpha1.Rule{{Event: "Deposited", Set: map[string]v1alpha1.Expression{"balance": "row.balance + event.amount"}}},
			},
		},
	}
	for _, change := range changes {
		change(p)
	}
	r.create(p)
	return p
}

// sees has the Fleet see a pod that serves the Projection, whose table follows.
func (r *rig) sees(changes ...func(*shard.Definition, *shard.Projection)) {
	r.Helper()
	p := r.read()
	definition := shard.Definition{Kind: v1alpha1.KindProjection, Name: "balances", UID: p.UID, Observed: p.Generation, Accepted: p.Generation}
	progress := shard.Projection{Name: "balances", Table: "balances", Position: "p1", LagEvents: 0}
	for _, change := range changes {
		change(&definition, &progress)
	}
	r.view = &shard.View{
		Surveyed: true, Members: []shard.Member{{Pod: "bank-x", Ready: true}},
		Definitions: []shard.Definition{definition}, Projections: []shard.Projection{progress},
	}
}

func (r *rig) read() *v1alpha1.Projection {
	r.Helper()
	var p v1alpha1.Projection
	r.must(server.Client.Get(r.Context(), client.ObjectKey{Namespace: r.namespace, Name: "balances"}, &p))
	return &p
}

func (r *rig) reconcile() {
	r.Helper()
	_, err := r.Reconcile(r.Context(), ctrl.Request{NamespacedName: types.NamespacedName{Namespace: r.namespace, Name: "balances"}})
	r.must(err)
}

// want fails unless the Projection has this Ready condition, one of the words that
// kstatus has, and these in its message.
func (r *rig) want(reason string, status kstatus.Status, words ...string) {
	r.Helper()
	p := r.read()
	ready := meta.FindStatusCondition(p.Status.Conditions, v1alpha1.ConditionReady)
	if ready == nil {
		r.Fatalf("there is no Ready condition: %+v", p.Status)
	}
	if ready.Reason != reason {
		r.Errorf("reason is %s (%s), want %s", ready.Reason, ready.Message, reason)
	}
	for _, word := range words {
		if !strings.Contains(ready.Message, word) {
			r.Errorf("message %q lacks %q", ready.Message, word)
		}
	}
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(p)
	r.must(err)
	result, err := kstatus.Compute(&unstructured.Unstructured{Object: content})
	r.must(err)
	if result.Status != status {
		r.Errorf("kstatus is %s, want %s: %+v", result.Status, status, p.Status.Conditions)
	}
}

func TestHowAProjectionFares(t *testing.T) {
	for _, c := range []struct {
		name    string
		arrange func(*rig)
		reason  string
		status  kstatus.Status
		words   []string
	}{
		{
			name:    "its source is not there",
			arrange: func(r *rig) { r.balances("balances") },
			reason:  v1alpha1.ReasonAggregateNotFound, status: kstatus.InProgressStatus, words: []string{"spec.sources[0].aggregate", `"account"`},
		}, {
			name: "its source has a mistake itself",
			arrange: func(r *rig) {
				r.runtime("bank", "ledger")
				r.aggregate("account", "bank", "Money")
				r.balances("balances")
			},
			reason: v1alpha1.ReasonAggregateNotReady, status: kstatus.InProgressStatus, words: []string{"spec.sources[0].aggregate", "Money"},
		}, {
			name: "its sources are of two Runtimes",
			arrange: func(r *rig) {
				r.bank()
				r.aggregate("loan", "other", "int")
				r.balances("balances", func(p *v1alpha1.Projection) {
					p.Spec.Sources = append(p.Spec.Sources, v1alpha1.Source{Aggregate: "loan"})
					p.Spec.Table.Apply[0].Aggregate = "account"
				})
			},
			reason: v1alpha1.ReasonSourcesApart, status: kstatus.FailedStatus, words: []string{"spec.sources[1].aggregate"},
		}, {
			name: "an expression does not compile",
			arrange: func(r *rig) {
				r.bank()
				r.balances("balances", func(p *v1alpha1.Projection) { p.Spec.Table.Apply[0].Set["balance"] = "event.amount == 1" })
			},
			reason: v1alpha1.ReasonInvalidExpression, status: kstatus.FailedStatus, words: []string{"spec.table.apply[0]"},
		}, {
			name: "an older Projection has its table",
			arrange: func(r *rig) {
				r.bank()
				r.balances("abacus")
				r.balances("balances")
			},
			reason: v1alpha1.ReasonTableNameTaken, status: kstatus.FailedStatus, words: []string{"spec.table.name", `"abacus"`},
		}, {
			name:    "nothing has been seen of the Runtime's pods",
			arrange: func(r *rig) { r.bank(); r.balances("balances") },
			reason:  v1alpha1.ReasonRuntimeNotReady, status: kstatus.InProgressStatus, words: []string{`"bank"`},
		}, {
			name: "no pod is ready",
			arrange: func(r *rig) {
				r.bank()
				r.balances("balances")
				r.sees()
				r.view.Members = nil
			},
			reason: v1alpha1.ReasonRuntimeNotReady, status: kstatus.InProgressStatus, words: []string{"no pod"},
		}, {
			name: "pods have not seen it",
			arrange: func(r *rig) {
				r.bank()
				r.balances("balances")
				r.sees(func(d *shard.Definition, _ *shard.Projection) { d.Observed, d.Accepted = 0, 0 })
			},
			reason: v1alpha1.ReasonProgressing, status: kstatus.InProgressStatus, words: []string{"have not taken up generation 1"},
		}, {
			name: "a table that is not Leftfold's has the name",
			arrange: func(r *rig) {
				r.bank()
				r.balances("balances")
				r.sees(func(d *shard.Definition, _ *shard.Projection) {
					d.Accepted, d.Reason, d.Message = 0, v1alpha1.ReasonTableNameTaken, "spec.table.name: there is such a table"
				})
			},
			reason: v1alpha1.ReasonTableNameTaken, status: kstatus.FailedStatus, words: []string{"there is such a table"},
		}, {
			name: "pods have not been told yet that its source is mended",
			arrange: func(r *rig) {
				r.bank()
				r.balances("balances")
				r.sees(func(d *shard.Definition, _ *shard.Projection) {
					d.Accepted, d.Reason, d.Message = 0, v1alpha1.ReasonAggregateNotReady, "spec.sources[0].aggregate: it does not compile"
				})
			},
			reason: v1alpha1.ReasonAggregateNotReady, status: kstatus.InProgressStatus, words: []string{"spec.sources[0].aggregate"},
		}, {
			name: "somebody paused it",
			arrange: func(r *rig) {
				r.bank()
				r.balances("balances")
				r.sees(func(_ *shard.Definition, p *shard.Projection) { p.Paused = true })
			},
			reason: v1alpha1.ReasonPaused, status: kstatus.InProgressStatus, words: []string{"leftfold projection resume balances"},
		}, {
			name: "entities are parked",
			arrange: func(r *rig) {
				r.bank()
				r.balances("balances")
				r.sees(func(_ *shard.Definition, p *shard.Projection) { p.Quarantined = 3 })
			},
			reason: v1alpha1.ReasonEntitiesQuarantined, status: kstatus.InProgressStatus, words: []string{"3 entities", "leftfold projection retry balances"},
		}, {
			name: "a changed definition is being built",
			arrange: func(r *rig) {
				r.bank()
				r.balances("balances")
				r.sees(func(_ *shard.Definition, p *shard.Projection) { p.Rebuilding = true })
			},
			reason: v1alpha1.ReasonRebuilding, status: kstatus.InProgressStatus,
		}, {
			name: "it has history to read",
			arrange: func(r *rig) {
				r.bank()
				r.balances("balances")
				r.sees(func(_ *shard.Definition, p *shard.Projection) { p.LagEvents, p.Lag = 1000, 2*freshAfter })
			},
			reason: v1alpha1.ReasonCatchingUp, status: kstatus.InProgressStatus,
		}, {
			name: "it has only young events to read, as under load",
			arrange: func(r *rig) {
				r.bank()
				r.balances("balances")
				r.sees(func(_ *shard.Definition, p *shard.Projection) { p.LagEvents, p.Lag = 1000, freshAfter/2 })
			},
			reason: v1alpha1.ReasonReady, status: kstatus.CurrentStatus,
		}, {
			name: "its table follows",
			arrange: func(r *rig) {
				r.bank()
				r.balances("balances")
				r.sees()
			},
			reason: v1alpha1.ReasonReady, status: kstatus.CurrentStatus, words: []string{"table balances"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t)
			c.arrange(r)
			r.reconcile()
			r.want(c.reason, c.status, c.words...)
			r.client.Writes()
			r.reconcile()
			if n := r.client.Writes(); n != 0 {
				t.Errorf("%d calls to write on another look, want none", n)
			}
		})
	}
}

func TestHowFarAProjectionIs(t *testing.T) {
	r := newRig(t)
	r.bank()
	r.balances("balances")
	r.sees(func(_ *shard.Definition, p *shard.Projection) {
		p.Position, p.LagEvents, p.Lag, p.Quarantined = "p7", 12, 2500*time.Millisecond, 1
	})
	r.reconcile()
	got := r.read().Status
	got.Conditions = nil
	want := v1alpha1.ProjectionStatus{
		ObservedGeneration: 1, AcceptedGeneration: 1, Table: "balances", Position: "p7",
		LagEvents: new(int64(12)), LagSeconds: new(int64(2)), QuarantinedEntities: new(int64(1)),
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("status (-want +got):\n%s", diff)
	}
}

func TestLoadAloneDoesNotMakeReadyGo(t *testing.T) {
	r := newRig(t)
	r.bank()
	r.balances("balances")
	r.sees()
	r.reconcile()
	r.sees(func(_ *shard.Definition, p *shard.Projection) { p.LagEvents, p.Lag = 5000, 2*freshAfter })
	r.reconcile()
	r.want(v1alpha1.ReasonReady, kstatus.CurrentStatus)
	r.sees(func(_ *shard.Definition, p *shard.Projection) { p.LagEvents, p.Lag = 500000, 2*staleAfter })
	r.reconcile()
	r.want(v1alpha1.ReasonCatchingUp, kstatus.InProgressStatus)
}

func TestANewLeaderLeavesTheStatusUntilItKnowsBetter(t *testing.T) {
	r := newRig(t)
	r.bank()
	r.balances("balances")
	r.sees()
	r.reconcile()
	r.client.Writes()
	for _, view := range []*shard.View{nil, {}} {
		r.view = view
		r.reconcile()
	}
	if n := r.client.Writes(); n != 0 {
		t.Errorf("%d calls to write, want none", n)
	}
	r.want(v1alpha1.ReasonReady, kstatus.CurrentStatus)
}

func TestATableThatBecomesFreeIsTaken(t *testing.T) {
	r := newRig(t)
	r.bank()
	older := r.balances("abacus")
	r.balances("balances")
	r.reconcile()
	r.want(v1alpha1.ReasonTableNameTaken, kstatus.FailedStatus)
	r.must(server.Client.Delete(t.Context(), older))
	r.sees()
	r.reconcile()
	r.want(v1alpha1.ReasonReady, kstatus.CurrentStatus)
}
