package server_test

import (
	"fmt"
	"sync"
	"testing"

	"github.com/leftfold/leftfold/runtime/control/controltest"
)

func TestAnyPodTakesAnyCommandAndTheOwnerRunsIt(t *testing.T) {
	f := newFleet(t, postgresPlace(t))
	pods := []*managedRig{f.start(t, probe(t)), f.start(t, probe(t)), f.start(t, probe(t))}
	// Each has some of the shards, and only the store knows who has which.
	for i, r := range pods {
		o := r.operator(t)
		for number := int32(i); number < probeShards; number += int32(len(pods)) {
			o.Grant("probe", number, 0)
			o.Shard("probe", number, serving)
		}
	}
	for i := range 24 {
		entity := fmt.Sprintf("e-%d", i)
		for version, r := range pods {
			if a := r.add(t, entity); a.at("version") != itoa(int64(version+1)) {
				t.Errorf("%s through pod %d: %s", entity, version, a.text)
			}
		}
		for _, r := range pods {
			if a := r.ok(t, get(probePath(entity))); a.at("version") != itoa(int64(len(pods))) {
				t.Errorf("a strong read of %s: %s", entity, a.text)
			}
		}
	}
	row{status: 409, reason: "NotEnough", request: post(probePath("e-1")+"/Take", `{"amount":1000}`)}.run(t, &pods[0].rig)
	for _, r := range pods {
		states := r.states(t)
		if states["serving"]+states["remote"] != probeShards || states["serving"] == probeShards {
			t.Errorf("a pod says of the shards %v", states)
		}
	}
}

func TestCallersSeeOnlyLatencyWhileShardsAreHandedOn(t *testing.T) {
	f := newFleet(t, postgresPlace(t))
	first, second := f.start(t, probe(t)), f.start(t, probe(t))
	a, b := first.operator(t), second.operator(t)
	grantAll(a)
	stop := traffic(t, first, second)
	for round := range 3 {
		from, to := a, b
		if round%2 == 1 {
			from, to = b, a
		}
		for number := range int32(probeShards) {
			name := shardName(number)
			epoch := from.Seen().Shards[name].GetEpoch()
			from.Release("probe", number, epoch)
			from.Shard("probe", number, released)
			to.Grant("probe", number, epoch)
			to.Until("the shard to be served on", func(s *controltest.Seen) bool {
				return s.Shards[name].GetState() == serving && s.Shards[name].GetEpoch() == epoch+1
			})
		}
	}
	stop()
}

func TestCallersOfLivingPodsSeeOnlyLatencyWhenAPodDies(t *testing.T) {
	f := newFleet(t, postgresPlace(t))
	first, second, third := f.start(t, probe(t)), f.start(t, probe(t)), f.start(t, probe(t))
	grantAll(first.operator(t))
	b, c := second.operator(t), third.operator(t)
	stop := traffic(t, second, third)
	first.Crash()
	for number := range int32(probeShards) {
		o := b
		if number%2 == 1 {
			o = c
		}
		o.Grant("probe", number, 1)
		o.Shard("probe", number, serving)
	}
	stop()
}

// traffic sends commands through pods, each counting up an entity of its own, until
// stop is called. None may fail, be lost or be doubled.
func traffic(t *testing.T, pods ...*managedRig) (stop func()) {
	t.Helper()
	ended := make(chan struct{})
	var writers sync.WaitGroup
	for w := range 8 {
		r := pods[w%len(pods)]
		begun := make(chan struct{})
		writers.Go(func() {
			entity := fmt.Sprintf("%s-%d", r.uid, w)
			for i := int64(1); ; i++ {
				a, err := r.try(t.Context(), post(probePath(entity)+"/Add", `{"amount":1}`))
				if err != nil || a.status != 200 || a.at("version") != itoa(i) {
					t.Errorf("%s, command %d: %d %s %v", entity, i, a.status, a.text, err)
					return
				}
				if i == 1 {
					close(begun)
				}
				select {
				case <-ended:
					return
				default:
				}
			}
		})
		<-begun
	}
	return func() {
		close(ended)
		writers.Wait()
	}
}
