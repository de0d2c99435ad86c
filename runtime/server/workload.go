package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/leftfold/leftfold/api/language"
	"github.com/leftfold/leftfold/api/v1alpha1"
	"github.com/leftfold/leftfold/runtime/behavior"
	"github.com/leftfold/leftfold/runtime/behavior/cel"
	"github.com/leftfold/leftfold/runtime/eventstore"
	"github.com/leftfold/leftfold/runtime/routing"
	"github.com/leftfold/leftfold/runtime/shard"
	"github.com/leftfold/leftfold/runtime/telemetry"
)

// openTimeout bounds one attempt to claim a shard.
const openTimeout = 10 * time.Second

// workload is all that runs on one store: the host of its shards, and the
// aggregates.
type workload struct {
	name    string
	store   eventstore.Store
	shared  bool // other processes may use the store too
	host    *shard.Host
	router  *routing.Router
	log     *slog.Logger
	self    eventstore.Incarnation
	metrics *telemetry.Metrics
	// projections are those whose sources are here.
	projections *projections
	// keeper decides which shards are served here.
	keeper keeper
	// member is how this process says that it lives.
	member membership

	mu         sync.Mutex
	aggregates map[string]*aggregate
	// changed is closed, and made anew, when an aggregate comes or goes.
	changed chan struct{}

	// beating is since when every heartbeat has reached the store; nil when the
	// last one has not.
	beating atomic.Pointer[time.Time]

	// tend ends when shards that stop are not to be opened again.
	tend   context.Context
	cancel context.CancelFunc
	work   sync.WaitGroup
}

// aggregate is one served aggregate.
type aggregate struct {
	name   string
	id     eventstore.AggregateID
	ranges []eventstore.SlotRange

	mu sync.Mutex
	accepted
	behavior behavior.Behavior
	shards   []*shard.Shard // nil where the shard is not served here
	// ended is closed when nothing of a shard that was served here is left but
	// projections' transactions under way; nil where none was.
	ended []chan struct{}
}

// begin makes an aggregate known to callers. Those of its shards that are not
// served here yet are held by the router.
func (w *workload) begin(ctx context.Context, name string, got accepted) (*aggregate, error) {
	rows, err := w.store.Shards(ctx, got.aggregate.ID)
	if err != nil {
		return nil, fmt.Errorf("list the shards of %s: %w", name, err)
	}
	a := &aggregate{
		name: name, id: got.aggregate.ID, accepted: got, behavior: cel.New(got.compiled),
		shards: make([]*shard.Shard, len(rows)), ended: make([]chan struct{}, len(rows)),
	}
	for _, row := range rows {
		a.ranges = append(a.ranges, row.Slots)
	}
	w.router.Add(name, a.ranges)
	w.mu.Lock()
	w.aggregates[name] = a
	w.tellChanged()
	w.mu.Unlock()
	w.keeper.begun(ctx, a)
	return a, nil
}

// tellChanged wakes those who wait for an aggregate. w.mu is held.
func (w *workload) tellChanged() {
	close(w.changed)
	w.changed = make(chan struct{})
}

// await gives an aggregate when it is known here; nil when ctx ended first.
func (w *workload) await(ctx context.Context, name string) *aggregate {
	for {
		w.mu.Lock()
		a, changed := w.aggregates[name], w.changed
		w.mu.Unlock()
		if a != nil {
			return a
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil
		}
	}
}

// shard is nil where the shard is not served here.
func (a *aggregate) shard(number int32) *shard.Shard {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.shards[number]
}

func (a *aggregate) definition() shard.Definition {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.definitionOf()
}

// current is the accepted definition.
func (a *aggregate) current() (generation int64, spec *v1alpha1.AggregateSpec) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.accepted.aggregate.Generation, a.spec
}

// names lists the served aggregates in order.
func (w *workload) names() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Sorted(maps.Keys(w.aggregates))
}

// aggregate is nil when there is none of that name here.
func (w *workload) aggregate(name string) *aggregate {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.aggregates[name]
}

