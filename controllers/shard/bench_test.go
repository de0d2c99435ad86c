package shard

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/leftfold/leftfold/api/v1alpha1"
)

// BenchmarkFleet is what the control plane takes to reassign the shards of five of
// 200 pods that die at once, of 10,000 in all. The pods, with their sockets and the
// store, are another process on the same cores.
//
//	sec/op, shards/op   from the deaths to the last claim, and how many shards moved
//	s/start             from a leader's begin until it knows all
//	ms/plan, plans>50ms what a plan took in the mean after that, and how many took longer
//	MiB                 what is resident of the operator's process
//	writes/idle         status writes in idleTime after all was written once
func BenchmarkFleet(b *testing.B) {
	const count, lost = 200, 5
	pods := startPods(b, count)
	w := pods.world
	began := time.Now()
	w.lead(func(c *Config) { c.Identity = pods.operator })
	w.wait(2*time.Minute, "known", func() bool {
		ready := 0
		for _, m := range w.view().Members {
			if m.Ready {
				ready++
			}
		}
		return w.view().Surveyed && ready == count
	})
	start := time.Since(began)
	learning := plans(b, w)
	round, shards := 0, 0
	for b.Loop() {
		victims := make([]int, lost)
		for i := range victims {
			victims[i] = (lost*round + i) % count
		}
		shards += pods.ask(podsCommand{Kill: victims})
		b.StopTimer()
		pods.ask(podsCommand{Revive: victims})
		round++
		b.StartTimer()
	}
	b.ReportMetric(float64(shards)/float64(round), "shards/op")
	all := plans(b, w)
	b.ReportMetric(1000*(all.seconds-learning.seconds)/(all.made-learning.made), "ms/plan")
	b.ReportMetric(all.slow-learning.slow, "plans>50ms")
	b.ReportMetric(start.Seconds(), "s/start")
	b.ReportMetric(resident(b), "MiB")
	b.ReportMetric(float64(idleWrites(b, w)), "writes/idle")
}

// resident is what this process has in memory, in MiB.
func resident(b *testing.B) float64 {
	b.Helper()
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		b.Fatal(err)
	}
	var size, pages int
	if _, err := fmt.Sscan(string(text), &size, &pages); err != nil {
		b.Fatal(err)
	}
	return float64(pages*os.Getpagesize()) / (1 << 20)
}

// planned is how many plans the Fleet has made, how long all took together, and how
// many took more than 50 ms.
type planned struct{ made, seconds, slow float64 }

func plans(b *testing.B, w *fleetWorld) planned {
	b.Helper()
	families, err := w.metrics.Gather()
	if err != nil {
		b.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != "leftfold_plan_seconds" {
			continue
		}
		h := f.GetMetric()[0].GetHistogram()
		p := planned{made: float64(h.GetSampleCount()), seconds: h.GetSampleSum()}
		for _, bucket := range h.GetBucket() {
			if bucket.GetUpperBound() == 0.05 {
				p.slow = p.made - float64(bucket.GetCumulativeCount())
			}
		}
		return p
	}
	b.Fatal("no plan was measured")
	return planned{}
}

// idleTime is how long nothing may be written.
const idleTime = 20 * time.Second

// idleWrites has the status of every Shard written once, and counts what is written
// while nothing happens.
func idleWrites(b *testing.B, w *fleetWorld) int64 {
	b.Helper()
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	queue := workqueue.NewTypedRateLimitingQueue(workqueue.DefaultTypedControllerRateLimiter[reconcile.Request]())
	defer queue.ShutDown()
	if err := w.fleet.Shards().Start(ctx, queue); err != nil {
		b.Fatal(err)
	}
	for _, s := range w.view().Shards {
		object := &v1alpha1.Shard{
			ObjectMeta: metav1.ObjectMeta{
				Namespace: bankRuntime.Namespace, Name: objectName(s.Aggregate, s.Number), Labels: v1alpha1.ShardLabels(s.Aggregate, bankRuntime.Name),
			},
			Spec: v1alpha1.ShardSpec{AggregateRef: v1alpha1.AggregateReference{Name: s.Aggregate}, ID: s.Number},
		}
		if err := w.client.Create(ctx, object); err != nil {
			b.Fatal(err)
		}
		queue.Add(reconcile.Request{NamespacedName: client.ObjectKeyFromObject(object)})
	}
	r := &Reconciler{Client: w.client, Views: w.fleet}
	work := func() {
		for queue.Len() > 0 {
			request, _ := queue.Get()
			if _, err := r.Reconcile(ctx, request); err != nil {
				b.Fatal(err)
			}
			queue.Done(request)
		}
	}
	work()
	if n := w.writes.Load(); n < int64(len(w.view().Shards)) {
		b.Fatalf("the status of %d Shards was written, there are %d", n, len(w.view().Shards))
	}
	before := w.writes.Load()
	for ended := time.After(idleTime); ; {
		select {
		case <-ended:
			return w.writes.Load() - before
		case <-time.After(10 * time.Millisecond):
			work()
		}
	}
}
