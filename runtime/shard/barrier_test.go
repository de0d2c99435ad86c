package shard_test

import (
	"testing"
	"testing/synctest"

	"github.com/leftfold/leftfold/runtime/eventstore"
	"github.com/leftfold/leftfold/runtime/problem"
	"github.com/leftfold/leftfold/runtime/shard"
)

// revealing are the answers that show state without writing any.
func revealing(r *rig, first shard.Command) map[string]func() call {
	ctx := r.t.Context()
	plain := func(name, body string, x shard.Expectation) func() call {
		return func() call {
			c := r.command("a", name, body)
			c.Keyed, c.Expect = false, x
			return r.start(ctx, c)
		}
	}
	return map[string]func() call{
		"a rejection":       plain("Withdraw", `{"amount":1000}`, shard.Expectation{}),
		"a failed If-Match": plain("Touch", "", shard.Expectation{Kind: shard.ExpectVersion, Version: 77}),
		"an empty success":  plain("Touch", "", shard.Expectation{}),
		"a repeat":          func() call { return r.start(ctx, first) },
		"a reused key": func() call {
			c := first
			c.Body = []byte(`{"amount":3}`)
			return r.start(ctx, c)
		},
		"a strong read": func() call { return r.startRead(ctx, "a") },
	}
}

func TestWhatRevealsStateWaitsUntilTheStateIsCommitted(t *testing.T) {
	for _, name := range []string{"a rejection", "a failed If-Match", "an empty success", "a repeat", "a reused key"} {
		t.Run(name, func(t *testing.T) {
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
				first := r.command("a", "Deposit", `{"amount":10}`)
				pending := r.start(t.Context(), first)
				<-g.arrived
				c := revealing(r, first)[name]()
				synctest.Wait()
				if c.finished() {
					t.Fatal("it was answered from a state that is not committed")
				}
				g.open()
				wantNone(t, pending.wait().err)
				c.wait()
			})
		})
	}
}

func TestAStrongReadGivesCommittedStateOnly(t *testing.T) {
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
		pending := r.start(t.Context(), r.command("a", "Deposit", `{"amount":10}`))
		<-g.arrived
		if n := r.balance("a"); n != 0 {
			t.Errorf("balance %d, want 0: the deposit is in flight", n)
		}
		local, err := r.s.Read(t.Context(), "a", false)
		wantNone(t, err)
		if n := r.balanceOf(local); n != 0 {
			t.Errorf("local balance %d, want 0", n)
		}
		g.open()
		wantNone(t, pending.wait().err)
		if n := r.balance("a"); n != 10 {
			t.Errorf("balance %d, want 10: the deposit was answered before the read", n)
		}
	})
}

func TestAnOwnerThatWasReplacedRevealsNothing(t *testing.T) {
	for _, name := range []string{"a rejection", "a failed If-Match", "an empty success", "a repeat", "a reused key", "a strong read"} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				r := newRig(t)
				r.must("a", "Open", "")
				first := r.command("a", "Deposit", `{"amount":10}`)
				wantNone(t, r.send(first).err)
				b := r.another()
				b.must("a", "Deposit", `{"amount":5000}`)
				wantNotOwner(t, revealing(r, first)[name]().wait().err)
			})
		})
	}
}

func TestOnlyACheckSentAfterTheRequestCounts(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		r.must("a", "Open", "")
		g := r.gate()
		checks := 0
		r.store.set(func() {
			r.store.check = func(next func() ([]bool, error)) ([]bool, error) {
				holds, err := next() // as of now; the answer travels slowly
				if checks++; checks == 1 {
					g.pass()
				}
				return holds, err
			}
		})
		early := r.startRead(t.Context(), "a")
		<-g.arrived
		b := r.another()
		b.must("a", "Deposit", `{"amount":5}`)
		late := r.startRead(t.Context(), "a")
		synctest.Wait()
		g.open()
		wantNone(t, early.wait().err)
		wantNotOwner(t, late.wait().err)
	})
}

func TestOnlyAnAppendSentAfterTheRequestCounts(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		r.must("a", "Open", "")
		r.must("b", "Open", "")
		g := r.gate()
		r.store.set(func() {
			r.store.append = func(_ []eventstore.Batch, next func() []eventstore.AppendResult) []eventstore.AppendResult {
				out := next()
				g.pass()
				return out
			}
		})
		deposit := r.command("b", "Deposit", `{"amount":1}`)
		slow := r.start(t.Context(), deposit)
		<-g.arrived
		b := r.another()
		b.must("a", "Deposit", `{"amount":5}`)
		c := r.command("a", "Withdraw", `{"amount":5}`)
		c.Keyed = false
		late := r.start(t.Context(), c)
		joined := r.start(t.Context(), deposit)
		synctest.Wait()
		g.open()
		wantNone(t, slow.wait().err)
		wantNotOwner(t, late.wait().err)
		wantNotOwner(t, joined.wait().err)
	})
}

func TestARejectionIsDecidedAgainWhenWhatItSawIsDropped(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		g := r.gate()
		r.store.set(func() {
			r.store.append = func(b []eventstore.Batch, _ func() []eventstore.AppendResult) []eventstore.AppendResult {
				g.pass()
				return all(b, eventstore.NotAttempted)
			}
		})
		open := r.start(t.Context(), r.command("a", "Open", ""))
		<-g.arrived
		c := r.command("a", "Withdraw", `{"amount":1}`)
		c.Keyed = false
		withdraw := r.start(t.Context(), c)
		synctest.Wait()
		g.open()
		wantReason(t, open.wait().err, problem.NotAttempted)
		wantReason(t, withdraw.wait().err, "NotOpen") // not InsufficientFunds
	})
}

func TestReadsShareChecks(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		r.must("a", "Open", "")
		g := r.gate()
		r.store.set(func() {
			r.store.checks = 0
			r.store.check = func(next func() ([]bool, error)) ([]bool, error) {
				g.pass()
				return next()
			}
		})
		calls := []call{r.startRead(t.Context(), "a")}
		<-g.arrived
		for range 100 {
			calls = append(calls, r.startRead(t.Context(), "a"))
		}
		synctest.Wait()
		g.open()
		for _, c := range calls {
			wantNone(t, c.wait().err)
		}
		if r.store.checks > 2 {
			t.Errorf("%d checks for 101 reads, want 2", r.store.checks)
		}
	})
}

func TestAReadOfAnEntityWithoutEventsFindsNothing(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		_, err := r.s.Read(t.Context(), "nobody", true)
		wantReason(t, err, problem.NoSuchEntity)
		_, err = r.s.Read(t.Context(), "nobody", false)
		wantReason(t, err, problem.NoSuchEntity)
	})
}
