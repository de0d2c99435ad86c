package routing

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leftfold/leftfold/runtime/problem"
	"github.com/leftfold/leftfold/runtime/shard"
)

// send gives a command with a door's id to a process, and waits for the answer.
func (w *world) send(ctx context.Context, door, id string) (shard.Answer, error) {
	return w.processes[door].router.Handle(ctx, aggregate, shard.Command{Entity: entity, Name: "Deposit", ID: id})
}

// How a command fares whose shard moves from b to c while it is under way from a.
func TestACommandThatMeetsAFailover(t *testing.T) {
	const refused = problem.Reason("Closed")
	for name, tt := range map[string]struct {
		// before is done when b owns the shard and a knows it.
		before func(w *world)
		// during is done when the command has got as far as it can by itself.
		during func(w *world)
		by     string         // who answers
		reason problem.Reason // or why nobody does
		ran    int
		within time.Duration
	}{
		"is answered by the owner when nothing happens": {
			by: "b", ran: 1,
		},
		"goes to the next owner when the first died before it arrived": {
			before: func(w *world) { w.processes["b"].fate(unreachable) },
			during: func(w *world) { w.claim("c"); w.push("a") },
			by:     "c", ran: 1,
		},
		"runs at the next owner when the first died with it, before its commit": {
			before: func(w *world) { w.processes["b"].fate(lostBefore) },
			during: func(w *world) { w.claim("c"); w.push("a") },
			by:     "c", ran: 1,
		},
		"is answered by the next owner when the first died after its commit": {
			before: func(w *world) { w.processes["b"].fate(lostAfter) },
			during: func(w *world) { w.claim("c"); w.push("a") },
			by:     "b", ran: 1,
		},
		"is learnt of from the store when there is no operator": {
			before: func(w *world) { w.processes["b"].fate(unreachable) },
			during: func(w *world) { w.claim("c") },
			by:     "c", ran: 1, within: 2 * lastPause,
		},
		"leaves a frozen owner behind when there is a newer one": {
			before: func(w *world) { w.processes["b"].fate(takes(time.Hour)) },
			during: func(w *world) { w.claim("c"); w.push("a") },
			by:     "c", ran: 1, within: grace,
		},
		"leaves a frozen owner behind without an operator": {
			before: func(w *world) { w.processes["b"].fate(takes(time.Hour)) },
			during: func(w *world) { w.claim("c") },
			by:     "c", ran: 1, within: slowForward + grace,
		},
		"takes an answer that was on its way when the shard moved": {
			before: func(w *world) {
				b := w.processes["b"]
				b.fate(func(ctx context.Context, arrive func(context.Context) outcome) outcome {
					out := arrive(ctx)
					time.Sleep(grace / 2)
					return out
				})
			},
			during: func(w *world) { w.claim("c"); w.push("a") },
			by:     "b", ran: 1, within: grace / 2,
		},
		"follows a shard that moves twice": {
			before: func(w *world) { w.processes["b"].fate(takes(time.Hour)) },
			during: func(w *world) {
				w.processes["c"].fate(takes(time.Hour))
				w.claim("c")
				w.push("a")
				time.Sleep(2 * grace)
				w.claim("b") // under a newer epoch, and answering
				w.processes["b"].fate(nil)
				w.push("a")
			},
			by: "b", ran: 1, within: grace,
		},
		"is answered here when the shard moves to where it came in": {
			before: func(w *world) { w.processes["b"].fate(takes(time.Hour)) },
			during: func(w *world) { w.claim("a") },
			by:     "a", ran: 1, within: grace,
		},
		"is held through a handoff": {
			before: func(w *world) { w.release("b") },
			during: func(w *world) { time.Sleep(time.Second); w.claim("c"); w.push("a") },
			by:     "c", ran: 1,
		},
		"is sent again to an owner whose connection broke": {
			before: func(w *world) { w.processes["b"].fate(lostAfter) },
			during: func(w *world) { w.processes["b"].fate(nil) },
			by:     "b", ran: 1, within: lastPause,
		},
		"is told of as not attempted when nobody takes the shard": {
			before: func(w *world) { w.processes["b"].fate(unreachable) },
			reason: problem.NotAttempted, within: DefaultHoldFor + lastPause,
		},
		"is told of as unknown when nobody takes the shard and it may have run": {
			before: func(w *world) { w.processes["b"].fate(lostAfter) },
			during: func(w *world) { w.processes["b"].fate(unreachable) },
			reason: problem.OutcomeUnknown, ran: 1, within: DefaultHoldFor + lastPause,
		},
		"is told of as not attempted when the store cannot be asked": {
			before: func(w *world) { w.release("b"); w.silent = true },
			reason: problem.NotAttempted, within: DefaultHoldFor + lastPause,
		},
		"is told of as rejected when it was, on the second attempt": {
			before: func(w *world) { w.processes["b"].fate(lostBefore); w.closed = true },
			during: func(w *world) { w.claim("c"); w.push("a") },
			reason: refused,
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(Config{}, "a", "b", "c")
				defer w.close()
				w.claim("b")
				w.push("a", "c")
				if tt.before != nil {
					tt.before(w)
				}
				answered := make(chan outcome, 1)
				go func() {
					a, err := w.send(t.Context(), "a", "k")
					answered <- outcome{a, err}
				}()
				synctest.Wait()
				if tt.during != nil {
					tt.during(w)
				}
				start := time.Now()
				out := <-answered
				if took := time.Since(start); tt.within > 0 && took > tt.within {
					t.Errorf("answered after %s, want at most %s", took, tt.within)
				}
				if got := w.times("k"); got != tt.ran {
					t.Errorf("it ran %d times, want %d", got, tt.ran)
				}
				if tt.reason != "" {
					if got := problem.From(out.err); out.err == nil || got.Reason != tt.reason {
						t.Errorf("answered %v, %v; want %s", out.answer, out.err, tt.reason)
					}
					return
				}
				if out.err != nil || out.answer.Entity != tt.by {
					t.Errorf("answered by %q, %v; want %q", out.answer.Entity, out.err, tt.by)
				}
				if out.answer.Replay {
					t.Error("a caller who asked once is told of a repeated answer")
				}
			})
		})
	}
}

