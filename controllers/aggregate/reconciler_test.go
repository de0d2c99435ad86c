package aggregate

import (
	"testing"

	kstatus "github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/leftfold/leftfold/api/v1alpha1"
	"github.com/leftfold/leftfold/controllers/shard"
)

func TestHowAnAggregateFares(t *testing.T) {
	definition := func(change func(*shard.Definition)) func(*shard.View) {
		return func(v *shard.View) { change(&v.Definitions[0]) }
	}
	for _, c := range []struct {
		name    string
		arrange func(*rig)
		reason  string
		status  kstatus.Status
		words   []string
		// accepted generation and owned shards as the status has them.
		accepted int64
		owned    *int32
	}{
		{
			name:    "its Runtime is not there",
			arrange: func(r *rig) { r.account() },
			reason:  v1alpha1.ReasonRuntimeNotFound, status: kstatus.InProgressStatus, words: []string{"spec.runtimeRef.name", `"bank"`},
		}, {
			name: "an expression does not compile, whether there is a Runtime or not",
			arrange: func(r *rig) {
				r.account(func(a *v1alpha1.Aggregate) { a.Spec.Events[0].Apply["balance"] = "state.balance + 'x'" })
			},
			reason: v1alpha1.ReasonInvalidExpression, status: kstatus.FailedStatus, words: []string{"spec.events[0].apply"},
		}, {
			name: "a type is none",
			arrange: func(r *rig) {
				r.bank()
				r.account(func(a *v1alpha1.Aggregate) { a.Spec.State[0].Type = "Money" })
				r.sees()
			},
			reason: v1alpha1.ReasonInvalidType, status: kstatus.FailedStatus, words: []string{"spec.state[0].type", "Money"},
			accepted: 1, owned: new(int32(2)),
		}, {
			name:    "nothing has been seen of the Runtime's pods",
			arrange: func(r *rig) { r.bank(); r.account() },
			reason:  v1alpha1.ReasonRuntimeNotReady, status: kstatus.InProgressStatus, words: []string{`"bank"`},
		}, {
			name: "no pod is ready",
			arrange: func(r *rig) {
				r.bank()
				r.account()
				r.sees(func(v *shard.View) { v.Members, v.Definitions, v.Shards = nil, nil, nil })
			},
			reason: v1alpha1.ReasonRuntimeNotReady, status: kstatus.InProgressStatus, words: []string{`no pod of Runtime "bank" is ready`}, owned: new(int32(0)),
		}, {
			name: "pods have not seen it",
			arrange: func(r *rig) {
				r.bank()
				r.account()
				r.sees(func(v *shard.View) { v.Definitions, v.Shards = nil, nil })
			},
			reason: v1alpha1.ReasonProgressing, status: kstatus.InProgressStatus, words: []string{"have not taken up generation 1"}, owned: new(int32(0)),
		}, {
			name: "what pods have told is of an object of the name that was before it",
			arrange: func(r *rig) {
				r.bank()
				r.account()
				r.sees(definition(func(d *shard.Definition) { d.UID = "before" }))
			},
			reason: v1alpha1.ReasonProgressing, status: kstatus.InProgressStatus, owned: new(int32(2)),
		}, {
			name: "history needs what the new generation takes away",
			arrange: func(r *rig) {
				r.bank()
				r.account()
				r.sees(definition(func(d *shard.Definition) {
					d.Accepted, d.Reason, d.Message = 0, v1alpha1.ReasonHistoryNeedsIt, "spec.events[0]: stored events are of it"
				}))
			},
			reason: v1alpha1.ReasonHistoryNeedsIt, status: kstatus.FailedStatus, words: []string{"spec.events[0]: stored events are of it"}, owned: new(int32(2)),
		}, {
			name: "the store does not answer the pods",
			arrange: func(r *rig) {
				r.bank()
				r.account()
				r.sees(definition(func(d *shard.Definition) {
					d.Accepted, d.Reason, d.Message = 0, v1alpha1.ReasonStoreUnreachable, "no answer"
				}))
			},
			reason: v1alpha1.ReasonStoreUnreachable, status: kstatus.InProgressStatus, words: []string{"no answer"}, owned: new(int32(2)),
		}, {
			name: "a shard has no owner",
			arrange: func(r *rig) {
				r.bank()
				r.account()
				r.sees(func(v *shard.View) { v.Shards[1].State, v.Shards[1].Pod = shard.Claiming, "" })
			},
			reason: v1alpha1.ReasonShardsNotOwned, status: kstatus.InProgressStatus, words: []string{"1 of 2 shards"}, accepted: 1, owned: new(int32(1)),
		}, {
			name: "the store has no shards of it yet",
			arrange: func(r *rig) {
				r.bank()
				r.account()
				r.sees(func(v *shard.View) { v.Shards = nil })
			},
			reason: v1alpha1.ReasonShardsNotOwned, status: kstatus.InProgressStatus, words: []string{"0 of 2 shards"}, accepted: 1, owned: new(int32(0)),
		}, {
			name: "a shard failed after every restart",
			arrange: func(r *rig) {
				r.bank()
				r.account()
				r.sees(func(v *shard.View) {
					s := &v.Shards[1]
					s.State, s.Reason, s.Message = shard.Stalled, v1alpha1.ReasonRestartsExhausted, "apply panicked"
				})
			},
			reason: v1alpha1.ReasonRestartsExhausted, status: kstatus.FailedStatus, words: []string{"shard 1", "apply panicked"}, accepted: 1, owned: new(int32(1)),
		}, {
			name: "the store has lost events of a shard",
			arrange: func(r *rig) {
				r.bank()
				r.account()
				r.sees(func(v *shard.View) {
					s := &v.Shards[1]
					s.State, s.Reason, s.Message = shard.Stalled, v1alpha1.ReasonStoreWentBack, "Pod bank-x says: found 10"
				})
			},
			reason: v1alpha1.ReasonStoreWentBack, status: kstatus.FailedStatus,
			words: []string{"shard 1", "delete the pod", "Pod bank-x says: found 10"}, accepted: 1, owned: new(int32(1)),
		}, {
			name: "a shard moves as planned, which callers hardly notice",
			arrange: func(r *rig) {
				r.bank()
				r.account()
				r.sees(func(v *shard.View) { v.Shards[1].State = shard.HandingOff })
			},
			reason: v1alpha1.ReasonReady, status: kstatus.CurrentStatus, words: []string{"generation 1 serves on 2 shards"}, accepted: 1, owned: new(int32(2)),
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t)
			c.arrange(r)
			r.reconcile()
			r.want(c.reason, c.status, c.words...)
			got := r.read().Status
			if got.AcceptedGeneration != c.accepted {
				t.Errorf("acceptedGeneration is %d, want %d", got.AcceptedGeneration, c.accepted)
			}
			if diff := cmp.Diff(c.owned, got.OwnedShards); diff != "" {
				t.Errorf("ownedShards (-want +got):\n%s", diff)
			}
			r.client.Writes()
			r.reconcile()
			if n := r.client.Writes(); n != 0 {
				t.Errorf("%d calls to write on another look, want none", n)
			}
		})
	}
}

