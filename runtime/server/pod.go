package server

import (
	"context"
	"log/slog"
	"math"
	"sync"
	"sync/atomic"
	"time"

	leftfoldv1 "github.com/leftfold/leftfold/api/rpc/leftfold/v1"
	"github.com/leftfold/leftfold/runtime/control"
	"github.com/leftfold/leftfold/runtime/shard"
)

// claimsAtOnce is how many shards are claimed at the same time: enough to take
// over all of a lost pod's in a few round trips to the store, and no more than the
// connections that the store keeps for them.
const claimsAtOnce = 16

// pod is what an operator may ask of a managed process (control.Pod), and the
// keeper of its workload: it serves the shards that were granted, and while there
// is no operator those that nobody else serves (orphan.go).
//
// What is asked for one shard happens in turn; what is asked for several, at the
// same time.
type pod struct {
	w       *workload
	control *control.Service
	log     *slog.Logger
	// started is when the process could first have been heard of.
	started time.Time
	orphans orphans

	ctx    context.Context // of all that the operator asked for
	cancel context.CancelFunc
	work   sync.WaitGroup
	claims chan struct{} // a semaphore

	// ready: definitions were seen once, and the listeners are there. draining:
	// the process is to end.
	ready, draining atomic.Bool
	// drained is closed when draining is set.
	drained   chan struct{}
	drainOnce sync.Once

	mu    sync.Mutex
	seats map[control.Shard]*seat
	// vacated holds one when a shard has stopped.
	vacated chan struct{}
}

// seat is a shard's place in this process, whether it is here or not.
type seat struct {
	// busy is held while something asked for the shard is carried out.
	busy sync.Mutex
	// restarting: the end of the shard is not told, for it comes back at once.
	restarting atomic.Bool
	// orphan: it was last claimed without an operator.
	orphan atomic.Bool
}

func newPod(w *workload) *pod {
	p := &pod{
		w: w, log: w.log, started: time.Now(), claims: make(chan struct{}, claimsAtOnce),
		drained: make(chan struct{}), seats: map[control.Shard]*seat{}, vacated: make(chan struct{}, 1),
	}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	return p
}

func (p *pod) seat(name control.Shard) *seat {
	p.mu.Lock()
	defer p.mu.Unlock()
	t := p.seats[name]
	if t == nil {
		t = &seat{}
		p.seats[name] = t
	}
	return t
}

// Ready implements control.Pod.
func (p *pod) Ready() bool { return p.ready.Load() && !p.draining.Load() }

// Grant implements control.Pod.
func (p *pod) Grant(name control.Shard, expectedEpoch int64) {
	p.work.Go(func() { p.grant(name, expectedEpoch) })
}

// Release implements control.Pod.
func (p *pod) Release(name control.Shard, epoch int64) {
	p.work.Go(func() { p.release(name, epoch) })
}

// Drain implements control.Pod.
func (p *pod) Drain() {
	p.drainOnce.Do(func() {
		p.draining.Store(true)
		close(p.drained)
		p.control.ReportDraining()
	})
}

// Loads implements control.Pod. Tenths of an event a second are no news.
func (p *pod) Loads() []*leftfoldv1.Load {
	var loads []*leftfoldv1.Load
	for _, s := range p.served() {
		rate := math.Round(s.Load()*10) / 10
		loads = append(loads, &leftfoldv1.Load{Shard: nameOf(s).Message(), EventsPerSecond: rate})
	}
	return loads
}

func nameOf(s *shard.Shard) control.Shard {
	return control.Shard{Aggregate: s.Aggregate(), Number: s.ID().Number}
}

// served lists the shards that are served here, by aggregate and number.
func (p *pod) served() []*shard.Shard {
	var out []*shard.Shard
	for _, name := range p.w.names() {
		a := p.w.aggregate(name)
		if a == nil {
			continue
		}
		for number := range a.ranges {
			if s := a.shard(int32(number)); s != nil && !ended(s) {
				out = append(out, s)
			}
		}
	}
	return out
}

// begun implements keeper: shards come by grants.
func (p *pod) begun(context.Context, *aggregate) {}

// stop ends all that was asked for, and waits for it.
func (p *pod) stop() {
	p.cancel()
	p.work.Wait()
}
