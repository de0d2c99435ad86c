package shard

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/leftfold/leftfold/api/v1alpha1"
)

// fixedView shows always the same.
type fixedView struct{ view View }

func (v *fixedView) View(key types.NamespacedName) (View, bool) { return v.view, key == bankRuntime }
func (v *fixedView) Shards() source.Source                      { return (&outlet{}).source() }

// account3 is a Shard object as the Aggregate's reconciler makes it.
func account3() *v1alpha1.Shard {
	return &v1alpha1.Shard{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "shop", Name: "account-3", Generation: 1, Labels: v1alpha1.ShardLabels("account", "bank"),
		},
		Spec: v1alpha1.ShardSpec{
			AggregateRef: v1alpha1.AggregateReference{Name: "account"}, ID: 3,
			Slots: v1alpha1.SlotRange{First: 12288, Last: 16383},
		},
		Status: v1alpha1.ShardStatus{ObservedGeneration: -1},
	}
}

// reconciled is the object after the reconciler has seen a view, and was called
// once more.
func reconciled(t *testing.T, object *v1alpha1.Shard, view View) *v1alpha1.Shard {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	c := fake.NewClientBuilder().WithScheme(scheme).WithObjects(object).WithStatusSubresource(object).Build()
	r := &Reconciler{Client: c, Views: &fixedView{view}}
	versions := [2]string{}
	after := &v1alpha1.Shard{}
	for i := range versions {
		request := reconcile.Request{NamespacedName: client.ObjectKeyFromObject(object)}
		if _, err := r.Reconcile(context.Background(), request); err != nil {
			t.Fatal(err)
		}
		if err := c.Get(context.Background(), request.NamespacedName, after); err != nil {
			t.Fatal(err)
		}
		versions[i] = after.ResourceVersion
	}
	if versions[0] != versions[1] {
		t.Error("what had not changed was written again")
	}
	return after
}

func viewOf(s Shard) View {
	s.Aggregate, s.Number, s.First, s.Last = "account", 3, 12288, 16383
	return View{Surveyed: true, Shards: []Shard{s}}
}

func TestTheStatusOfAShardFollowsTheView(t *testing.T) {
	cases := []struct {
		name       string
		seen       Shard
		owner      *v1alpha1.ShardOwner
		conditions map[string]string // type to status and reason
	}{
		{
			"one that is served is ready",
			Shard{State: Owned, Reason: v1alpha1.ReasonOwned, Pod: "bank-x", Node: "n1", Owner: "i", Epoch: 7},
			&v1alpha1.ShardOwner{Pod: "bank-x", Node: "n1"},
			map[string]string{"Ready": "True Owned"},
		},
		{
			"one that is being taken over is on its way",
			Shard{State: Claiming, Reason: v1alpha1.ReasonClaiming, Epoch: 7},
			nil,
			map[string]string{"Ready": "False Claiming", "Reconciling": "True Claiming"},
		},
		{
			"one that is handed off still has its owner",
			Shard{State: HandingOff, Reason: v1alpha1.ReasonHandingOff, Pod: "bank-x", Owner: "i", Epoch: 7},
			&v1alpha1.ShardOwner{Pod: "bank-x"},
			map[string]string{"Ready": "False HandingOff", "Reconciling": "True HandingOff"},
		},
		{
			"one that nobody serves is not ready, and nothing is wrong with it",
			Shard{State: Unowned, Reason: v1alpha1.ReasonUnowned, Epoch: 7},
			nil,
			map[string]string{"Ready": "False Unowned"},
		},
		{
			"one that fails wherever it is tried needs a person",
			Shard{State: Stalled, Reason: v1alpha1.ReasonRestartsExhausted, Epoch: 12, Restarts: 5, Message: "a bug"},
			nil,
			map[string]string{"Ready": "False RestartsExhausted", "Stalled": "True RestartsExhausted"},
		},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			before := account3()
			// Whatever was said before.
			before.Status.Conditions = []metav1.Condition{
				{Type: "Ready", Status: "Unknown", Reason: "Was", LastTransitionTime: metav1.NewTime(time.Unix(1, 0))},
				{Type: "Stalled", Status: "True", Reason: "Was", LastTransitionTime: metav1.NewTime(time.Unix(1, 0))},
				{Type: "Reconciling", Status: "True", Reason: "Was", LastTransitionTime: metav1.NewTime(time.Unix(1, 0))},
			}
			status := reconciled(t, before, viewOf(c.seen)).Status
			got := map[string]string{}
			for _, condition := range status.Conditions {
				got[condition.Type] = string(condition.Status) + " " + condition.Reason
				if condition.Message == "" || condition.ObservedGeneration != 1 {
					t.Errorf("%+v says nothing, or of another generation", condition)
				}
			}
			if diff := cmp.Diff(c.conditions, got); diff != "" {
				t.Errorf("conditions (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(c.owner, status.Owner); diff != "" {
				t.Errorf("owner (-want +got):\n%s", diff)
			}
			if *status.Epoch != c.seen.Epoch || *status.Restarts != c.seen.Restarts || status.ObservedGeneration != 1 {
				t.Errorf("epoch %d, restarts %d, generation %d", *status.Epoch, *status.Restarts, status.ObservedGeneration)
			}
		})
	}
}

func TestAFailoverOutlivesTheOperatorInTheStatus(t *testing.T) {
	detected := time.Date(2026, 1, 1, 0, 0, 0, 500_000_000, time.UTC)
	failover := &Failover{
		Reason: v1alpha1.FailoverProcessDied, Detected: detected, Recovered: detected.Add(87 * time.Millisecond),
		Duration: 87 * time.Millisecond,
	}
	seen := Shard{State: Owned, Reason: v1alpha1.ReasonOwned, Pod: "bank-x", Owner: "i", Epoch: 7, LastFailover: failover}
	object := reconciled(t, account3(), viewOf(seen))
	back := failoverOf(object.Status.LastFailover)
	if back.Reason != failover.Reason || back.Duration != failover.Duration || !back.Detected.Equal(detected.Truncate(time.Second)) {
		t.Errorf("read back: %+v", back)
	}
	seen.LastFailover = back
	if again := reconciled(t, object, viewOf(seen)); !cmp.Equal(again.Status, object.Status) {
		t.Errorf("the next operator writes another status: %s", cmp.Diff(object.Status, again.Status))
	}
}

func TestWhatTheViewDoesNotKnowStaysAsItIs(t *testing.T) {
	owned := Shard{State: Owned, Reason: v1alpha1.ReasonOwned, Pod: "bank-x", Epoch: 7}
	early := viewOf(owned)
	early.Surveyed = false
	deserted := account3()
	deserted.Labels[v1alpha1.LabelRuntime] = "other"
	cases := []struct {
		name   string
		object *v1alpha1.Shard
		view   View
	}{
		{"while pods have not told what they know", account3(), early},
		{"when the store has no such shard", account3(), View{Surveyed: true}},
		{"of a Runtime that was not looked at", deserted, viewOf(owned)},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			after := reconciled(t, c.object, c.view)
			if meta.FindStatusCondition(after.Status.Conditions, "Ready") != nil || after.Status.Owner != nil {
				t.Errorf("the status is %+v", after.Status)
			}
		})
	}
}
