package shard_test

import (
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leftfold/leftfold/runtime/behavior"
	"github.com/leftfold/leftfold/runtime/eventstore"
	"github.com/leftfold/leftfold/runtime/problem"
	"github.com/leftfold/leftfold/runtime/shard"
)

// faulty is a bank whose code can be made to fail where the pipeline has no
// answer to it: on the shard's own goroutine.
type faulty struct {
	bank
	size   func()
	decide func(entity string)
}

func (f *faulty) Size(s behavior.State) int {
	if f.size != nil {
		f.size()
	}
	return f.bank.Size(s)
}

func (f *faulty) Decide(s behavior.State, c behavior.Command, m behavior.Meta) ([]behavior.Event, error) {
	if f.decide != nil {
		f.decide(m.Entity)
	}
	return f.bank.Decide(s, c, m)
}

func behaving(f *faulty) option {
	f.unit = "balance"
	return define(func(d *shard.Definition) { d.Behavior = f })
}

// neighbour opens a shard of another aggregate on the same host.
func (r *rig) neighbour() *shard.Shard {
	r.t.Helper()
	a, err := r.store.EnsureAggregate(r.t.Context(), "neighbour", 1)
	if err != nil {
		r.t.Fatal(err)
	}
	s, err := r.host.Open(r.t.Context(), shard.Spec{
		ID: eventstore.ShardID{Aggregate: a.ID}, Aggregate: "neighbour", Definition: shard.Definition{Behavior: bank{unit: "balance"}},
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return s
}

func TestOpenClaimsOnlyFromTheExpectedEpoch(t *testing.T) {
	r := newRig(t)
	other := r.another()
	now := other.s.Lease().Epoch
	wantNotOwner(t, <-r.lost) // it has noticed, and may open the shard again
	for name, expected := range map[string]int64{"an old epoch": now - 1, "one that is to come": now + 1} {
		_, err := r.host.Open(t.Context(), shard.Spec{ID: r.id, Expected: &expected, Aggregate: "account", Definition: r.def})
		var refused *shard.ClaimRefusedError
		if !errors.As(err, &refused) || !errors.Is(err, shard.ErrNotOwner) {
			t.Fatalf("%s: got %v, want a refusal", name, err)
		}
		if refused.Row.Epoch != now || refused.Row.Owner != "host-b" || refused.Row.Address != "host-b:1" {
			t.Errorf("%s: the refusal tells of %+v", name, refused.Row)
		}
	}
	s, err := r.host.Open(t.Context(), shard.Spec{ID: r.id, Expected: &now, Aggregate: "account", Definition: r.def})
	if err != nil || s.Lease().Epoch != now+1 {
		t.Fatalf("from the right epoch: %v", err)
	}
	<-s.CaughtUp()
}

func TestAPanicEndsItsShardAndNothingElse(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var broken bool
		r := newRig(t, behaving(&faulty{size: func() {
			if broken {
				panic("boom")
			}
		}}))
		r.must("a", "Open", "")
		neighbour := r.neighbour()
		ctx := t.Context()

		g := r.gate()
		r.store.set(func() {
			r.store.append = func(_ []eventstore.Batch, next func() []eventstore.AppendResult) []eventstore.AppendResult {
				g.pass()
				return next()
			}
		})
		sent := r.start(ctx, r.command("a", "Deposit", `{"amount":5}`))
		<-g.arrived
		decided := r.start(ctx, r.command("a", "Deposit", `{"amount":7}`))
		synctest.Wait()
		broken = true
		g.open()

		// What the store has is not known any more; what came later did not run.
		wantReason(t, sent.wait().err, problem.OutcomeUnknown)
		wantNotOwner(t, decided.wait().err)
		if err := <-r.lost; !errors.Is(err, shard.ErrPanicked) {
			t.Fatalf("the shard ended with %v", err)
		}
		broken = false
		r.store.set(func() { r.store.append = nil })
		wantNotOwner(t, r.send(r.command("a", "Deposit", `{"amount":9}`)).err)
		if _, err := neighbour.Handle(ctx, shard.Command{Entity: "n", Name: "Open", ID: "1"}); err != nil {
			t.Errorf("a neighbour failed too: %v", err)
		}
		r.open()
		if got := r.balance("a"); got != 5 {
			t.Errorf("the balance after the restart is %d, want 5", got)
		}
	})
}

