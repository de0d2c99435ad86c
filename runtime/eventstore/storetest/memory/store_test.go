package memory_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/leftfold/leftfold/runtime/eventstore"
	"github.com/leftfold/leftfold/runtime/eventstore/storetest"
	"github.com/leftfold/leftfold/runtime/eventstore/storetest/memory"
)

func TestConformance(t *testing.T) {
	storetest.Run(t, func(*testing.T) eventstore.Store { return memory.New(memory.Options{}) },
		storetest.WithReopen(func(t *testing.T, s eventstore.Store) eventstore.Store {
			again := s.(*memory.Store).Connect()
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			return again
		}))
}

func TestAgesFollowTheClockOfABubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := memory.New(memory.Options{})
		if err := s.Heartbeat(t.Context(), eventstore.Member{Incarnation: "one"}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		all, err := s.Members(t.Context())
		if err != nil || len(all) != 1 || all[0].Age != time.Hour {
			t.Errorf("got %v, %v", all, err)
		}
	})
}

func TestABackupDoesNotSeeWhatComesLater(t *testing.T) {
	s := memory.New(memory.Options{})
	a, err := s.EnsureAggregate(t.Context(), "account", 1)
	if err != nil {
		t.Fatal(err)
	}
	backup := s.Backup()
	id := eventstore.ShardID{Aggregate: a.ID}
	if _, err := s.Claim(t.Context(), eventstore.ClaimRequest{Shard: id, Owner: "one"}); err != nil {
		t.Fatal(err)
	}
	row, err := backup.Shard(t.Context(), id)
	if err != nil || row.Epoch != 0 {
		t.Errorf("got epoch %d, %v", row.Epoch, err)
	}
}