func TestTheGenerationThatServesIsTold(t *testing.T) {
	r := newRig(t)
	r.bank()
	r.account()
	r.sees()
	r.reconcile()
	r.want(v1alpha1.ReasonReady, kstatus.CurrentStatus)
	a := r.read()
	a.Spec.Events[0].Fields = nil
	a.Spec.Events[0].Apply = nil
	r.must(server.Client.Update(t.Context(), a))
	r.reconcile()
	r.want(v1alpha1.ReasonProgressing, kstatus.InProgressStatus, "generation 2")
	r.sees(func(v *shard.View) { v.Definitions[0].Accepted = 1 })
	r.reconcile()
	r.want(v1alpha1.ReasonProgressing, kstatus.InProgressStatus, "generation 2 serves on some pods, 1 still on others")
	r.sees(func(v *shard.View) {
		v.Definitions[0].Accepted, v.Definitions[0].Reason, v.Definitions[0].Message = 1, v1alpha1.ReasonHistoryNeedsIt, "spec.events[0].fields"
	})
	r.reconcile()
	r.want(v1alpha1.ReasonHistoryNeedsIt, kstatus.FailedStatus)
	if got := r.read().Status.AcceptedGeneration; got != 1 {
		t.Errorf("acceptedGeneration is %d, want 1", got)
	}
	told := []string{}
	for len(r.events.Events) > 0 {
		told = append(told, <-r.events.Events)
	}
	want := []string{
		"Normal Ready generation 1 serves on 2 shards",
		`Normal Progressing the pods of Runtime "bank" have not taken up generation 2 yet`,
		"Warning HistoryNeedsIt spec.events[0].fields",
	}
	if diff := cmp.Diff(want, told); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
}

