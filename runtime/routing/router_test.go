package routing

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leftfold/leftfold/runtime/eventstore"
	"github.com/leftfold/leftfold/runtime/problem"
	"github.com/leftfold/leftfold/runtime/shard"
)

// The values were computed once with another implementation of xxHash64; a
// change here would send every entity to another shard.
func TestSlotIsFixedForEver(t *testing.T) {
	for entity, want := range map[string]uint16{
		"":          0xef46,
		"a":         0xd24e,
		"abc":       0x44bc,
		"message":   0x9897,
		"account-1": 0xb778,
		"Zürich/7":  0x6bed,
	} {
		if got := Slot(entity); got != want {
			t.Errorf("Slot(%q) = %#x, want %#x", entity, got, want)
		}
	}
}

// fixed is an owner that answers with its own name, or with an error.
type fixed struct {
	name string
	err  error
}

func (f *fixed) Handle(context.Context, shard.Command) (shard.Answer, error) {
	return shard.Answer{Entity: f.name}, f.err
}

func (f *fixed) Read(context.Context, string, bool) (shard.View, error) {
	return shard.View{Entity: f.name}, f.err
}

func (f *fixed) Lease() eventstore.Lease { return eventstore.Lease{} }

func two() *Router {
	r := New(Config{HoldFor: time.Second, Held: 1})
	r.Add("account", []eventstore.SlotRange{{First: 0, Last: 32767}, {First: 32768, Last: 65535}})
	return r
}

// entityIn finds an id whose slot lies in the lower or the upper half.
func entityIn(t *testing.T, upper bool) string {
	t.Helper()
	for i := range 1000 {
		if id := fmt.Sprintf("e%d", i); (Slot(id) >= 32768) == upper {
			return id
		}
	}
	t.Fatal("no id found")
	return ""
}

func TestACallReachesTheShardThatHoldsItsSlot(t *testing.T) {
	r := two()
	r.Place("account", 0, &fixed{name: "low"})
	r.Place("account", 1, &fixed{name: "high"})
	for upper, want := range map[bool]string{false: "low", true: "high"} {
		a, err := r.Handle(t.Context(), "account", shard.Command{Entity: entityIn(t, upper)})
		if err != nil || a.Entity != want {
			t.Errorf("answered by %q, %v; want %q", a.Entity, err, want)
		}
	}
	if _, err := r.Handle(t.Context(), "nothing", shard.Command{Entity: "x"}); !problem.Is(err, problem.UnknownName) {
		t.Errorf("an unknown aggregate: %v", err)
	}
}

func TestACallIsHeldUntilItsShardHasAnOwnerAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, entity := two(), entityIn(t, false)
		lost := &fixed{err: fmt.Errorf("moved: %w", shard.ErrNotOwner)}
		r.Place("account", 0, lost)
		got := make(chan shard.Answer)
		go func() {
			a, err := r.Handle(t.Context(), "account", shard.Command{Entity: entity})
			if err != nil {
				t.Error(err)
			}
			got <- a
		}()
		synctest.Wait()
		if _, err := r.Handle(t.Context(), "account", shard.Command{Entity: entity}); !problem.Is(err, problem.NotAttempted) {
			t.Errorf("a call beyond the bound of held ones: %v", err)
		}
		r.Place("account", 0, nil)
		synctest.Wait()
		r.Place("account", 0, &fixed{name: "new"})
		if a := <-got; a.Entity != "new" {
			t.Errorf("answered by %q", a.Entity)
		}
	})
}

func TestACallIsNotHeldForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, entity := two(), entityIn(t, true)
		_, err := r.Read(t.Context(), "account", entity, true)
		var p *problem.Problem
		if !errors.As(err, &p) || p.Reason != problem.NotAttempted || p.RetryAfter == 0 {
			t.Errorf("after the hold: %v", err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if _, err := r.Read(ctx, "account", entity, true); !problem.Is(err, problem.NotAttempted) {
			t.Errorf("after the caller's time: %v", err)
		}
	})
}
