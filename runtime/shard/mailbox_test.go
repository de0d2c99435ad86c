package shard_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leftfold/leftfold/runtime/eventstore"
	"github.com/leftfold/leftfold/runtime/problem"
	"github.com/leftfold/leftfold/runtime/shard"
)

// stall lets nothing through to the log until the gate opens, and has one
// command in flight.
func (r *rig) stall() (g *gate, inflight call) {
	r.t.Helper()
	g = r.gate()
	r.store.set(func() {
		r.store.append = func(_ []eventstore.Batch, next func() []eventstore.AppendResult) []eventstore.AppendResult {
			g.pass()
			return next()
		}
	})
	inflight = r.start(r.t.Context(), r.command("stalled", "Open", ""))
	<-g.arrived
	return g, inflight
}

func TestNoEntityWaitsForAnothersBacklog(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, limits(func(l *shard.Limits) { l.BatchCommands = 10 }))
		r.must("busy", "Open", "")
		r.must("calm", "Open", "")
		g, _ := r.stall()
		var busy []call
		for range 500 {
			busy = append(busy, r.start(t.Context(), r.command("busy", "Deposit", `{"amount":1}`)))
		}
		synctest.Wait()
		calm := r.start(t.Context(), r.command("calm", "Deposit", `{"amount":1}`))
		synctest.Wait()
		g.open()
		for _, c := range busy {
			wantNone(t, c.wait().err)
		}
		wantNone(t, calm.wait().err)
		seq := calm.wait().answer.Seq
		// 3 before, 10 that gathered before it came, and it is in the next 10.
		if seq > 3+20 {
			t.Errorf("the calm entity's command is number %d: it waited for the busy one's backlog", seq)
		}
	})
}

func TestAFullMailboxIsOverloaded(t *testing.T) {
	for name, tt := range map[string]struct {
		limit func(*shard.Limits)
		body  string
		by    problem.Limit
	}{
		"by number":                       {func(l *shard.Limits) { l.MailboxCommands = 20 }, `{"amount":1}`, problem.LimitMailbox},
		"by bytes":                        {func(l *shard.Limits) { l.MailboxBytes = 2000 }, `{"amount":` + strings.Repeat(" ", 80) + `1}`, problem.LimitMailboxBytes},
		"by bytes of all shards together": {func(l *shard.Limits) { l.HeldBytes = 2000 }, `{"amount":` + strings.Repeat(" ", 80) + `1}`, problem.LimitMailboxesBytes},
		"for an entity":                   {func(l *shard.Limits) { l.EntityCommands, l.BatchCommands = 10, 5 }, `{"amount":1}`, problem.LimitEntityCommands},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				told := newRefusals()
				depth, bytes := newGauge(), newGauge()
				r := newRig(t, limits(tt.limit), func(c *shard.Config, _ *shard.Definition) {
					c.Observer.Refused, c.Observer.MailboxDepth, c.Observer.MailboxBytes = told.add, depth.add, bytes.addBytes
				})
				r.must("a", "Open", "")
				g, _ := r.stall()
				var calls []call
				for range 30 {
					calls = append(calls, r.start(t.Context(), r.command("a", "Deposit", tt.body)))
				}
				synctest.Wait()
				if depth.value() == 0 || bytes.value() < depth.value()*len(tt.body) {
					t.Errorf("told of %d commands and %d bytes in the mailbox", depth.value(), bytes.value())
				}
				g.open()
				refused := 0
				for _, c := range calls {
					if err := c.wait().err; err != nil {
						if p := wantReason(t, err, problem.Overloaded); p.RetryAfter <= 0 {
							t.Error("no RetryAfter")
						}
						refused++
					}
				}
				if refused == 0 || refused == 30 {
					t.Fatalf("%d of 30 were refused", refused)
				}
				told.want(t, tt.by, refused)
				if n := r.balance("a"); n != int64(30-refused) {
					t.Errorf("balance %d after %d commands", n, 30-refused)
				}
				for range 30 { // the places were given back
					r.must("a", "Deposit", tt.body)
				}
				synctest.Wait()
				if depth.value() != 0 || bytes.value() != 0 {
					t.Errorf("told of %d commands and %d bytes at rest", depth.value(), bytes.value())
				}
			})
		})
	}
}

func TestAnExpiredOrAbandonedCommandIsNeverDecided(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, limits(func(l *shard.Limits) { l.BatchCommands = 1 }))
		r.must("a", "Open", "")
		g, inflight := r.stall()
		// The gathering batch is full with this one; the next has to wait.
		full := r.start(t.Context(), r.command("a", "Deposit", `{"amount":1}`))
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		expired := r.start(ctx, r.command("a", "Deposit", `{"amount":2}`))
		wantReason(t, expired.wait().err, problem.NotAttempted)
		ctx, cancel = context.WithCancel(t.Context())
		abandoned := r.start(ctx, r.command("a", "Deposit", `{"amount":4}`))
		synctest.Wait()
		cancel()
		wantReason(t, abandoned.wait().err, problem.NotAttempted)
		g.open()
		wantNone(t, inflight.wait().err)
		wantNone(t, full.wait().err)
		if n := r.balance("a"); n != 1 {
			t.Errorf("balance %d, want 1", n)
		}
	})
}