func TestANewLeaderLeavesTheStatusUntilItKnowsBetter(t *testing.T) {
	r := newRig(t)
	r.bank()
	r.account()
	r.sees()
	r.reconcile()
	before := r.read()
	r.client.Writes()
	for _, view := range []*shard.View{nil, {}} {
		r.view = view
		r.reconcile()
	}
	if n := r.client.Writes(); n != 0 {
		t.Errorf("%d calls to write, want none", n)
	}
	if diff := cmp.Diff(before.Status, r.read().Status); diff != "" {
		t.Errorf("status (-before +after):\n%s", diff)
	}
	if n := len(r.shards()); n != 2 {
		t.Errorf("there are %d Shards, want the 2 from before", n)
	}
}

func TestShardsAreMadeFromWhatTheStoreHas(t *testing.T) {
	r := newRig(t)
	r.bank()
	a := r.account()
	r.sees()
	r.reconcile()
	want := map[string]v1alpha1.ShardSpec{
		"account-0": {AggregateRef: v1alpha1.AggregateReference{Name: "account"}, ID: 0, Slots: v1alpha1.SlotRange{First: 0, Last: 32767}},
		"account-1": {AggregateRef: v1alpha1.AggregateReference{Name: "account"}, ID: 1, Slots: v1alpha1.SlotRange{First: 32768, Last: 65535}},
	}
	got := map[string]v1alpha1.ShardSpec{}
	for _, s := range r.shards() {
		got[s.Name] = s.Spec
		if !metav1.IsControlledBy(&s, a) {
			t.Errorf("Shard %s is not the Aggregate's, and would stay behind", s.Name)
		}
		if diff := cmp.Diff(v1alpha1.ShardLabels("account", "bank"), s.Labels); diff != "" {
			t.Errorf("labels of %s (-want +got):\n%s", s.Name, diff)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Shards (-want +got):\n%s", diff)
	}
}

func TestAShardThatIsNotAsItShouldBeIsMended(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*rig, *v1alpha1.Shard)
	}{
		{"somebody deleted it", func(r *rig, s *v1alpha1.Shard) { r.must(server.Client.Delete(r.Context(), s)) }},
		{"somebody changed its labels", func(r *rig, s *v1alpha1.Shard) {
			s.Labels[v1alpha1.LabelRuntime] = "another"
			r.must(server.Client.Update(r.Context(), s, client.FieldOwner("somebody")))
		}},
		{"it has other slots than the store", func(r *rig, s *v1alpha1.Shard) {
			r.must(server.Client.Delete(r.Context(), s))
			s.ResourceVersion, s.UID, s.Spec.Slots.Last = "", "", 7
			r.must(server.Client.Create(r.Context(), s))
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t)
			r.bank()
			r.account()
			r.sees()
			r.reconcile()
			c.change(r, &r.shards()[0])
			r.reconcile()
			r.reconcile() // one that is deleted is made on the next look
			shards := r.shards()
			if len(shards) != 2 || shards[0].Spec.Slots.Last != 32767 || shards[0].Labels[v1alpha1.LabelRuntime] != "bank" {
				t.Errorf("Shards are %+v", shards)
			}
		})
	}
}

func TestAShardThatTheStoreDoesNotHaveGoes(t *testing.T) {
	r := newRig(t)
	r.bank()
	r.account()
	r.sees()
	r.reconcile()
	r.sees(func(v *shard.View) { v.Shards = v.Shards[:1] })
	r.reconcile()
	if shards := r.shards(); len(shards) != 1 || shards[0].Name != "account-0" {
		t.Errorf("Shards are %+v, want account-0 alone", shards)
	}
}

func TestNothingHoldsUpADeletion(t *testing.T) {
	r := newRig(t)
	r.bank()
	r.account()
	r.sees()
	r.reconcile()
	a := r.read()
	if len(a.Finalizers) > 0 {
		t.Errorf("there are finalizers %v", a.Finalizers)
	}
	r.must(server.Client.Delete(t.Context(), a))
	r.client.Writes()
	r.reconcile()
	if n := r.client.Writes(); n != 0 {
		t.Errorf("%d calls to write for an object that is gone", n)
	}
}