func TestAnAttemptThatComesLateCannotDoWhatTheCallerWasToldWasNotDone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(Config{}, "a", "b")
		defer w.close()
		w.claim("b")
		w.push("a")
		b, thawed := w.processes["b"], make(chan struct{})
		// The connection breaks while the attempt lies in b's socket, unread.
		b.fate(func(ctx context.Context, arrive func(context.Context) outcome) outcome {
			b.late.Go(func() {
				<-thawed
				arrive(context.WithoutCancel(ctx))
			})
			b.fate(nil)
			return outcome{err: ErrLost}
		})
		w.closed = true
		_, err := w.send(t.Context(), "a", "k")
		if p := problem.From(err); err == nil || !p.Rejected || p.Replay {
			t.Fatalf("answered %v", err)
		}
		w.mu.Lock()
		w.closed = false
		w.mu.Unlock()
		close(thawed)
		b.late.Wait()
		if got := w.times("k"); got != 0 {
			t.Errorf("the late attempt ran %d times", got)
		}
	})
}

func TestTheCallersTimeIsTheLimitOfEverything(t *testing.T) {
	for name, tt := range map[string]struct {
		fate   func(context.Context, func(context.Context) outcome) outcome
		reason problem.Reason
	}{
		"a frozen owner may yet run it":      {takes(time.Hour), problem.OutcomeUnknown},
		"an unreachable owner has not":       {unreachable, problem.NotAttempted},
		"an answer that was lost was one":    {lostAfter, problem.OutcomeUnknown},
		"an owner that refuses has not":      {func(context.Context, func(context.Context) outcome) outcome { return outcome{err: &NotOwnerError{}} }, problem.NotAttempted},
		"an owner that had no room then has": {overThenLost(), problem.OutcomeUnknown},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(Config{}, "a", "b")
				defer w.close()
				w.claim("b")
				w.push("a")
				w.processes["b"].fate(tt.fate)
				ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
				defer cancel()
				start := time.Now()
				_, err := w.send(ctx, "a", "k")
				if took := time.Since(start); took != 3*time.Second {
					t.Errorf("answered after %s", took)
				}
				if got := problem.From(err); err == nil || got.Reason != tt.reason {
					t.Errorf("answered %v, want %s", err, tt.reason)
				}
			})
		})
	}
}

// overThenLost loses the first answer, and then has no room for any attempt.
func overThenLost() func(context.Context, func(context.Context) outcome) outcome {
	first := true
	return func(ctx context.Context, arrive func(context.Context) outcome) outcome {
		if first {
			first = false
			return lostAfter(ctx, arrive)
		}
		return outcome{err: problem.New(problem.Overloaded, "no room")}
	}
}

