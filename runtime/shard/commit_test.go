package shard_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/leftfold/leftfold/runtime/eventstore"
	"github.com/leftfold/leftfold/runtime/eventstore/storetest/memory"
	"github.com/leftfold/leftfold/runtime/problem"
	"github.com/leftfold/leftfold/runtime/shard"
)

func TestACommandIsAnsweredWithWhatItWrote(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		r.must("a", "Open", "")
		got := r.must("a", "Split", `{"amount":5,"n":3}`)
		if got.Entity != "a" || got.Version != 4 || got.Seq != 4 || got.Shard != r.id || got.Replay || len(got.Events) != 3 {
			t.Fatalf("got %+v", got)
		}
		if diff := cmp.Diff(r.events("a")[1:], got.Events); diff != "" {
			t.Errorf("the answer differs from the log (-log +answer):\n%s", diff)
		}
		if n := r.balance("a"); n != 15 {
			t.Errorf("balance %d, want 15", n)
		}
	})
}

func TestCommandsOfAnEntityGatherWhileABatchIsInFlight(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		g := r.gate()
		r.store.set(func() {
			r.store.append = func(_ []eventstore.Batch, next func() []eventstore.AppendResult) []eventstore.AppendResult {
				g.pass()
				return next()
			}
		})
		calls := []call{r.start(t.Context(), r.command("a", "Open", ""))}
		<-g.arrived
		for range 50 {
			calls = append(calls, r.start(t.Context(), r.command("a", "Deposit", `{"amount":1}`)))
		}
		synctest.Wait()
		for i, c := range calls {
			if c.finished() {
				t.Fatalf("command %d was answered before its commit", i)
			}
		}
		g.open()
		for _, c := range calls {
			wantNone(t, c.wait().err)
		}
		if n := len(r.store.batches); n != 2 {
			t.Errorf("%d appends, want 2: the first alone, then all others together", n)
		}
		if n := r.balance("a"); n != 50 {
			t.Errorf("balance %d, want 50", n)
		}
	})
}

func TestAStaleOwnersAppendIsRefusedAndItsSpeculationDropped(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		r.must("a", "Open", "")
		g := r.gate()
		r.store.set(func() {
			r.store.append = func(_ []eventstore.Batch, next func() []eventstore.AppendResult) []eventstore.AppendResult {
				g.pass()
				return next()
			}
		})
		inflight := r.start(t.Context(), r.command("a", "Deposit", `{"amount":1}`))
		<-g.arrived
		gathering := r.start(t.Context(), r.command("a", "Deposit", `{"amount":2}`))
		rejected := r.start(t.Context(), r.command("a", "Withdraw", `{"amount":100}`))
		synctest.Wait()
		b := r.another()
		b.must("a", "Deposit", `{"amount":40}`)
		g.open()
		for _, c := range []call{inflight, gathering, rejected} {
			wantNotOwner(t, c.wait().err)
		}
		<-r.s.Done()
		wantNotOwner(t, <-r.lost)
		wantNotOwner(t, r.send(r.command("a", "Deposit", `{"amount":4}`)).err)
		if n := b.balance("a"); n != 40 {
			t.Errorf("balance %d, want 40: what the stale owner speculated must not count", n)
		}
	})
}

func TestAnIdleStaleOwnerStopsWithinTheRecheck(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		r.another()
		begin := time.Now()
		<-r.s.Done()
		if took := time.Since(begin); took > 2*time.Second {
			t.Errorf("it took %s", took)
		}
		wantNotOwner(t, r.s.Err())
	})
}

func TestABatchThatWasNotAttemptedIsSentAgainIdentically(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		r.must("a", "Open", "")
		failures := 3
		r.store.set(func() {
			r.store.batches = nil
			r.store.append = func(b []eventstore.Batch, next func() []eventstore.AppendResult) []eventstore.AppendResult {
				if failures--; failures >= 0 {
					return all(b, eventstore.NotAttempted)
				}
				return next()
			}
		})
		r.must("a", "Deposit", `{"amount":7}`)
		if n := len(r.store.batches); n != 4 {
			t.Fatalf("%d sends, want 4", n)
		}
		for _, b := range r.store.batches[1:] {
			if diff := cmp.Diff(r.store.batches[0], b); diff != "" {
				t.Errorf("a later send differs:\n%s", diff)
			}
		}
	})
}