// definitionOf is how the shards of an aggregate run it.
func (a *aggregate) definitionOf() shard.Definition {
	spec := a.spec
	return shard.Definition{
		Behavior:       a.behavior,
		Generation:     a.aggregate.Generation,
		SnapshotEvery:  int(spec.Snapshots.Every),
		PassivateAfter: time.Duration(spec.Passivation.IdleSeconds) * time.Second,
		DedupCommands:  int(spec.Deduplication.Commands),
		DedupFor:       time.Duration(spec.Deduplication.Minutes) * time.Minute,
	}
}

// redefine brings an accepted definition into force, unless the one in force is
// as new.
func (a *aggregate) redefine(got accepted) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if got.aggregate.Revision > a.aggregate.Revision && got.aggregate.Generation == a.aggregate.Generation {
		a.aggregate = got.aggregate // it was read again elsewhere, or settled
	}
	if got.aggregate.Generation <= a.aggregate.Generation {
		return
	}
	a.accepted, a.behavior = got, cel.New(got.compiled)
	for _, s := range a.shards {
		if s == nil {
			continue
		}
		s.Define(a.definitionOf())
	}
}

// compiled is the language's form of what is served, for projections.
func (w *workload) compiled() map[string]*language.Aggregate {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := make(map[string]*language.Aggregate, len(w.aggregates))
	for name, a := range w.aggregates {
		a.mu.Lock()
		out[name] = a.accepted.compiled
		a.mu.Unlock()
	}
	return out
}

// open claims one shard, from an expected epoch if one is given, and lets the
// router know. The keeper is told when it stops.
func (w *workload) open(ctx context.Context, a *aggregate, number int32, expected *int64) (*shard.Shard, error) {
	ctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	a.mu.Lock()
	before := a.ended[number]
	spec := shard.Spec{
		ID: eventstore.ShardID{Aggregate: a.id, Number: number}, Expected: expected,
		Aggregate: a.name, Definition: a.definitionOf(),
	}
	a.mu.Unlock()
	if before != nil {
		select {
		case <-before:
		case <-ctx.Done():
			return nil, fmt.Errorf("wait for the end of what the shard was here before: %w", ctx.Err())
		}
	}
	s, err := w.host.Open(ctx, spec)
	if err != nil {
		return nil, err
	}
	if s.Needs() > spec.Definition.Generation {
		// It holds its commands until then. Looked for only now, since as a rule there
		// is nothing, and callers wait.
		if err := w.catchUp(ctx, a); err != nil {
			return nil, errors.Join(err, giveBack(s))
		}
	}
	ended := make(chan struct{})
	a.mu.Lock()
	a.shards[number], a.ended[number] = s, ended
	if a.aggregate.Generation != spec.Definition.Generation {
		s.Define(a.definitionOf()) // it changed while the claim was under way
	}
	a.mu.Unlock()
	w.router.Place(a.name, number, s)
	w.projections.manager.Own(a.name, s.ID(), s)
	w.work.Go(func() {
		defer close(ended)
		<-s.Done()
		w.router.Place(a.name, number, nil)
		a.mu.Lock()
		a.shards[number] = nil
		a.mu.Unlock()
		w.keeper.stopped(a, number, s)
		w.projections.manager.Disown(s.ID())
	})
	return s, nil
}

// giveBack releases a shard that was claimed and cannot be served here. Nobody has
// been told of it yet.
func giveBack(s *shard.Shard) error {
	ctx, cancel := context.WithTimeout(context.Background(), releaseTimeout)
	defer cancel()
	return s.Drain(ctx)
}

// stop drains and releases all shards, then leaves. The store stays open.
func (w *workload) stop(ctx context.Context) error {
	w.cancel()
	err := w.host.Close(ctx)
	w.work.Wait()
	if w.shared {
		err = errors.Join(err, w.store.Leave(ctx, w.self))
	}
	return err
}
