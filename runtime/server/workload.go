package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/leftfold/leftfold/api/language"
	"github.com/leftfold/leftfold/api/v1alpha1"
	"github.com/leftfold/leftfold/runtime/behavior"
	"github.com/leftfold/leftfold/runtime/behavior/cel"
	"github.com/leftfold/leftfold/runtime/definition"
	"github.com/leftfold/leftfold/runtime/eventstore"
	"github.com/leftfold/leftfold/runtime/routing"
	"github.com/leftfold/leftfold/runtime/shard"
)

const (
	// heartbeatEvery is how often a process that shares its store says that it
	// lives; heartbeatTimeout is how long it may be silent before its shards
	// are taken from it.
	heartbeatEvery   = time.Second
	heartbeatTimeout = 5 * time.Second
	// openTimeout bounds one attempt to claim a shard.
	openTimeout = 10 * time.Second
	// A shard that stopped is opened again after these pauses.
	firstPause, lastPause = 50 * time.Millisecond, 5 * time.Second
)

// workload is all that runs on one store: the host of its shards, and the
// aggregates.
type workload struct {
	name   string
	store  eventstore.Store
	shared bool // other processes may use the store too
	host   *shard.Host
	router *routing.Router
	log    *slog.Logger
	self   eventstore.Incarnation
	// projections are those whose sources are here.
	projections *projections

	mu         sync.Mutex
	aggregates map[string]*aggregate

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
}

// serve makes an aggregate known, or gives one that is served a new definition.
// It returns a *stalledError, with the aggregate being served under the
// definition before, when history contradicts the new one.
func (w *workload) serve(ctx context.Context, name string, a *definition.Aggregate) error {
	got, err := accept(ctx, w.store, name, &a.Object.Spec, a.Compiled)
	if err != nil {
		return err
	}
	w.mu.Lock()
	served := w.aggregates[name]
	w.mu.Unlock()
	if served == nil {
		served, err = w.begin(ctx, name, got)
	} else {
		err = served.redefine(got)
	}
	if err != nil {
		return err
	}
	if got.stalled != nil {
		return got.stalled
	}
	return nil
}

// begin claims an aggregate's shards. Those that cannot be had now are held by
// the router and tried again.
func (w *workload) begin(ctx context.Context, name string, got accepted) (*aggregate, error) {
	rows, err := w.store.Shards(ctx, got.aggregate.ID)
	if err != nil {
		return nil, fmt.Errorf("list the shards of %s: %w", name, err)
	}
	a := &aggregate{name: name, id: got.aggregate.ID, accepted: got, behavior: cel.New(got.compiled), shards: make([]*shard.Shard, len(rows))}
	for _, row := range rows {
		a.ranges = append(a.ranges, row.Slots)
	}
	w.mu.Lock()
	w.aggregates[name] = a
	w.mu.Unlock()
	w.router.Add(name, a.ranges)
	var claims sync.WaitGroup
	for number := range rows {
		claims.Go(func() {
			if err := w.open(ctx, name, a, number); err != nil {
				w.log.Warn("a shard could not be claimed; it is tried again", "aggregate", name, "shard", number, "error", err)
				w.reopen(name, a, number)
			}
		})
	}
	claims.Wait()
	return a, nil
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

func (a *aggregate) redefine(got accepted) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if got.aggregate.Generation == a.aggregate.Generation {
		return nil
	}
	a.accepted, a.behavior = got, cel.New(got.compiled)
	for _, s := range a.shards {
		if s == nil {
			continue
		}
		s.Define(a.definitionOf())
	}
	return nil
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

// open claims one shard and lets the router know.
func (w *workload) open(ctx context.Context, name string, a *aggregate, number int) error {
	ctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	a.mu.Lock()
	spec := shard.Spec{ID: eventstore.ShardID{Aggregate: a.id, Number: int32(number)}, Aggregate: name, Definition: a.definitionOf()}
	a.mu.Unlock()
	s, err := w.host.Open(ctx, spec)
	if err != nil {
		return err
	}
	a.mu.Lock()
	a.shards[number] = s
	if a.aggregate.Generation != spec.Definition.Generation {
		s.Define(a.definitionOf()) // it changed while the claim was under way
	}
	a.mu.Unlock()
	w.router.Place(name, int32(number), s)
	w.projections.manager.Own(name, s.ID(), s)
	w.work.Go(func() {
		<-s.Done()
		w.router.Place(name, int32(number), nil)
		w.projections.manager.Disown(s.ID())
		a.mu.Lock()
		a.shards[number] = nil
		a.mu.Unlock()
		if w.tend.Err() == nil {
			w.log.Warn("a shard stopped", "aggregate", name, "shard", number, "error", s.Err())
			w.reopen(name, a, number)
		}
	})
	return nil
}

// reopen opens a shard again, with growing pauses, until it is served here or by
// another process that lives. A store that lost acknowledged events is left
// alone: a person has to look.
func (w *workload) reopen(name string, a *aggregate, number int) {
	w.work.Go(func() {
		for pause := firstPause; ; pause = min(2*pause, lastPause) {
			select {
			case <-w.tend.Done():
				return
			case <-time.After(pause):
			}
			taken, err := w.takenByOther(a, number)
			if err == nil && taken {
				continue
			}
			if err == nil {
				err = w.open(w.tend, name, a, number)
			}
			switch {
			case err == nil || w.tend.Err() != nil:
				return
			case errors.Is(err, shard.ErrStoreWentBack):
				w.log.Error("the store lost events that were acknowledged; the shard stays closed until a person has looked", "aggregate", name, "shard", number, "error", err)
				return
			}
			w.log.Warn("a shard cannot be opened yet", "aggregate", name, "shard", number, "error", err)
		}
	})
}

// takenByOther tells that another process owns the shard and lives, by the
// store's clock. Taking the shard from it would only make the two fight.
func (w *workload) takenByOther(a *aggregate, number int) (bool, error) {
	if !w.shared {
		return false, nil
	}
	ctx, cancel := context.WithTimeout(w.tend, openTimeout)
	defer cancel()
	row, err := w.store.Shard(ctx, eventstore.ShardID{Aggregate: a.id, Number: int32(number)})
	if err != nil || row.Owner == "" || row.Owner == w.self {
		return false, err
	}
	members, err := w.store.Members(ctx)
	if err != nil {
		return false, err
	}
	for _, m := range members {
		if m.Incarnation == row.Owner && m.Age < heartbeatTimeout {
			return true, nil
		}
	}
	return false, nil
}

// heartbeats says that this process lives, as long as it does.
func (w *workload) heartbeats(address string) {
	ticker := time.NewTicker(heartbeatEvery)
	defer ticker.Stop()
	for {
		ctx, cancel := context.WithTimeout(w.tend, heartbeatEvery)
		err := w.store.Heartbeat(ctx, eventstore.Member{Incarnation: w.self, Address: address})
		cancel()
		if err != nil && w.tend.Err() == nil {
			w.log.Warn("no heartbeat reached the store", "error", err)
		}
		select {
		case <-w.tend.Done():
			return
		case <-ticker.C:
		}
	}
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