func TestAStoreThatTakesNothingFailsCommandsWhenTheirTimeIsUp(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		r.must("a", "Open", "")
		var down atomic.Bool
		down.Store(true)
		r.store.set(func() {
			r.store.append = func(b []eventstore.Batch, next func() []eventstore.AppendResult) []eventstore.AppendResult {
				if down.Load() {
					return all(b, eventstore.NotAttempted)
				}
				return next()
			}
		})
		// Without a deadline the caller waits until the batch is given up.
		patient := r.start(t.Context(), r.command("a", "Deposit", `{"amount":1}`))
		synctest.Wait()
		// Decided on top of it: it outlives the failed batch.
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		later := r.start(ctx, r.command("a", "Deposit", `{"amount":2}`))
		wantReason(t, patient.wait().err, problem.NotAttempted)
		if later.finished() {
			t.Fatal("a later command with time left has failed too")
		}
		down.Store(false)
		got := later.wait()
		wantNone(t, got.err)
		if got.answer.Version != 2 {
			t.Errorf("version %d, want 2: it was decided again, without the dropped one", got.answer.Version)
		}
		if n := r.balance("a"); n != 2 {
			t.Errorf("balance %d, want 2", n)
		}
	})
}

func TestACommandTheStoreCannotHoldFailsAlone(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		r.must("a", "Open", "")
		r.must("b", "Open", "")
		g := r.gate()
		r.store.set(func() {
			r.store.append = func(b []eventstore.Batch, next func() []eventstore.AppendResult) []eventstore.AppendResult {
				g.pass()
				for _, e := range b[0].Events {
					if e.Type == "Poisoned" {
						return all(b, eventstore.Invalid)
					}
				}
				return next()
			}
		})
		first := r.start(t.Context(), r.command("b", "Deposit", `{"amount":1}`))
		<-g.arrived
		var good []call
		send := func(entity, name, body string) call {
			c := r.start(t.Context(), r.command(entity, name, body))
			synctest.Wait() // keeps their order
			return c
		}
		good = append(good, first, send("a", "Deposit", `{"amount":10}`))
		poison := r.command("a", "Poison", "")
		bad := r.start(t.Context(), poison)
		synctest.Wait()
		repeat := r.start(t.Context(), poison)
		synctest.Wait()
		good = append(good, send("a", "Deposit", `{"amount":5}`), send("a", "Withdraw", `{"amount":15}`), send("b", "Deposit", `{"amount":2}`))
		expects := r.command("a", "Touch", "")
		expects.Expect = shard.Expectation{Kind: shard.ExpectVersion, Version: 5}
		mismatch := r.start(t.Context(), expects)
		synctest.Wait()
		g.open()
		for i, c := range good {
			if err := c.wait().err; err != nil {
				t.Errorf("command %d beside the bad one: %v", i, err)
			}
		}
		wantReason(t, bad.wait().err, problem.BehaviorFailed)
		wantReason(t, repeat.wait().err, problem.BehaviorFailed)
		if p := wantReason(t, mismatch.wait().err, problem.VersionMismatch); p.Version != 4 {
			t.Errorf("version %d, want 4: the condition was tested against a state that never was", p.Version)
		}
		if diff := cmp.Diff([]string{"Opened", "Deposited", "Deposited", "Withdrawn"}, r.types("a")); diff != "" {
			t.Error(diff)
		}
		again := r.send(poison)
		if p := wantReason(t, again.err, problem.BehaviorFailed); !p.Replay {
			t.Error("the failure is not remembered")
		}
	})
}

func TestAnEventThatCannotBeHashedFailsItsCommandAlone(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		r.must("a", "Open", "")
		g := r.gate()
		r.store.set(func() {
			r.store.append = func(_ []eventstore.Batch, next func() []eventstore.AppendResult) []eventstore.AppendResult {
				g.pass()
				return next()
			}
		})
		calls := []call{r.start(t.Context(), r.command("a", "Deposit", `{"amount":1}`))}
		<-g.arrived
		bad := r.start(t.Context(), r.command("a", "Unlinkable", ""))
		synctest.Wait()
		calls = append(calls, r.start(t.Context(), r.command("a", "Deposit", `{"amount":2}`)))
		synctest.Wait()
		g.open()
		for _, c := range calls {
			wantNone(t, c.wait().err)
		}
		wantReason(t, bad.wait().err, problem.BehaviorFailed)
		if n := r.balance("a"); n != 3 {
			t.Errorf("balance %d, want 3", n)
		}
	})
}

func TestTwoSuchCommandsDoNotDropEachOtherForEver(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		r.must("a", "Open", "")
		g, _ := r.stall()
		var calls []call
		for range 3 {
			calls = append(calls, r.start(t.Context(), r.command("a", "Unlinkable", "")))
		}
		synctest.Wait()
		g.open()
		for _, c := range calls {
			wantReason(t, c.wait().err, problem.BehaviorFailed)
		}
	})
}

