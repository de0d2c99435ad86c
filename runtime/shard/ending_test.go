package shard_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/leftfold/leftfold/runtime/eventstore"
	"github.com/leftfold/leftfold/runtime/problem"
	"github.com/leftfold/leftfold/runtime/shard"
)

// What has come in the very turn in which the shard ends must be answered too:
// its caller may have no deadline, and could go to the next owner.
func TestARequestThatComesAsTheShardEndsIsHandedOn(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var held atomic.Pointer[gate]
		r := newRig(t, func(c *shard.Config, _ *shard.Definition) {
			c.Observer.MailboxDepth = func(string, int) { // the shard's own goroutine calls it
				if g := held.Swap(nil); g != nil {
					g.pass()
				}
			}
		})
		r.must("a", "Open", "")
		r.once(func(b []eventstore.Batch, _ func() []eventstore.AppendResult) []eventstore.AppendResult {
			return all(b, eventstore.Refused)
		})
		g := r.gate()
		held.Store(g)
		refused := r.start(t.Context(), r.command("a", "Deposit", `{"amount":1}`))
		<-g.arrived
		synctest.Wait() // the refusal is in the mailbox,
		r.s.Define(r.def)
		late := r.start(t.Context(), r.command("a", "Deposit", `{"amount":2}`))
		read := r.startRead(t.Context(), "b")
		synctest.Wait() // and these with it
		g.open()
		wantNotOwner(t, refused.wait().err)
		wantNotOwner(t, late.wait().err)
		wantNotOwner(t, read.wait().err)
	})
}

func TestAShardThatEndsForAnUnforeseenCauseSaysThatNothingRan(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		r.must("a", "Open", "")
		g := r.gate()
		r.once(func(b []eventstore.Batch, _ func() []eventstore.AppendResult) []eventstore.AppendResult {
			g.pass()
			return all(b, eventstore.Unknown)
		})
		r.store.set(func() {
			r.store.claim = func(eventstore.ClaimRequest, func() (eventstore.ShardState, error)) (eventstore.ShardState, error) {
				return eventstore.ShardState{}, eventstore.ErrUnknownName // the tables are gone
			}
		})
		unsure := r.start(t.Context(), r.command("a", "Deposit", `{"amount":1}`))
		<-g.arrived
		later := r.start(t.Context(), r.command("a", "Deposit", `{"amount":2}`))
		synctest.Wait()
		g.open()
		wantReason(t, unsure.wait().err, problem.OutcomeUnknown)
		wantReason(t, later.wait().err, problem.NotAttempted)
		_, err := r.s.Handle(t.Context(), r.command("a", "Touch", ""))
		wantReason(t, err, problem.NotAttempted)
		<-r.s.Done()
	})
}

// unreadable is a store whose log cannot be read for a while.
type unreadable struct {
	eventstore.Store
	away atomic.Bool
}

var errAway = errors.New("the store is away")

func (u *unreadable) ReadShard(ctx context.Context, id eventstore.ShardID, after int64, limit int) ([]eventstore.Event, error) {
	if u.away.Load() {
		return nil, errAway
	}
	return u.Store.ReadShard(ctx, id, after, limit)
}

func TestAStoreThatCannotBeComparedIsNotSaidToHaveGoneBack(t *testing.T) {
	bubble(t, func(t *testing.T) {
		store := &unreadable{Store: newStore(t)}
		var said bytes.Buffer
		r := rigOn(t, store, "host-a", func(c *shard.Config, _ *shard.Definition) {
			c.Logger = slog.New(slog.NewTextHandler(&said, nil))
		})
		r.must("a", "Open", "")
		wantNone(t, r.s.Drain(t.Context()))
		other := r.another()
		other.must("a", "Deposit", `{"amount":1}`)
		wantNone(t, other.s.Drain(t.Context()))

		store.away.Store(true)
		_, err := r.host.Open(t.Context(), shard.Spec{ID: r.id, Aggregate: "account", Definition: r.def})
		if !errors.Is(err, errAway) || errors.Is(err, shard.ErrStoreWentBack) {
			t.Errorf("got %v, want the store's own error", err)
		}
		if strings.Contains(said.String(), "WENT BACK") {
			t.Errorf("an operator would read:\n%s", said.String())
		}
		store.away.Store(false)
		r.open()
		if n := r.balance("a"); n != 1 {
			t.Errorf("balance %d, want 1", n)
		}
	})
}
