package shard_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leftfold/leftfold/runtime/eventstore"
	"github.com/leftfold/leftfold/runtime/eventstore/storetest/memory"
	"github.com/leftfold/leftfold/runtime/shard"
)

// Whatever an owner does next with a store that has lost what it acknowledged, it finds
// that out, and says so, for the next owner could not.
func TestAnOwnerFindsOutThatItsStoreWentBack(t *testing.T) {
	losses := map[string]func(r *rig) *memory.Store{
		"of an event": func(r *rig) *memory.Store {
			before := r.store.Store.(*memory.Store).Backup()
			r.must("a", "Deposit", `{"amount":1}`)
			return before
		},
		"of an event and the claim": func(r *rig) *memory.Store {
			wantNone(r.t, r.s.Drain(r.t.Context()))
			before := r.store.Store.(*memory.Store).Backup()
			r.open()
			r.must("a", "Deposit", `{"amount":1}`)
			return before
		},
		"of an event, and others are there": func(r *rig) *memory.Store {
			before := r.store.Store.(*memory.Store).Backup()
			r.must("a", "Deposit", `{"amount":1}`)
			other := rigOn(r.t, before, "host-b")
			other.must("a", "Deposit", `{"amount":2}`)
			other.must("a", "Deposit", `{"amount":3}`)
			return before
		},
	}
	next := map[string]func(r *rig){
		"it writes": func(r *rig) {
			wantNotOwner(r.t, r.send(r.command("a", "Deposit", `{"amount":4}`)).err)
		},
		"it reads strongly": func(r *rig) {
			wantNotOwner(r.t, r.startRead(r.t.Context(), "a").wait().err)
		},
		"it is drained": func(r *rig) {
			if err := r.s.Drain(r.t.Context()); !errors.Is(err, shard.ErrStoreWentBack) {
				r.t.Errorf("the drain ended with %v", err)
			}
		},
		"it is idle": func(r *rig) { time.Sleep(2 * time.Second) },
	}
	for loss, lose := range losses {
		for what, act := range next {
			t.Run(loss+": "+what, func(t *testing.T) {
				bubble(t, func(t *testing.T) {
					r := newRig(t)
					r.must("a", "Open", "")
					before := lose(r)
					r.store.Store.(*memory.Store).Restore(before)
					act(r)
					synctest.Wait()
					select {
					case err := <-r.lost:
						if !errors.Is(err, shard.ErrStoreWentBack) {
							t.Errorf("it ended with %v", err)
						}
					default:
						t.Fatal("nobody was told")
					}
					if _, err := r.host.Open(t.Context(), shard.Spec{ID: r.id, Aggregate: "account", Definition: r.def}); !errors.Is(err, shard.ErrStoreWentBack) {
						t.Errorf("it was opened again: %v", err)
					}
				})
			})
		}
	}
}

// Callers do not wait for the look, and one that fails changes nothing.
func TestAnOwnerThatCannotLookAtItsStoreEndsAllTheSame(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		r.must("a", "Open", "")
		r.another().must("a", "Deposit", `{"amount":1}`)
		r.store.set(func() {
			r.store.row = func(func() (eventstore.ShardState, error)) (eventstore.ShardState, error) {
				time.Sleep(time.Second)
				return eventstore.ShardState{}, eventstore.ErrNotAttempted
			}
		})
		begun := time.Now()
		wantNotOwner(t, r.send(r.command("a", "Deposit", `{"amount":4}`)).err)
		if took := time.Since(begun); took > 0 {
			t.Errorf("the caller waited for the look: %s", took)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if err := r.s.Err(); !errors.Is(err, shard.ErrNotOwner) {
			t.Errorf("it ended with %v", err)
		}
	})
}
