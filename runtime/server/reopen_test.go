package server

import (
	"context"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leftfold/leftfold/runtime/eventstore"
	"github.com/leftfold/leftfold/runtime/eventstore/storetest/memory"
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
