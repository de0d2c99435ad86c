package shard_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leftfold/leftfold/runtime/eventstore"
	"github.com/leftfold/leftfold/runtime/problem"
	"github.com/leftfold/leftfold/runtime/shard"
)

// once makes the next append run f, and all later ones run as they should.
func (r *rig) once(f func(b []eventstore.Batch, next func() []eventstore.AppendResult) []eventstore.AppendResult) {
	r.store.set(func() {
		r.store.append = func(b []eventstore.Batch, next func() []eventstore.AppendResult) []eventstore.AppendResult {
			r.store.set(func() { r.store.append = nil })
			return f(b, next)
		}
	})
}

func TestAnUnknownOutcomeThatCommittedIsAnsweredAsSuccess(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		r.must("a", "Open", "")
		r.once(func(b []eventstore.Batch, next func() []eventstore.AppendResult) []eventstore.AppendResult {
			next()
			return all(b, eventstore.Unknown)
		})
		r.must("a", "Deposit", `{"amount":5}`)
		r.must("a", "Deposit", `{"amount":6}`)
		e := r.events("a")
		if len(e) != 3 || e[1].Epoch != 1 || e[2].Epoch != 2 {
			t.Errorf("got %d events, epochs %d and %d; want the first deposit once under epoch 1, the next under 2", len(e), e[1].Epoch, e[2].Epoch)
		}
		if n := r.balance("a"); n != 11 {
			t.Errorf("balance %d, want 11", n)
		}
	})
}

func TestAnUnknownOutcomeThatDidNotCommitIsSentUnderTheNewEpoch(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		r.must("a", "Open", "")
		var late []eventstore.Batch
		r.once(func(b []eventstore.Batch, _ func() []eventstore.AppendResult) []eventstore.AppendResult {
			late = b // as a statement that was abandoned, and is still running
			return all(b, eventstore.Unknown)
		})
		r.must("a", "Deposit", `{"amount":5}`)
		if first := late[0].Events; len(first) != 1 || first[0].Epoch != 1 || late[0].Lease.Epoch != 1 {
			t.Errorf("what the abandoned append holds has changed under it: %+v", late[0])
		}
		if got := r.store.Store.Append(t.Context(), late)[0].Status; got != eventstore.Refused {
			t.Errorf("the first append, arriving late, came to %d; the claim must have fenced it", got)
		}
		e := r.events("a")
		if len(e) != 2 || e[1].Epoch != 2 {
			t.Fatalf("got %d events", len(e))
		}
		if err := eventstore.VerifyChain(eventstore.Hash{}, e); err != nil {
			t.Errorf("the chain is broken: %v", err)
		}
	})
}

func TestAnUnknownOutcomeUnderAnotherOwnerIsSettledByTheLog(t *testing.T) {
	for _, tt := range []struct {
		name      string
		committed bool
	}{
		{"it committed before the takeover", true},
		{"it did not commit", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				r := newRig(t)
				r.must("a", "Open", "")
				var b *rig
				r.once(func(batch []eventstore.Batch, next func() []eventstore.AppendResult) []eventstore.AppendResult {
					if tt.committed {
						next()
					}
					b = r.another()
					b.must("a", "Deposit", `{"amount":100}`)
					return all(batch, eventstore.Unknown)
				})
				first := r.start(t.Context(), r.command("a", "Deposit", `{"amount":5}`))
				got := first.wait()
				want := int64(100)
				if tt.committed {
					wantNone(t, got.err)
					want = 105
				} else {
					wantNotOwner(t, got.err)
				}
				<-r.s.Done()
				wantNotOwner(t, r.s.Err())
				if n := b.balance("a"); n != want {
					t.Errorf("balance %d, want %d", n, want)
				}
			})
		})
	}
}

func TestAClaimWithUnknownOutcomeIsRecognisedByItsToken(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		r.must("a", "Open", "")
		claims := 0
		r.store.set(func() {
			r.store.claim = func(_ eventstore.ClaimRequest, next func() (eventstore.ShardState, error)) (eventstore.ShardState, error) {
				claims++
				if claims == 1 {
					_, _ = next()
					return eventstore.ShardState{}, eventstore.ErrOutcomeUnknown
				}
				return next()
			}
		})
		r.once(func(b []eventstore.Batch, _ func() []eventstore.AppendResult) []eventstore.AppendResult {
			return all(b, eventstore.Unknown)
		})
		r.must("a", "Deposit", `{"amount":5}`)
		if claims != 1 {
			t.Errorf("%d claims, want 1: the first had come through", claims)
		}
	})
}

func TestAnOpeningShardRecognisesItsOwnUnknownClaim(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		wantNone(t, r.s.Drain(t.Context()))
		r.store.set(func() {
			r.store.claim = func(_ eventstore.ClaimRequest, next func() (eventstore.ShardState, error)) (eventstore.ShardState, error) {
				_, _ = next()
				return eventstore.ShardState{}, eventstore.ErrOutcomeUnknown
			}
		})
		r.open()
		r.must("a", "Open", "")
	})
}

