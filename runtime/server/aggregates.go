package server

import (
	"context"
	"time"

	"github.com/leftfold/leftfold/runtime/eventstore"
	"github.com/leftfold/leftfold/runtime/problem"
	"github.com/leftfold/leftfold/runtime/shard"
)

// aggregates implements api.Aggregates: current state through the router, the
// past from the store, which any process may read.
type aggregates struct{ server *Server }

func (a aggregates) Handle(ctx context.Context, aggregate string, c shard.Command) (shard.Answer, error) {
	return a.server.router.Handle(ctx, aggregate, c)
}

func (a aggregates) Read(ctx context.Context, aggregate, entity string, strong bool) (shard.View, error) {
	return a.server.router.Read(ctx, aggregate, entity, strong)
}

func (a aggregates) ReadVersion(ctx context.Context, aggregate, entity string, version int64) (shard.View, error) {
	replay, err := a.replay(aggregate)
	if err != nil {
		return shard.View{}, err
	}
	return replay.At(ctx, entity, version)
}

func (a aggregates) ReadAt(ctx context.Context, aggregate, entity string, at time.Time) (shard.View, error) {
	replay, err := a.replay(aggregate)
	if err != nil {
		return shard.View{}, err
	}
	return replay.AtTime(ctx, entity, at)
}

func (a aggregates) Events(ctx context.Context, aggregate, entity string, after int64, limit int) ([]eventstore.Event, bool, error) {
	w, served, err := a.server.find(aggregate)
	if err != nil {
		return nil, false, err
	}
	// One more than asked for tells whether there are more.
	events, err := w.store.ReadEntity(ctx, served.id, entity, after, limit+1)
	if err != nil {
		return nil, false, err
	}
	if len(events) > limit {
		return events[:limit], true, nil
	}
	// An empty page is the end of a history, or there is none at all.
	first := events
	if len(events) == 0 && after > 0 {
		if first, err = w.store.ReadEntity(ctx, served.id, entity, 0, 1); err != nil {
			return nil, false, err
		}
	}
	if len(first) == 0 {
		return nil, false, problem.New(problem.NoSuchEntity, "%s %q has no events", aggregate, entity)
	}
	return events, false, nil
}

func (a aggregates) replay(aggregate string) (shard.Replay, error) {
	w, served, err := a.server.find(aggregate)
	if err != nil {
		return shard.Replay{}, err
	}
	return shard.Replay{
		Reader: w.store, Aggregate: served.id, Name: aggregate,
		Behavior: served.definition().Behavior, Logger: w.log,
	}, nil
}