func TestAnOwnerWithoutRoomIsTheAnswerOfAFirstAttempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(Config{}, "a", "b")
		defer w.close()
		w.claim("b")
		w.push("a")
		for _, reason := range []problem.Reason{problem.Overloaded, problem.NotAttempted} {
			w.processes["b"].fate(func(context.Context, func(context.Context) outcome) outcome {
				return outcome{err: problem.New(reason, "no")}
			})
			start := time.Now()
			if _, err := w.send(t.Context(), "a", "k"); !problem.Is(err, reason) || time.Since(start) > 0 {
				t.Errorf("answered %v after %s", err, time.Since(start))
			}
		}
	})
}

func TestAReadIsTriedAgainWhateverBecameOfIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(Config{}, "a", "b", "c")
		defer w.close()
		w.claim("b")
		w.push("a")
		w.processes["b"].fate(lostBefore)
		seen := make(chan shard.View)
		go func() {
			v, err := w.processes["a"].router.Read(t.Context(), aggregate, entity, true)
			if err != nil {
				t.Error(err)
			}
			seen <- v
		}()
		synctest.Wait()
		w.claim("c")
		w.push("a")
		if v := <-seen; v.Entity != "c" {
			t.Errorf("read at %q", v.Entity)
		}
		w.processes["c"].fate(lostAfter)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := w.processes["a"].router.Read(ctx, aggregate, entity, true); !problem.Is(err, problem.NotAttempted) {
			t.Errorf("a read that nobody answered: %v", err)
		}
	})
}

// Two processes that name each other, under ever higher epochs: no call may spin.
func TestProcessesThatTakeEachOtherForTheOwnerCostPausesAndNoLoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(Config{}, "a", "b", "c")
		defer w.close()
		w.silent = true
		epoch, asked := int64(0), 0
		for name, other := range map[string]string{"b": "c", "c": "b"} {
			w.processes[name].fate(func(context.Context, func(context.Context) outcome) outcome {
				epoch++
				asked++
				return outcome{err: &NotOwnerError{Hint: Remote{Epoch: epoch, Address: other}}}
			})
		}
		w.processes["a"].router.Learn(aggregate, 0, Remote{Address: "b", Epoch: 0})
		epoch = 1
		w.processes["a"].router.Learn(aggregate, 0, Remote{Epoch: 1, Address: "b"})
		_, err := w.send(t.Context(), "a", "k")
		if !problem.Is(err, problem.NotAttempted) {
			t.Errorf("answered %v", err)
		}
		// Some hops between any two of about a dozen pauses.
		if most := (hopsAtOnce + 1) * 20; asked > most {
			t.Errorf("the two were asked %d times, want at most %d", asked, most)
		}
	})
}

func TestACallThatCameFromAnotherProcessIsNeverSentOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(Config{}, "a", "b")
		defer w.close()
		w.claim("b")
		w.push("a")
		_, err := w.processes["a"].router.Local().Handle(t.Context(), aggregate, shard.Command{Entity: entity, ID: "k"})
		var refused *NotOwnerError
		if !errors.As(err, &refused) || refused.Hint != (Remote{Epoch: 1, Address: "b"}) {
			t.Errorf("answered %v", err)
		}
		_, err = w.processes["a"].router.Local().Read(t.Context(), "another", entity, true)
		if !errors.As(err, &refused) {
			t.Errorf("an aggregate that is not known here yet: %v", err)
		}
	})
}

func TestACallThatCameFromAnotherProcessWaitsForAClaimThatIsUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(Config{}, "a")
		defer w.close()
		r := w.processes["a"].router
		ask := func() chan error {
			answered := make(chan error, 1)
			go func() {
				_, err := r.Local().Handle(t.Context(), aggregate, shard.Command{Entity: entity, ID: "k"})
				answered <- err
			}()
			return answered
		}
		done := r.Claiming(aggregate, 0)
		answered := ask()
		synctest.Wait()
		w.claim("a")
		done()
		if err := <-answered; err != nil {
			t.Errorf("after the claim: %v", err)
		}

		w.release("a")
		done = r.Claiming(aggregate, 0)
		answered = ask()
		synctest.Wait()
		done() // the claim came to nothing
		done()
		if err := <-answered; !errors.Is(err, shard.ErrNotOwner) {
			t.Errorf("after a claim that failed: %v", err)
		}

		defer r.Claiming(aggregate, 0)()
		start := time.Now()
		if err := <-ask(); !errors.Is(err, shard.ErrNotOwner) || time.Since(start) != claimHold {
			t.Errorf("after %s of a claim that hangs: %v", time.Since(start), err)
		}
	})
}

