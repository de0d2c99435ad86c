package shard_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leftfold/leftfold/runtime/eventstore"
	"github.com/leftfold/leftfold/runtime/problem"
	"github.com/leftfold/leftfold/runtime/shard"
)

func (r *rig) row() eventstore.ShardState {
	r.t.Helper()
	row, err := r.store.Shard(context.Background(), r.id)
	if err != nil {
		r.t.Fatal(err)
	}
	return row
}

func TestAnOpenShardIsOwned(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		row := r.row()
		if row.Owner != "host-a" || row.Address != "host-a:1" || row.Epoch != 1 || row.Lease != r.s.Lease() {
			t.Errorf("got %+v", row)
		}
		if r.s.State() != shard.Serving || r.host.Shard(r.id) != r.s {
			t.Errorf("state %s", r.s.State())
		}
		same, err := r.host.Open(t.Context(), shard.Spec{ID: r.id, Aggregate: "account", Definition: r.def})
		if err != nil || same != r.s {
			t.Errorf("opening an open shard gave %p, %v", same, err)
		}
		_, err = r.host.Open(t.Context(), shard.Spec{ID: eventstore.ShardID{Aggregate: 1, Number: 7}, Definition: r.def})
		if !errors.Is(err, eventstore.ErrUnknownName) {
			t.Errorf("got %v", err)
		}
	})
}

func TestADrainWritesWhatIsDecidedAndHandsOnTheRest(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, limits(func(l *shard.Limits) { l.BatchCommands = 1 }))
		r.must("a", "Open", "")
		g, inflight := r.stall()
		decided := r.start(t.Context(), r.command("a", "Deposit", `{"amount":1}`))
		synctest.Wait()
		waiting := r.start(t.Context(), r.command("a", "Deposit", `{"amount":2}`))
		synctest.Wait()
		drained := make(chan error, 1)
		go func() { drained <- r.s.Drain(t.Context()) }()
		synctest.Wait()
		if len(drained) > 0 || r.row().Owner == "" {
			t.Fatal("the shard was given away before all was written")
		}
		wantNotOwner(t, waiting.wait().err)
		wantNotOwner(t, r.send(r.command("a", "Deposit", `{"amount":4}`)).err)
		g.open()
		wantNone(t, <-drained)
		wantNone(t, inflight.wait().err)
		wantNone(t, decided.wait().err)
		if row := r.row(); row.Owner != "" {
			t.Errorf("still owned by %s", row.Owner)
		}
		wantNone(t, r.s.Drain(t.Context()))
		if len(r.lost) > 0 {
			t.Error("a drained shard is not lost")
		}
		if n := r.another().balance("a"); n != 1 {
			t.Errorf("balance %d, want 1", n)
		}
	})
}

func TestAShardThatIsDrainingIsOpenedAnewWhenItHasEnded(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		g, inflight := r.stall()
		old := r.s
		drained := make(chan error, 1)
		go func() { drained <- old.Drain(t.Context()) }()
		synctest.Wait()
		time.AfterFunc(time.Second, g.open)
		r.open()
		wantNone(t, <-drained)
		wantNone(t, inflight.wait().err)
		if r.s == old || r.s.Lease().Epoch != 2 {
			t.Error("the ending shard was returned")
		}
		r.must("stalled", "Deposit", `{"amount":1}`)
	})
}

func TestADrainSnapshotsHotEntitiesFirst(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		r.must("a", "Open", "")
		r.must("a", "Deposit", `{"amount":3}`)
		wantNone(t, r.s.Drain(t.Context()))
		stored, err := r.store.LoadEntity(t.Context(), r.id.Aggregate, "a", 1)
		if err != nil || stored.Snapshot.Version != 2 {
			t.Errorf("got version %d, %v", stored.Snapshot.Version, err)
		}
	})
}

func TestADrainThatTakesTooLongStopsTheShardAsItIs(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		r.must("a", "Open", "")
		g, _ := r.stall()
		c := r.command("a", "Deposit", `{"amount":1}`)
		r.start(t.Context(), c)
		synctest.Wait()
		inflight := r.start(t.Context(), r.command("b", "Touch", ""))
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := r.s.Drain(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		wantReason(t, inflight.wait().err, problem.NotAttempted)
		g.open()
	})
}

