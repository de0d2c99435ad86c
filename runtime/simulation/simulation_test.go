package simulation

import (
	"context"
	"flag"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leftfold/leftfold/runtime/eventstore/storetest/memory"
)

var (
	oneSeed = flag.Int64("seed", -1, "run this seed alone")
	seeds   = flag.Uint64("seeds", 500, "how many seeds to run")
)

// simulate runs one seed under virtual time, and judges it.
func simulate(t *testing.T, seed uint64, without memory.Guard) *outcome {
	var out *outcome
	synctest.Test(t, func(*testing.T) { out = newWorld(seed, without).run() })
	out.linearizable()
	return out
}

// run plays a world to its end.
func (w *world) run() *outcome {
	o := &operator{world: w, r: w.source("operator")}
	for n := range w.id {
		for w.host(w.owner[n]).Shard(w.id[n]) == nil {
			o.takeover(n, o.r.IntN(places))
		}
	}
	stop := make(chan struct{})
	var users, others sync.WaitGroup
	others.Go(func() { o.run(stop) })
	for n := range w.id {
		r := w.source(fmt.Sprint("projection", n))
		others.Go(func() { w.follow(n, r, stop) })
	}
	for n := range clients {
		c := &client{world: w, n: n, r: w.source(fmt.Sprint("client", n)), known: make(map[string]int64)}
		users.Go(c.run)
	}
	users.Wait()
	close(stop)
	others.Wait()
	w.calm.Store(true)
	w.calls.Wait()
	out := w.finish()
	for _, h := range w.hosts {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		_ = h.Close(ctx) // its shards have been lost to the fresh host
		cancel()
	}
	w.calls.Wait()
	return out
}

// chosen are the seeds that the flags ask for.
func chosen() (first, count uint64) {
	if *oneSeed >= 0 {
		return uint64(*oneSeed), 1
	}
	return 0, *seeds
}

func TestWithAllGuardsNothingIsViolated(t *testing.T) {
	first, count := chosen()
	for seed := first; seed < first+count; seed++ {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			if out := simulate(t, seed, 0); len(out.violations) > 0 {
				t.Error(out.report())
			}
		})
	}
}

// A seed is of use only if it gives the same run again. On one processor it does: what
// happens at one instant happens in one order.
func TestASeedRepeatsItsRun(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	for seed := range uint64(20) {
		if shardsOf(seed) > 1 {
			continue // whether their batches meet in one append is up to Go's scheduler
		}
		first, second := simulate(t, seed, 0), simulate(t, seed, 0)
		for i, op := range first.history {
			if i == len(second.history) || op.String() != second.history[i].String() {
				t.Errorf("seed %d differs at operation %d:\n  %s\n  %s", seed, i, op, second.history[min(i, len(second.history)-1)])
				break
			}
		}
	}
}