// A behaviour that panics is the command's own failure; here it is the pipeline's
// own code, on which no net of the kind is spread.
func TestTheCommandInWhoseDecisionTheShardPanickedIsToldForGood(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var asked atomic.Int64
		r := newRig(t, func(c *shard.Config, _ *shard.Definition) {
			c.Now = func() time.Time {
				if asked.Add(-1) == 0 {
					panic("boom")
				}
				return time.Now()
			}
		})
		r.must("a", "Open", "")
		synctest.Wait()
		asked.Store(2) // the turn asks first, and then the decision
		wantReason(t, r.send(r.command("a", "Deposit", `{"amount":5}`)).err, problem.BehaviorFailed)
		if err := <-r.lost; !errors.Is(err, shard.ErrPanicked) {
			t.Fatalf("the shard ended with %v", err)
		}
		r.open()
		if got := r.types("a"); len(got) != 1 {
			t.Errorf("the log has %v", got)
		}
	})
}

func TestALoadThatPanicsFailsItsEntityAlone(t *testing.T) {
	r := newRig(t)
	r.must("sound", "Open", "")
	r.store.set(func() {
		r.store.readEntity = func(entity string, next func() ([]eventstore.Event, error)) ([]eventstore.Event, error) {
			if entity == "rotten" {
				panic("boom")
			}
			return next()
		}
	})
	wantReason(t, r.send(r.command("rotten", "Open", "")).err, problem.BehaviorFailed)
	r.must("sound", "Deposit", `{"amount":1}`)
}

func TestAShardThatDoesNotGetOnIsGivenUp(t *testing.T) {
	bubble(t, func(t *testing.T) {
		hang, free := make(chan struct{}, 1), make(chan struct{})
		r := newRig(t, behaving(&faulty{decide: func(entity string) {
			if entity == "slow" {
				select {
				case hang <- struct{}{}:
					<-free
				default: // only the first one
				}
			}
		}}))
		r.must("a", "Open", "")
		neighbour := r.neighbour()
		stuck := r.start(t.Context(), r.command("slow", "Open", ""))
		<-hang
		behind := r.start(t.Context(), r.command("a", "Deposit", `{"amount":1}`))
		begun := time.Now()
		if err := <-r.lost; !errors.Is(err, shard.ErrStuck) {
			t.Fatalf("the shard ended with %v", err)
		}
		if took := time.Since(begun); took < 10*time.Second || took > 13*time.Second {
			t.Errorf("it was given up after %s", took)
		}
		wantReason(t, stuck.wait().err, problem.OutcomeUnknown)
		wantNotOwner(t, behind.wait().err)
		select {
		case <-neighbour.Done():
			t.Error("a neighbour was given up too")
		default:
		}

		r.open()
		r.must("a", "Deposit", `{"amount":3}`)
		close(free) // the old goroutine goes on, under a lease that is void
		synctest.Wait()
		if got := r.events("slow"); len(got) != 0 {
			t.Errorf("the old goroutine wrote %d events", len(got))
		}
		r.must("slow", "Open", "")
		if got := r.balance("a"); got != 3 {
			t.Errorf("the balance is %d, want 3", got)
		}
	})
}

func TestTheLoadIsTheEventsASecondOfTheLastMinute(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		r.must("a", "Open", "")
		second := func(deposits int) {
			for range deposits {
				r.must("a", "Deposit", `{"amount":1}`)
			}
			time.Sleep(time.Second)
			synctest.Wait()
		}
		for range 5 {
			second(10)
		}
		if got := r.s.Load(); got < 8 || got > 12 {
			t.Errorf("after seconds with 10 events each the load is %.1f", got)
		}
		for range 300 {
			second(0)
		}
		if got := r.s.Load(); got > 0.5 {
			t.Errorf("after minutes of rest the load is %.1f", got)
		}
	})
}