func TestACallerWhoLeavesAfterTheDecisionDoesNotKnow(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		r.must("a", "Open", "")
		g, _ := r.stall()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		c := r.command("a", "Deposit", `{"amount":2}`)
		wantReason(t, r.start(ctx, c).wait().err, problem.OutcomeUnknown)
		g.open()
		again := r.send(c)
		wantNone(t, again.err)
		if n := r.balance("a"); n != 2 {
			t.Errorf("balance %d, want 2: the retry with the same key must not run again", n)
		}
	})
}

func TestACallerWithoutTimeIsTurnedAway(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := r.s.Handle(ctx, r.command("a", "Open", ""))
		wantReason(t, err, problem.NotAttempted)
		if len(r.events("a")) != 0 {
			t.Error("it ran")
		}
	})
}

func TestOthersGoOnWhileAnEntityIsLoaded(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		g := r.gate()
		r.store.set(func() {
			r.store.readEntity = func(entity string, next func() ([]eventstore.Event, error)) ([]eventstore.Event, error) {
				if entity == "slow" {
					g.pass()
				}
				return next()
			}
		})
		slow := r.start(t.Context(), r.command("slow", "Open", ""))
		<-g.arrived
		r.must("quick", "Open", "")
		if slow.finished() {
			t.Fatal("answered without being loaded")
		}
		g.open()
		wantNone(t, slow.wait().err)
	})
}

func TestALoadIsTriedAgainAsLongAsSomebodyWaits(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		down := make(chan struct{})
		r.store.set(func() {
			r.store.readEntity = func(_ string, next func() ([]eventstore.Event, error)) ([]eventstore.Event, error) {
				select {
				case <-down:
					return next()
				default:
					return nil, eventstore.ErrNotAttempted
				}
			}
		})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		wantReason(t, r.start(ctx, r.command("a", "Open", "")).wait().err, problem.NotAttempted)
		patient := r.start(t.Context(), r.command("a", "Open", ""))
		time.Sleep(time.Minute)
		close(down)
		wantNone(t, patient.wait().err)
		if n := len(r.events("a")); n != 1 {
			t.Errorf("%d events, want 1: the first caller had left", n)
		}
	})
}

// slow is a store that takes its time over an entity with many remembered keys.
type slow struct {
	eventstore.Store
	takes time.Duration
}

func (s slow) LoadEntity(ctx context.Context, a eventstore.AggregateID, entity string, limit int) (eventstore.Loading, error) {
	select {
	case <-time.After(s.takes):
		return s.Store.LoadEntity(ctx, a, entity, limit)
	case <-ctx.Done():
		return eventstore.Loading{}, ctx.Err()
	}
}

func TestALoadThatTakesLongIsGivenMoreTimeWhenItIsTriedAgain(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := rigOn(t, slow{newStore(t), 20 * time.Second}, "host-a")
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
		defer cancel()
		wantNone(t, r.start(ctx, r.command("a", "Open", "")).wait().err)
	})
}

func TestTheMailboxDoesNotFillWithTheDeadWhileTheStoreIsAway(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, limits(func(l *shard.Limits) { l.MailboxCommands = 50 }))
		r.store.set(func() {
			r.store.readEntity = func(string, func() ([]eventstore.Event, error)) ([]eventstore.Event, error) {
				return nil, eventstore.ErrNotAttempted
			}
		})
		for range 10 {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			var calls []call
			for range 40 {
				calls = append(calls, r.start(ctx, r.command("a", "Open", "")))
			}
			for _, c := range calls {
				wantReason(t, c.wait().err, problem.NotAttempted)
			}
			cancel()
			time.Sleep(3 * time.Second)
		}
	})
}

func TestABehaviourThatPanicsFailsItsCommandOnly(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		r.must("a", "Open", "")
		wantReason(t, r.send(r.command("a", "Explode", "")).err, problem.BehaviorFailed)
		wantReason(t, r.send(r.command("a", "Overflow", "")).err, problem.BehaviorFailed)
		r.must("a", "Deposit", `{"amount":1}`)
		if n := len(r.events("a")); n != 2 {
			t.Errorf("%d events, want 2", n)
		}
	})
}

func TestACommandMayWriteSoManyEventsAndNoMore(t *testing.T) {
	bubble(t, func(t *testing.T) {
		told := newRefusals()
		r := newRig(t, func(c *shard.Config, _ *shard.Definition) { c.Observer.Refused = told.add })
		r.must("a", "Open", "")
		if got := r.must("a", "Split", `{"amount":1,"n":1000}`); len(got.Events) != 1000 {
			t.Errorf("%d events", len(got.Events))
		}
		wantReason(t, r.send(r.command("a", "Split", `{"amount":1,"n":1001}`)).err, problem.BehaviorFailed)
		told.want(t, problem.LimitEvents, 1)
		if n := r.balance("a"); n != 1000 {
			t.Errorf("balance %d, want 1000", n)
		}
	})
}
