package shard

import (
	"slices"
	"testing"
	"time"

	leftfoldv1 "github.com/leftfold/leftfold/api/rpc/leftfold/v1"
	"github.com/leftfold/leftfold/api/v1alpha1"
	"github.com/leftfold/leftfold/controllers/placement"
)

// owner finds the pod that owns a shard.
func (w *world) owner(id placement.ShardID) *worldPod {
	owner := w.store.row(id).owner
	for _, p := range w.order {
		if p.process != nil && p.process.incarnation == owner {
			return p
		}
	}
	w.t.Fatalf("nobody owns %v", id)
	return nil
}

func (w *world) see1(id placement.ShardID) Shard {
	w.t.Helper()
	w.pass(2 * viewEvery)
	s, ok := w.shown().Shard(id.Aggregate, int32(id.Number))
	if !ok {
		w.t.Fatalf("the view has no %v", id)
	}
	return s
}

var panicked = leftfoldv1.FailureCause_FAILURE_CAUSE_PANICKED

func TestAShardThatFailsIsRestartedWhereItIs(t *testing.T) {
	inWorld(t, bank, func(w *world) {
		w.add(3, 1)
		w.pass(5 * time.Second)
		id := placement.ShardID{Aggregate: "account", Number: 3}
		at, before := w.owner(id), w.see1(id)
		at.process.fail(id, panicked, "index out of range")
		after := w.see1(id)
		if after.State != Owned || after.Owner != before.Owner || after.Epoch != before.Epoch+1 || after.Restarts != 1 {
			t.Errorf("before %+v, after %+v", before, after)
		}
		if f := after.LastFailover; f == nil || f.Reason != v1alpha1.FailoverShardFailed || f.Duration > time.Millisecond {
			t.Errorf("the failover is %+v", f)
		}
	})
}

func TestAShardThatFailsAgainGoesElsewhere(t *testing.T) {
	inWorld(t, bank, func(w *world) {
		w.add(3, 1)
		w.pass(5 * time.Second)
		id := placement.ShardID{Aggregate: "account", Number: 3}
		at := w.owner(id)
		at.process.with(func() {
			at.process.ails = func(other placement.ShardID) *leftfoldv1.ShardReport {
				if other != id {
					return nil
				}
				return &leftfoldv1.ShardReport{Cause: panicked, Detail: "again"}
			}
		})
		at.process.fail(id, panicked, "once")
		w.pass(2 * time.Second)
		after := w.see1(id)
		if after.State != Owned || after.Owner == at.process.incarnation || after.Restarts != 2 {
			t.Errorf("after it failed where it was: %+v", after)
		}
		w.pass(time.Minute)
		if now := w.see1(id); now.Owner == at.process.incarnation {
			t.Error("it was moved back to the pod that it failed on")
		}
	})
}

func TestAShardThatFailsEverywhereStallsUntilItsDefinitionChanges(t *testing.T) {
	inWorld(t, bank, func(w *world) {
		pods := w.add(3, 1)
		w.pass(5 * time.Second)
		id := placement.ShardID{Aggregate: "account", Number: 3}
		ails := func(other placement.ShardID) *leftfoldv1.ShardReport {
			if other != id {
				return nil
			}
			return &leftfoldv1.ShardReport{Cause: panicked, Detail: "a bug"}
		}
		for _, p := range pods {
			p.process.with(func() { p.process.ails = ails })
		}
		w.owner(id).process.fail(id, panicked, "a bug")
		w.pass(30 * time.Second)
		s := w.see1(id)
		if s.State != Stalled || s.Reason != v1alpha1.ReasonRestartsExhausted || s.Restarts != 5 || s.Message != "a bug" {
			t.Errorf("after 30 s: %+v", s)
		}
		epoch := w.store.row(id).epoch
		w.pass(10 * time.Minute)
		if got := w.store.row(id).epoch; got != epoch {
			t.Errorf("it was claimed %d times more", got-epoch)
		}

		for _, p := range pods {
			p.process.with(func() { p.process.ails = nil })
		}
		for _, p := range pods {
			p.process.define("account", 2)
		}
		w.pass(time.Second)
		if s := w.see1(id); s.State != Owned {
			t.Errorf("after its definition changed: %+v", s)
		}
	})
}