func TestTheStoreIsAskedForAShardOnceAtATimeAndWithGrowingPauses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(Config{}, "a")
		defer w.close()
		answered := make(chan error)
		for i := range 100 {
			go func() {
				_, err := w.send(t.Context(), "a", fmt.Sprint(i))
				answered <- err
			}()
		}
		for range 100 {
			if err := <-answered; !problem.Is(err, problem.NotAttempted) {
				t.Errorf("answered %v", err)
			}
		}
		// 20, 40, ... 320 ms, and then every half second of five.
		if w.lookups < 10 || w.lookups > 16 {
			t.Errorf("the store was asked %d times", w.lookups)
		}
		before := w.lookups
		time.Sleep(time.Minute)
		if w.lookups > before+1 {
			t.Errorf("the store is asked for nobody's sake: %d times", w.lookups-before)
		}
	})
}

func TestAKnownOwnerCostsTheStoreNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(Config{}, "a", "b")
		defer w.close()
		w.claim("b")
		w.push("a")
		for i := range 100 {
			if _, err := w.send(t.Context(), "a", fmt.Sprint(i)); err != nil {
				t.Error(err)
			}
		}
		if w.lookups != 0 {
			t.Errorf("it was asked %d times", w.lookups)
		}
	})
}

func TestHeldCallsAreBoundedInNumberAndBytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls, bytes atomic.Int64
		refused := make(chan problem.Limit, 10)
		w := newWorld(Config{Held: 2, HeldBytes: 100, Observer: Observer{
			Refused: func(by problem.Limit) { refused <- by },
			Held: func(c int, b int64) {
				calls.Add(int64(c))
				bytes.Add(b)
			},
		}}, "a")
		defer w.close()
		r := w.processes["a"].router
		send := func(ctx context.Context, size int) error {
			_, err := r.Handle(ctx, aggregate, shard.Command{Entity: entity, ID: "k", Body: make([]byte, size)})
			return err
		}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		held := make(chan error)
		go func() { held <- send(ctx, 60) }()
		synctest.Wait()
		if err := send(ctx, 41); !problem.Is(err, problem.NotAttempted) {
			t.Errorf("a call beyond the bytes: %v", err)
		}
		if by := <-refused; by != problem.LimitHeldBytes {
			t.Errorf("told of a refusal by %s", by)
		}
		go func() { held <- send(ctx, 40) }()
		synctest.Wait()
		if err := send(ctx, 0); !problem.Is(err, problem.NotAttempted) {
			t.Errorf("a call beyond the number: %v", err)
		}
		if by := <-refused; by != problem.LimitHeldCalls {
			t.Errorf("told of a refusal by %s", by)
		}
		if c, b := calls.Load(), bytes.Load(); c != 2 || b != 100 {
			t.Errorf("told of %d calls and %d bytes that wait, want 2 and 100", c, b)
		}
		cancel()
		for range 2 {
			if err := <-held; !problem.Is(err, problem.NotAttempted) {
				t.Errorf("a held call whose caller gave up: %v", err)
			}
		}
		if n := r.heldBytes.Load(); n != 0 {
			t.Errorf("%d bytes are still counted", n)
		}
		if c, b, more := calls.Load(), bytes.Load(), len(refused); c != 0 || b != 0 || more != 0 {
			t.Errorf("told of %d calls and %d bytes that wait when none does, and of %d more refusals", c, b, more)
		}
	})
}

func TestHeldCallsEndWithTheirAggregateAndWithTheRouter(t *testing.T) {
	for name, tt := range map[string]struct {
		end    func(*Router)
		fate   func(context.Context, func(context.Context) outcome) outcome
		reason problem.Reason
	}{
		"removed, nothing ran":         {func(r *Router) { r.Remove(aggregate) }, unreachable, problem.UnknownName},
		"removed, it may have":         {func(r *Router) { r.Remove(aggregate) }, lostBefore, problem.OutcomeUnknown},
		"the router ends, nothing ran": {(*Router).Close, unreachable, problem.NotAttempted},
		"the router ends, it may have": {(*Router).Close, lostBefore, problem.OutcomeUnknown},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(Config{}, "a", "b")
				defer w.close()
				w.claim("b")
				w.push("a")
				w.processes["b"].fate(tt.fate)
				answered := make(chan error)
				go func() {
					_, err := w.send(t.Context(), "a", "k")
					answered <- err
				}()
				synctest.Wait()
				tt.end(w.processes["a"].router)
				if err := <-answered; !problem.Is(err, tt.reason) {
					t.Errorf("answered %v, want %s", err, tt.reason)
				}
			})
		})
	}
}