func TestADrainWithoutTimeStopsTheShardAtOnce(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		r.must("a", "Open", "")
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		if err := r.s.Drain(ended); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
		if err := r.s.Err(); !errors.Is(err, shard.ErrClosed) {
			t.Errorf("it ended with %v", err)
		}
		stored, err := r.store.LoadEntity(t.Context(), r.id.Aggregate, "a", 1)
		if err != nil || stored.Snapshot.Version != 0 || r.row().Owner == "" {
			t.Errorf("it was drained: %v, %+v, owner %q", err, stored.Snapshot, r.row().Owner)
		}
		r.open()
		wantNone(t, r.s.Drain(t.Context()))
		wantNone(t, r.s.Drain(ended)) // there is nothing left to stop
	})
}

func TestCloseIsIdempotentAndEndsEverything(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		r.must("a", "Open", "")
		wantNone(t, r.host.Close(t.Context()))
		wantNone(t, r.host.Close(t.Context()))
		if r.row().Owner != "" {
			t.Error("not released")
		}
		if _, err := r.host.Open(t.Context(), shard.Spec{ID: r.id}); !errors.Is(err, shard.ErrClosed) {
			t.Errorf("got %v", err)
		}
		wantNotOwner(t, r.send(r.command("a", "Touch", "")).err)
	})
}

func TestAChangedDefinition(t *testing.T) {
	t.Run("that only decides otherwise takes effect between two commands", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			r := newRig(t)
			r.must("a", "Open", "")
			r.must("a", "Deposit", `{"amount":100}`)
			g, _ := r.stall()
			before := r.start(t.Context(), r.command("a", "Withdraw", `{"amount":10}`))
			synctest.Wait()
			r.store.set(func() { r.store.entityReads = 0 })
			r.s.Define(shard.Definition{Behavior: bank{unit: "balance", fee: 1}, Generation: 2})
			synctest.Wait()
			after := r.start(t.Context(), r.command("a", "Withdraw", `{"amount":10}`))
			synctest.Wait()
			g.open()
			wantNone(t, before.wait().err)
			wantNone(t, after.wait().err)
			if n := r.balance("a"); n != 79 {
				t.Errorf("balance %d, want 79", n)
			}
			if got := after.wait().answer.Events[0].Generation; got != 2 {
				t.Errorf("generation %d, want 2", got)
			}
			if r.store.entityReads != 0 {
				t.Error("entities were loaded again without need")
			}
		})
	})
	t.Run("that folds otherwise folds every entity anew, and loses nothing that is pending", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			r := newRig(t)
			r.must("a", "Open", "")
			g, _ := r.stall()
			var calls []call
			for range 20 {
				calls = append(calls, r.start(t.Context(), r.command("a", "Deposit", `{"amount":1}`)))
			}
			synctest.Wait()
			r.s.Define(shard.Definition{Behavior: bank{unit: "cents", fee: 1}, Generation: 2})
			synctest.Wait()
			late := r.start(t.Context(), r.command("a", "Withdraw", `{"amount":5}`))
			read := r.startRead(t.Context(), "a")
			synctest.Wait()
			g.open()
			for _, c := range append(calls, late) {
				wantNone(t, c.wait().err)
			}
			wantNone(t, read.wait().err)
			if n := r.balance("a"); n != 14 {
				t.Errorf("balance %d, want 14", n)
			}
			v, err := r.s.Read(t.Context(), "a", true)
			wantNone(t, err)
			if string(v.State) != `{"open":true,"cents":14,"events":22}` {
				t.Errorf("state %s", v.State)
			}
		})
	})
	t.Run("parses the commands that wait again", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			r := newRig(t, limits(func(l *shard.Limits) { l.BatchCommands = 1 }))
			r.must("a", "Open", "")
			g, _ := r.stall()
			var calls []call
			for range 3 {
				calls = append(calls, r.start(t.Context(), r.command("a", "Deposit", `{"amount":9}`)))
				synctest.Wait()
			}
			r.s.Define(shard.Definition{Behavior: bank{unit: "balance", fee: 1}, Generation: 2})
			synctest.Wait()
			g.open()
			for _, c := range calls {
				wantNone(t, c.wait().err)
			}
		})
	})
	t.Run("makes a load under way begin again", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			r := newRig(t)
			g := r.gate()
			r.store.set(func() {
				r.store.readEntity = func(_ string, next func() ([]eventstore.Event, error)) ([]eventstore.Event, error) {
					g.pass()
					return next()
				}
			})
			c := r.start(t.Context(), r.command("a", "Open", ""))
			<-g.arrived
			r.s.Define(shard.Definition{Behavior: bank{unit: "cents"}, Generation: 2})
			synctest.Wait()
			g.open()
			wantNone(t, c.wait().err)
		})
	})
	t.Run("of a lower generation is ignored", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			r := newRig(t, define(func(d *shard.Definition) { d.Generation = 3 }))
			r.s.Define(shard.Definition{Behavior: bank{unit: "cents"}, Generation: 2})
			synctest.Wait()
			if got := r.s.Definition().Generation; got != 3 {
				t.Errorf("generation %d", got)
			}
		})
	})
}