func TestAPodAllOfWhoseShardsFailIsDeleted(t *testing.T) {
	inWorld(t, bank, func(w *world) {
		pods := w.add(3, 1)
		w.pass(5 * time.Second)
		sick := pods[0].process
		sick.with(func() {
			sick.ails = func(placement.ShardID) *leftfoldv1.ShardReport {
				return &leftfoldv1.ShardReport{Cause: leftfoldv1.FailureCause_FAILURE_CAUSE_STORE_REFUSED, Detail: "no disk"}
			}
		})
		for _, id := range w.ownedBy(sick.incarnation) {
			sick.fail(id, leftfoldv1.FailureCause_FAILURE_CAUSE_STORE_REFUSED, "no disk")
		}
		w.pass(2 * time.Minute)
		if got := w.deletedPods(); !slices.Equal(got, []string{pods[0].pod.name}) {
			t.Errorf("deleted pods are %v", got)
		}
	})
}

func TestAPodThatIsNotReadyForLongIsDeleted(t *testing.T) {
	inWorld(t, bank, func(w *world) {
		pods := w.add(3, 1)
		w.pass(5 * time.Second)
		w.change(func() { pods[0].pod.ready = false })
		w.pass(50 * time.Second)
		if got := w.deletedPods(); len(got) > 0 {
			t.Errorf("%v were deleted after less than a minute", got)
		}
		w.pass(20 * time.Second)
		if got := w.deletedPods(); !slices.Equal(got, []string{pods[0].pod.name}) {
			t.Errorf("deleted pods are %v", got)
		}
	})
}

func TestAnAggregateThatComesIsServedAndOneThatGoesIsNot(t *testing.T) {
	inWorld(t, map[string]int{"account": 6}, func(w *world) {
		pods := w.add(3, 1)
		w.pass(5 * time.Second)
		w.store.add("loan", 6)
		for _, p := range pods {
			p.process.define("loan", 1)
		}
		w.pass(500 * time.Millisecond)
		w.wantOwned(pods...)
		if n := len(w.shown().ShardsOf("loan")); n != 6 {
			t.Errorf("loan has %d shards", n)
		}
		if d, ok := w.shown().Definition("Aggregate", "loan"); !ok || d.Accepted != 1 || d.UID != "uid-loan" {
			t.Errorf("the definition is %+v", d)
		}

		w.store.remove("loan")
		for _, p := range pods {
			p.process.define("loan", 0)
		}
		w.pass(500 * time.Millisecond)
		w.wantOwned(pods...)
		if _, ok := w.shown().Definition("Aggregate", "loan"); ok {
			t.Error("the definition that is gone is still shown")
		}
	})
}

func TestShardsGoToPodsThatHaveTheDefinition(t *testing.T) {
	inWorld(t, map[string]int{"account": 6}, func(w *world) {
		pods := w.add(3, 1)
		w.pass(5 * time.Second)
		w.store.add("loan", 6)
		pods[2].process.define("loan", 1)
		w.pass(time.Second)
		for _, s := range w.shown().ShardsOf("loan") {
			if s.Owner != pods[2].process.incarnation {
				t.Errorf("%s-%d is owned by %q", s.Aggregate, s.Number, s.Owner)
			}
		}
		if d, _ := w.shown().Definition("Aggregate", "loan"); d.Accepted != 0 || d.Observed != 1 {
			t.Errorf("while two pods have not seen it: %+v", d)
		}
		for _, p := range pods[:2] {
			p.process.define("loan", 1)
		}
		w.pass(5 * time.Second)
		for incarnation, n := range w.store.owners() {
			if n != 4 {
				t.Errorf("%s owns %d of 12", incarnation, n)
			}
		}
		if d, _ := w.shown().Definition("Aggregate", "loan"); d.Accepted != 1 {
			t.Errorf("when all have it: %+v", d)
		}
	})
}