func TestAConflictMakesTheShardLoadEverythingAnew(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		r.must("a", "Open", "")
		conflicts := 1
		r.store.set(func() {
			r.store.append = func(b []eventstore.Batch, next func() []eventstore.AppendResult) []eventstore.AppendResult {
				if conflicts--; conflicts >= 0 {
					return all(b, eventstore.Conflict)
				}
				return next()
			}
			r.store.entityReads = 0
		})
		r.must("a", "Deposit", `{"amount":7}`)
		if r.store.entityReads == 0 {
			t.Error("the entity was not loaded again")
		}
		if got := r.events("a")[1].Epoch; got != 2 {
			t.Errorf("epoch %d, want 2: a new claim comes before the reload", got)
		}
	})
}

func TestBatchesOfSeveralShardsShareAnAppend(t *testing.T) {
	bubble(t, func(t *testing.T) {
		const count = 8
		store := memory.New(memory.Options{AppendConcurrency: 1})
		_, err := store.EnsureAggregate(t.Context(), "account", count)
		wantNone(t, err)
		var sizes []int
		g := &gate{arrived: make(chan struct{}, 100), opened: make(chan struct{})}
		rigged := &rigged{Store: store, append: func(b []eventstore.Batch, next func() []eventstore.AppendResult) []eventstore.AppendResult {
			sizes = append(sizes, len(b))
			g.pass()
			return next()
		}}
		host := shard.NewHost(shard.Config{Store: rigged, Incarnation: "a", Logger: quiet()})
		var calls []call
		for i := range int32(count) {
			s, err := host.Open(t.Context(), shard.Spec{
				ID: eventstore.ShardID{Aggregate: 1, Number: i}, Aggregate: "account",
				Definition: shard.Definition{Behavior: bank{unit: "balance"}},
			})
			wantNone(t, err)
			r := &rig{t: t, name: "a", s: s}
			calls = append(calls, r.start(t.Context(), r.command(fmt.Sprint("e", i), "Open", "")))
			synctest.Wait()
		}
		g.open()
		for _, c := range calls {
			wantNone(t, c.wait().err)
		}
		wantNone(t, host.Close(t.Context()))
		if diff := cmp.Diff([]int{1, count - 1}, sizes); diff != "" {
			t.Errorf("batches of each append: the first goes alone and at once, the others together:\n%s", diff)
		}
	})
}

func TestDeadlinesAreThoseOfContextsWhateverTheCommandClockSays(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, func(c *shard.Config, _ *shard.Definition) {
			c.Now = func() time.Time { return time.Now().Add(time.Hour) }
		})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		wantNone(t, r.start(ctx, r.command("a", "Open", "")).wait().err)
	})
}

// A new owner's clock may be behind the one before.
func TestTimesNeverGoBackInATakeover(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		r.must("a", "Open", "")
		keyed := r.command("a", "Deposit", `{"amount":1}`)
		r.send(keyed)
		other := r.another(func(c *shard.Config, _ *shard.Definition) {
			c.Now = func() time.Time { return time.Now().Add(-time.Hour) }
		})
		if got := other.send(keyed); !got.answer.Replay {
			t.Errorf("a repeat: %+v, %v", got.answer, got.err)
		}
		other.must("a", "Deposit", `{"amount":1}`)
		other.must("b", "Open", "")
		last := r.events("a")[1]
		for _, e := range append(other.events("a")[2:], other.events("b")...) {
			if e.RecordedAt.Before(last.RecordedAt) || e.Entity == "a" && e.Meta.Time.Before(last.Meta.Time) {
				t.Errorf("%s %d: at %v, recorded %v; the one before at %v, %v", e.Entity, e.Version, e.Meta.Time, e.RecordedAt, last.Meta.Time, last.RecordedAt)
			}
		}
	})
}

func TestTimesNeverGoBack(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var offset atomic.Int64
		r := newRig(t, func(c *shard.Config, _ *shard.Definition) {
			c.Now = func() time.Time { return time.Now().Add(time.Duration(offset.Load())) }
		})
		r.must("a", "Open", "")
		r.must("b", "Open", "")
		offset.Store(int64(-time.Hour))
		r.must("a", "Deposit", `{"amount":1}`)
		r.must("b", "Deposit", `{"amount":1}`)
		for _, entity := range []string{"a", "b"} {
			e := r.events(entity)
			if e[1].Meta.Time.Before(e[0].Meta.Time) || e[1].RecordedAt.Before(e[0].RecordedAt) {
				t.Errorf("%s: %v then %v", entity, e[0].Meta.Time, e[1].Meta.Time)
			}
		}
	})
}
