package shard_test

import (
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/leftfold/leftfold/runtime/eventstore"
	"github.com/leftfold/leftfold/runtime/shard"
)

// In virtual time nothing but turns takes time: what others wait for beside a hot
// entity is the append that is under way, and that batches gather. What busy
// processors and disks add to that is hack/bench's to say.
func TestOthersWaitForAHotEntityNoLongerThanAnAppend(t *testing.T) {
	const (
		shards = 16
		hot    = 32 // callers that send as fast as they are answered
		others = 500
		every  = 5 * time.Millisecond
		takes  = 2 * time.Millisecond
	)
	bubble(t, func(t *testing.T) {
		store := &rigged{Store: newStore(t)}
		store.append = func(_ []eventstore.Batch, next func() []eventstore.AppendResult) []eventstore.AppendResult {
			time.Sleep(takes)
			return next()
		}
		aggregate, err := store.EnsureAggregate(t.Context(), "account", shards)
		wantNone(t, err)
		host := shard.NewHost(shard.Config{Store: store, Incarnation: "host-a", Address: "host-a:1", Logger: quiet()})
		defer func() { wantNone(t, host.Close(t.Context())) }()
		var all []*shard.Shard
		for number := range int32(shards) {
			s, err := host.Open(t.Context(), shard.Spec{
				ID:        eventstore.ShardID{Aggregate: aggregate.ID, Number: number},
				Aggregate: "account", Definition: shard.Definition{Behavior: bank{unit: "balance"}},
			})
			wantNone(t, err)
			all = append(all, s)
		}
		var n atomic.Int64
		send := func(s *shard.Shard, entity, name, body string) time.Duration {
			begin := time.Now()
			_, err := s.Handle(t.Context(), shard.Command{Entity: entity, Name: name, Body: []byte(body), ID: fmt.Sprint(n.Add(1)), Keyed: true})
			if err != nil {
				t.Errorf("%s of %s: %v", name, entity, err)
			}
			return time.Since(begin)
		}
		for i, s := range all {
			send(s, fmt.Sprint("other-", i), "Open", "")
		}
		send(all[0], "hot", "Open", "")
		p99 := func() time.Duration {
			var took []time.Duration
			for i := range others {
				time.Sleep(every)
				took = append(took, send(all[i%shards], fmt.Sprint("other-", i%shards), "Deposit", `{"amount":1}`))
			}
			slices.Sort(took)
			return took[others*99/100]
		}
		alone := p99()
		before := n.Load()
		stop := make(chan struct{})
		ended := make(chan struct{}, hot)
		for range hot {
			go func() {
				defer func() { ended <- struct{}{} }()
				for {
					select {
					case <-stop:
						return
					default:
						send(all[0], "hot", "Deposit", `{"amount":1}`)
					}
				}
			}()
		}
		beside := p99()
		close(stop)
		for range hot {
			<-ended
		}
		t.Logf("others' p99 alone %v, beside %d commands to one entity %v", alone, n.Load()-before-others, beside)
		if beside > 2*alone {
			t.Errorf("others' p99 is %v beside a hot entity, and %v without", beside, alone)
		}
	})
}