func TestAPodThatComesBackWithoutADefinitionIsGrantedNoneOfItsShards(t *testing.T) {
	without := func(p *process) { p.with(func() { delete(p.definitions, "loan") }) }
	for name, back := range map[string]func(*world, *worldPod){
		"as another process": func(w *world, p *worldPod) {
			w.kill(p)
			w.revive(p, "bank-1-b")
			without(p.process)
		},
		"on another stream": func(_ *world, p *worldPod) {
			without(p.process)
			p.line.sever(broken)
		},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, map[string]int{"account": 6, "loan": 6}, func(w *world) {
				pods := w.add(3, 1)
				w.pass(5 * time.Second)
				before := map[placement.ShardID]bool{}
				for _, id := range w.ownedBy(pods[0].process.incarnation) {
					before[id] = true
				}
				back(w, pods[0])
				for _, lose := range []func(){func() {}, func() { w.kill(pods[1]) }} {
					lose()
					w.pass(5 * time.Second)
					p := pods[0].process
					for _, id := range w.ownedBy(p.incarnation) {
						if had := p.incarnation == "bank-1-a" && before[id]; id.Aggregate == "loan" && !had {
							t.Errorf("%s-%d went to %q", id.Aggregate, id.Number, p.incarnation)
						}
					}
				}
			})
		})
	}
}

func TestAProjectionThatOnlyGetsOnIsToldEveryTenSeconds(t *testing.T) {
	inWorld(t, map[string]int{"account": 2}, func(w *world) {
		w.add(1, 1)
		set := func(position string, paused bool) {
			w.store.mu.Lock()
			defer w.store.mu.Unlock()
			w.store.projections = []*leftfoldv1.SurveyedProjection{{Name: "balances", Table: "balances", Position: position, Paused: paused}}
		}
		set("0", false)
		w.pass(10 * time.Second)
		count := func() int {
			w.mu.Lock()
			defer w.mu.Unlock()
			n := 0
			for _, c := range w.changed {
				n += len(c.projections)
			}
			return n
		}
		before := count()
		for i := range 60 {
			set(string(rune('a'+i)), false)
			w.pass(time.Second)
		}
		if told := count() - before; told < 5 || told > 7 {
			t.Errorf("in a minute of way forward it was told %d times", told)
		}
		w.pass(15 * time.Second)
		before = count()
		set("z", true)
		w.pass(6 * time.Second)
		if told := count() - before; told != 1 {
			t.Errorf("that it is paused was told %d times", told)
		}
		if p, ok := w.shown().Projection("balances"); !ok || !p.Paused || p.Position != "z" {
			t.Errorf("the view has %+v", p)
		}
	})
}

func TestASteadyRuntimeChangesNothing(t *testing.T) {
	inWorld(t, bank, func(w *world) { w.wantSteady() })
}

// A network that is slow, and slow all the time, is none that has failed: neither a
// delay that no ping notices nor one of most of the heartbeat's timeout.
func TestASlowNetworkTakesNoShardFromAnybody(t *testing.T) {
	for _, delay := range []time.Duration{50 * time.Millisecond, 400 * time.Millisecond} {
		t.Run(delay.String(), func(t *testing.T) {
			inWorld(t, bank, func(w *world) {
				w.delay = delay
				w.wantSteady()
				w.wantOwned(w.order...)
			})
		})
	}
}