func TestSettlingOutlastsAStoreThatIsAway(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		r.must("a", "Open", "")
		var down atomic.Bool
		down.Store(true)
		r.store.set(func() {
			r.store.append = func(b []eventstore.Batch, next func() []eventstore.AppendResult) []eventstore.AppendResult {
				if down.Load() {
					return all(b, eventstore.Unknown)
				}
				return next()
			}
			r.store.claim = func(_ eventstore.ClaimRequest, next func() (eventstore.ShardState, error)) (eventstore.ShardState, error) {
				if down.Load() {
					return eventstore.ShardState{}, eventstore.ErrNotAttempted
				}
				return next()
			}
		})
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		decided := r.start(ctx, r.command("a", "Deposit", `{"amount":5}`))
		synctest.Wait()
		waiting := r.start(ctx, r.command("a", "Deposit", `{"amount":6}`))
		if got := r.s.State(); got != shard.Settling {
			t.Errorf("state %s, want settling", got)
		}
		wantReason(t, decided.wait().err, problem.OutcomeUnknown)
		wantReason(t, waiting.wait().err, problem.NotAttempted)
		time.Sleep(time.Hour)
		down.Store(false)
		r.must("a", "Deposit", `{"amount":7}`)
		if n := r.balance("a"); n != 7 {
			t.Errorf("balance %d, want 7: nobody waited for the first, and the second never ran", n)
		}
	})
}

func TestAStoreThatWentBackIsRefused(t *testing.T) {
	t.Run("when a settling claim shows an older head", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			r := newRig(t)
			r.must("a", "Open", "")
			r.must("a", "Deposit", `{"amount":1}`)
			r.store.set(func() {
				r.store.claim = func(_ eventstore.ClaimRequest, next func() (eventstore.ShardState, error)) (eventstore.ShardState, error) {
					row, err := next()
					row.Head--
					return row, err
				}
			})
			r.once(func(b []eventstore.Batch, _ func() []eventstore.AppendResult) []eventstore.AppendResult {
				return all(b, eventstore.Unknown)
			})
			got := r.send(r.command("a", "Deposit", `{"amount":5}`))
			if got.err == nil {
				t.Fatal("a command succeeded")
			}
			<-r.s.Done()
			if !errors.Is(r.s.Err(), shard.ErrStoreWentBack) || !errors.Is(<-r.lost, shard.ErrStoreWentBack) {
				t.Errorf("got %v", r.s.Err())
			}
		})
	})
	t.Run("when a settling claim is refused by a store that has an older head", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			r := newRig(t)
			r.must("a", "Open", "")
			r.must("a", "Deposit", `{"amount":1}`)
			r.store.set(func() {
				r.store.claim = func(eventstore.ClaimRequest, func() (eventstore.ShardState, error)) (eventstore.ShardState, error) {
					return eventstore.ShardState{}, eventstore.ErrRefused
				}
				r.store.row = func(next func() (eventstore.ShardState, error)) (eventstore.ShardState, error) {
					row, err := next()
					row.Epoch, row.Head = row.Epoch-1, row.Head-1
					return row, err
				}
			})
			r.once(func(b []eventstore.Batch, _ func() []eventstore.AppendResult) []eventstore.AppendResult {
				return all(b, eventstore.Unknown)
			})
			if got := r.send(r.command("a", "Deposit", `{"amount":5}`)); got.err == nil {
				t.Fatal("a command succeeded")
			}
			<-r.s.Done()
			if !errors.Is(r.s.Err(), shard.ErrStoreWentBack) {
				t.Errorf("got %v", r.s.Err())
			}
		})
	})
	t.Run("when the shard is opened again and its head has another hash", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			r := newRig(t)
			r.must("a", "Open", "")
			wantNone(t, r.s.Drain(t.Context()))
			r.store.set(func() {
				r.store.claim = func(_ eventstore.ClaimRequest, next func() (eventstore.ShardState, error)) (eventstore.ShardState, error) {
					row, err := next()
					row.HeadHash[0] ^= 1
					return row, err
				}
			})
			_, err := r.host.Open(t.Context(), shard.Spec{ID: r.id, Aggregate: "account", Definition: r.def})
			if !errors.Is(err, shard.ErrStoreWentBack) {
				t.Errorf("got %v", err)
			}
		})
	})
}

func TestARejectionWithUnknownOutcomeIsWrittenAgain(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		r.must("a", "Open", "")
		r.once(func(b []eventstore.Batch, next func() []eventstore.AppendResult) []eventstore.AppendResult {
			next()
			return all(b, eventstore.Unknown)
		})
		c := r.command("a", "Withdraw", `{"amount":5}`)
		first := wantReason(t, r.send(c).err, "InsufficientFunds")
		again := wantReason(t, r.send(c).err, "InsufficientFunds")
		if first.Replay || !again.Replay {
			t.Error("the first is the answer, the second its replay")
		}
		stored, err := r.store.LoadEntity(t.Context(), r.id.Aggregate, "a", 1)
		if err != nil || len(stored.Outcomes) != 1 {
			t.Errorf("%d outcome rows, want 1 (%v)", len(stored.Outcomes), err)
		}
	})
}

func TestAHostThatEndsWhileItSettlesTellsItsCallersWhereTheyStand(t *testing.T) {
	// Whether the claim or the close ends the shard is a race: either may win.
	for range 50 {
		bubble(t, func(t *testing.T) {
			r := newRig(t)
			r.must("a", "Open", "")
			flying := make(chan struct{})
			r.once(func(b []eventstore.Batch, _ func() []eventstore.AppendResult) []eventstore.AppendResult {
				<-flying
				return all(b, eventstore.Unknown)
			})
			r.store.set(func() {
				r.store.claim = func(eventstore.ClaimRequest, func() (eventstore.ShardState, error)) (eventstore.ShardState, error) {
					return eventstore.ShardState{}, eventstore.ErrNotAttempted
				}
			})
			sent := r.start(t.Context(), r.command("a", "Deposit", `{"amount":5}`))
			synctest.Wait()
			gathered := r.start(t.Context(), r.command("a", "Deposit", `{"amount":6}`))
			synctest.Wait()
			close(flying)
			synctest.Wait()
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			_ = r.host.Close(ctx)
			wantReason(t, sent.wait().err, problem.OutcomeUnknown)
			wantReason(t, gathered.wait().err, problem.NotAttempted)
		})
	}
}