func TestAShardHoldsUntilItsDefinitionHasCaughtUp(t *testing.T) {
	bubble(t, func(t *testing.T) {
		store := newStore(t)
		a, err := store.EnsureAggregate(t.Context(), "account", 1)
		wantNone(t, err)
		for generation := range int64(2) {
			_, err = store.AcceptDefinition(t.Context(), a.ID, generation, eventstore.Acceptance{Definition: []byte("{}")})
			wantNone(t, err)
		}
		r := rigOn(t, store, "host-a", define(func(d *shard.Definition) { d.Generation = 1 }))
		if got := r.s.State(); got != shard.Holding {
			t.Errorf("state %s", got)
		}
		held := r.start(t.Context(), r.command("a", "Open", ""))
		read := r.startRead(t.Context(), "b")
		time.Sleep(10 * time.Minute) // longer than an idle entity stays
		if held.finished() || read.finished() {
			t.Fatal("it served under an old definition")
		}
		r.s.Define(shard.Definition{Behavior: bank{unit: "cents"}, Generation: 2})
		got := held.wait()
		wantNone(t, got.err)
		read.wait()
		if got.answer.Events[0].Generation != 2 {
			t.Errorf("generation %d", got.answer.Events[0].Generation)
		}
	})
}

func TestAnEntityOutsideTheSlotsIsRefused(t *testing.T) {
	bubble(t, func(t *testing.T) {
		store := newStore(t)
		_, err := store.EnsureAggregate(t.Context(), "account", 2)
		wantNone(t, err)
		host := shard.NewHost(shard.Config{
			Store: store, Incarnation: "a", Logger: quiet(),
			Slot: func(entity string) uint16 { return uint16(len(entity)) << 14 },
		})
		defer host.Close(t.Context())
		s, err := host.Open(t.Context(), shard.Spec{ID: eventstore.ShardID{Aggregate: 1}, Aggregate: "account", Definition: shard.Definition{Behavior: bank{unit: "balance"}}})
		wantNone(t, err)
		c := shard.Command{Entity: "a", Name: "Open", ID: "1"}
		_, err = s.Handle(t.Context(), c)
		wantNone(t, err)
		c.Entity = "aaa"
		_, err = s.Handle(t.Context(), c)
		wantNotOwner(t, err)
		_, err = s.Read(t.Context(), "aaa", false)
		wantNotOwner(t, err)
	})
}

func TestObserversAreTold(t *testing.T) {
	bubble(t, func(t *testing.T) {
		owned, depth := newGauge(), newGauge()
		outcomes := make(chan shard.Outcome, 100)
		r := newRig(t, func(c *shard.Config, _ *shard.Definition) {
			c.Observer.ShardsOwned, c.Observer.MailboxDepth = owned.add, depth.add
			c.Observer.CommandDone = func(_, command string, o shard.Outcome, _ time.Duration) {
				if command != "Nonsense" {
					outcomes <- o
				}
			}
		})
		if owned.value() != 1 {
			t.Error("not owned")
		}
		open := r.command("a", "Open", "")
		mismatch := r.command("a", "Touch", "")
		mismatch.Expect = shard.Expectation{Kind: shard.ExpectVersion, Version: 9}
		for _, tt := range []struct {
			c    shard.Command
			want shard.Outcome
		}{
			{open, shard.OutcomeWritten},
			{open, shard.OutcomeReplayed},
			{r.command("a", "Touch", ""), shard.OutcomeEmpty},
			{r.command("a", "Withdraw", `{"amount":1}`), shard.OutcomeRejected},
			{r.command("a", "Withdraw", `{`), shard.OutcomeInvalid},
			{mismatch, shard.OutcomeInvalid},
			{r.command("a", "Explode", ""), shard.OutcomeFailed},
		} {
			r.send(tt.c)
			if got := <-outcomes; got != tt.want {
				t.Errorf("%s: %s, want %s", tt.c.Name, got, tt.want)
			}
		}
		r.send(r.command("a", "Nonsense", ""))
		if n := len(outcomes); n != 1 || <-outcomes != shard.OutcomeInvalid {
			t.Error("an unknown command's name must not become a label")
		}
		synctest.Wait()
		if n := depth.value(); n != 0 {
			t.Errorf("mailbox depth %d at rest", n)
		}
		wantNone(t, r.host.Close(t.Context()))
		if owned.value() != 0 {
			t.Error("still owned")
		}
	})
}