// wantSteady lets three pods share the shards, and fails if anything changes in the
// five minutes after that.
func (w *world) wantSteady() {
	w.t.Helper()
	w.add(3, 1)
	w.pass(30 * time.Second)
	epochs := w.store.epochs()
	w.mu.Lock()
	w.changed = nil
	w.mu.Unlock()
	w.pass(5 * time.Minute)
	if w.store.epochs() != epochs {
		w.t.Error("shards moved")
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range w.changed {
		if c.runtime || len(c.aggregates)+len(c.projections)+len(c.shards) > 0 {
			w.t.Errorf("the view changed: %+v", c)
		}
	}
}

func TestAShardWhoseStoreWentBackWaitsForAPerson(t *testing.T) {
	inWorld(t, bank, func(w *world) {
		w.add(3, 1)
		w.pass(5 * time.Second)
		id := placement.ShardID{Aggregate: "account", Number: 3}
		knows := w.owner(id)
		behind := leftfoldv1.FailureCause_FAILURE_CAUSE_STORE_WENT_BACK
		knows.process.with(func() {
			knows.process.ails = func(placement.ShardID) *leftfoldv1.ShardReport {
				return &leftfoldv1.ShardReport{Cause: behind, Detail: "acknowledged up to 12, found 10"}
			}
		})
		for _, each := range w.ownedBy(knows.process.incarnation) {
			knows.process.fail(each, behind, "acknowledged up to 12, found 10")
		}
		wantStalled := func(when string) {
			t.Helper()
			s := w.see1(id)
			if s.State != Stalled || s.Reason != v1alpha1.ReasonStoreWentBack ||
				s.Message != "Pod "+knows.pod.name+" says: acknowledged up to 12, found 10" {
				t.Errorf("%s: %+v", when, s)
			}
			if r := w.store.row(id); r.owner != knows.process.incarnation {
				t.Errorf("%s: %q has it", when, r.owner)
			}
		}
		epoch := w.store.row(id).epoch
		w.pass(10 * time.Minute)
		wantStalled("after 10 minutes")
		if got := w.store.row(id).epoch; got != epoch {
			t.Errorf("it was claimed %d times more", got-epoch)
		}
		w.newLeader(nil, time.Second)
		w.pass(time.Minute)
		wantStalled("under a new leader")
		for _, p := range w.order {
			p.process.define("account", 2)
		}
		w.pass(time.Minute)
		wantStalled("after its definition changed")
		if got := w.deletedPods(); len(got) > 0 {
			t.Errorf("deleted pods are %v", got)
		}

		w.kill(knows)
		w.pass(time.Second)
		if s := w.see1(id); s.State != Owned || s.Owner == knows.pod.name+"-a" {
			t.Errorf("without the process that knows: %+v", s)
		}
	})
}

// Who gives a shard away compares the store first, and keeps it when something is lost.
func TestAShardWhoseStoreWentBackIsNotMoved(t *testing.T) {
	inWorld(t, bank, func(w *world) {
		knows := w.add(1, 1)[0]
		w.pass(5 * time.Second)
		has := w.ownedBy(knows.process.incarnation)
		knows.process.with(func() {
			knows.process.ails = func(placement.ShardID) *leftfoldv1.ShardReport {
				return &leftfoldv1.ShardReport{
					Cause: leftfoldv1.FailureCause_FAILURE_CAUSE_STORE_WENT_BACK, Detail: "acknowledged up to 12, found 10",
				}
			}
		})
		w.add(2, 1)
		w.pass(time.Minute)
		stalled := 0
		for _, id := range has {
			if w.store.row(id).owner != knows.process.incarnation {
				t.Errorf("shard %v has moved", id)
			}
			if s := w.see1(id); s.State == Stalled && s.Reason == v1alpha1.ReasonStoreWentBack {
				stalled++
			}
		}
		if stalled == 0 || len(has) == 0 {
			t.Errorf("of %d shards %d were to move, and none says why it did not", len(has), stalled)
		}
	})
}

// Epochs repeat where the database fails over to a copy that has not heard of a claim;
// only tokens differ then. The owner gives the shard up as soon as it has looked.
func TestAClaimThatTheStoreForgotIsMadeAgain(t *testing.T) {
	inWorld(t, bank, func(w *world) {
		pods := w.add(3, 1)
		w.pass(5 * time.Second)
		id := placement.ShardID{Aggregate: "account", Number: 3}
		w.owner(id).process.fail(id, panicked, "once") // there is a claim before the last
		before := w.see1(id)
		owner := w.owner(id)
		w.store.forgetClaim(id)
		owner.process.with(func() {
			owner.process.report(&leftfoldv1.ShardReport{
				Shard: wireOf(id), State: leftfoldv1.ShardState_SHARD_STATE_RELEASED, Epoch: before.Epoch,
			})
		})
		w.pass(time.Second)
		after := w.see1(id)
		if after.State != Owned || after.Epoch != before.Epoch {
			t.Errorf("before %+v, after %+v", before, after)
		}
		w.wantOwned(pods...)
	})
}
