package shard

import (
	"cmp"
	"context"
	"fmt"
	"runtime"
	"slices"
	"testing"
	"time"

	leftfoldv1 "github.com/leftfold/leftfold/api/rpc/leftfold/v1"
	"github.com/leftfold/leftfold/api/v1alpha1"
	"github.com/leftfold/leftfold/controllers/placement"
)

// BenchmarkFleet is what the control plane takes to reassign the shards of five of
// 200 pods that die at once, of 10,000 in all. The pods are in the same process and
// on the same cores, with their sockets and their TLS, so their work counts too.
func BenchmarkFleet(b *testing.B) {
	const lost = 5
	w, pods := largeRuntime(b)
	before := heap()
	began := time.Now()
	w.lead()
	w.wait(2*time.Minute, "known", func() bool {
		ready := 0
		for _, m := range w.view().Members {
			if m.Ready {
				ready++
			}
		}
		return w.view().Surveyed && ready == len(pods)
	})
	start := time.Since(began)
	round, shards := 0, 0
	for b.Loop() {
		victims := pods[lost*(round%40) : lost*(round%40+1)]
		var names []string
		for _, p := range victims {
			names = append(names, p.process.incarnation)
			shards += w.store.owners()[p.process.incarnation]
		}
		for _, p := range victims {
			p.kill()
		}
		w.wait(time.Minute, "taken over", func() bool {
			owners := w.store.owners()
			return !slices.ContainsFunc(names, func(name string) bool { return owners[name] > 0 })
		})
		b.StopTimer()
		round++
		for i, p := range victims {
			p.revive(fmt.Sprintf("%s-%d-%d", p.name, round, i))
		}
		b.StartTimer()
	}
	b.ReportMetric(float64(shards)/float64(round), "shards/op")
	b.ReportMetric(start.Seconds(), "s/start")
	// Of both sides: the pods' ends of the streams are in here.
	b.ReportMetric(float64(heap()-before)/(1<<20), "MiB")
}

func heap() int64 {
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapAlloc)
}

// largeRuntime is 200 pods that serve 50 aggregates of 200 shards each.
func largeRuntime(b *testing.B) (*fleetWorld, []*socketPod) {
	aggregates := map[string]int{}
	for i := range 50 {
		aggregates[fmt.Sprintf("aggregate-%02d", i)] = 200
	}
	w := newFleetWorld(b, aggregates)
	w.store.staleFor = 300 * time.Millisecond // 200 pods read 10,000 rows each
	var object v1alpha1.Runtime
	if err := w.client.Get(context.Background(), bankRuntime, &object); err != nil {
		b.Fatal(err)
	}
	// A process that is 200 pods and their operator is slow to answer itself.
	object.Spec.Failover = v1alpha1.Failover{HeartbeatIntervalMilliseconds: 1000, HeartbeatTimeoutMilliseconds: 20_000}
	if err := w.client.Update(context.Background(), &object); err != nil {
		b.Fatal(err)
	}
	pods := w.add(200)
	for _, p := range pods {
		p.process.forgetful = true
	}
	ids := make([]placement.ShardID, 0, len(w.store.rows))
	for id := range w.store.rows {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, func(x, y placement.ShardID) int {
		return cmp.Or(cmp.Compare(x.Aggregate, y.Aggregate), cmp.Compare(x.Number, y.Number))
	})
	for i, id := range ids {
		p := pods[i%len(pods)].process
		r, _ := w.store.claim(id, 0, p.incarnation, p.address)
		p.report(&leftfoldv1.ShardReport{Shard: wireOf(id), State: leftfoldv1.ShardState_SHARD_STATE_SERVING, Epoch: r.epoch})
	}
	return w, pods
}
