package server

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leftfold/leftfold/runtime/eventstore"
	"github.com/leftfold/leftfold/runtime/eventstore/storetest/memory"
	"github.com/leftfold/leftfold/runtime/routing"
	"github.com/leftfold/leftfold/runtime/shard"
	"github.com/leftfold/leftfold/runtime/telemetry"
)

// After an outage of the store nobody's heartbeat is fresh. Whoever comes back
// first must not take that for the death of all others.
func TestAnOwnerIsDeadOnlyToThoseWhoseOwnHeartbeatsArrived(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memory.New(memory.Options{})
		w := &workload{store: store, shared: true, self: "self", member: membership{timeout: heartbeatTimeout}, tend: t.Context(), log: slog.New(slog.DiscardHandler)}
		stored, err := store.EnsureAggregate(t.Context(), "account", 1)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := store.Claim(t.Context(), eventstore.ClaimRequest{
			Shard: eventstore.ShardID{Aggregate: stored.ID}, Owner: "other",
		}); err != nil {
			t.Fatal(err)
		}
		beat := func(i eventstore.Incarnation) {
			t.Helper()
			if err := store.Heartbeat(t.Context(), eventstore.Member{Incarnation: i}); err != nil {
				t.Fatal(err)
			}
		}
		want := func(taken bool, when string) {
			t.Helper()
			if got, err := w.takenByOther(&aggregate{id: stored.ID}, 0); err != nil || got != taken {
				t.Errorf("%s: taken %v, %v; want %v", when, got, err, taken)
			}
		}
		beat("other")
		want(true, "while its owner lives")
		time.Sleep(heartbeatTimeout)
		want(true, "when all have been silent")
		if err := w.heartbeat(t.Context()); err != nil {
			t.Fatal(err)
		}
		want(true, "at the first heartbeat of our own")
		time.Sleep(heartbeatTimeout)
		want(false, "when ours have arrived for as long as its owner was silent")
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		if err := w.heartbeat(ended); err == nil {
			t.Fatal("a heartbeat arrived that could not be sent")
		}
		want(true, "after one of ours was lost")
		beat("other")
		want(true, "when its owner is back")
	})
}

// unlisted is a store that cannot tell what it has of definitions.
type unlisted struct {
	eventstore.Store
	fails bool
}

var errUnlisted = errors.New("no definitions today")

func (u *unlisted) Aggregates(ctx context.Context) ([]eventstore.Aggregate, error) {
	if u.fails {
		return nil, errUnlisted
	}
	return u.Store.Aggregates(ctx)
}

// resting is a keeper that does nothing by itself.
type resting struct{ t *testing.T }

func (resting) begun(context.Context, *aggregate) {}
func (k resting) stopped(_ *aggregate, number int32, s *shard.Shard) {
	k.t.Errorf("shard %d is said to have stopped: %v", number, s.Err())
}
func (resting) renewed(*shard.Shard, int64) {}

// A shard whose definition cannot be read would hold its commands. It is given back,
// and nothing of the attempt is in the way of the next.
func TestAShardWhoseDefinitionCannotBeReadIsGivenBackAndCanBeOpenedLater(t *testing.T) {
	s := &Server{cfg: Config{Data: t.TempDir()}, self: "self", router: routing.New(routing.Config{}), metrics: telemetry.New("test")}
	defer s.router.Close()
	store, err := s.openStore(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	definitions := &unlisted{Store: store.Store}
	store.Store, store.shared = definitions, true
	w := s.newWorkload("", store, membership{}, slog.New(slog.DiscardHandler))
	w.keeper = resting{t}
	defer func() {
		w.keeper = greedy{w} // now it may stop
		if err := w.close(t.Context()); err != nil {
			t.Error(err)
		}
	}()
	a, err := w.begin(t.Context(), "thing", offering(t, object("x", 1, 0), "A").mustAccept(t, store))
	if err != nil {
		t.Fatal(err)
	}
	offering(t, object("x", 2, 0), "A", "B").mustAccept(t, store)
	definitions.fails = true
	if _, err := w.open(t.Context(), a, 0, nil); !errors.Is(err, errUnlisted) {
		t.Fatalf("opened with %v, want %v", err, errUnlisted)
	}
	row, err := store.Shard(t.Context(), eventstore.ShardID{Aggregate: a.id})
	if err != nil || row.Owner != "" {
		t.Errorf("it belongs to %q, %v; want nobody", row.Owner, err)
	}
	definitions.fails = false
	opened, err := w.open(t.Context(), a, 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	<-opened.CaughtUp()
}
