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
	read := func(ctx context.Context, limit int) ([]eventstore.Event, error) {
		return w.store.ReadEntity(ctx, served.id, entity, after, limit)
	}
	// One more than asked for tells whether there are more.
	p := newPage(limit + 1)
	for ended := false; !ended && !p.full(); {
		asked, came, err := p.read(ctx, 1, read)
		if err != nil {
			return nil, false, err
		}
		if came > 0 {
			after = p.events[len(p.events)-1].Version
		}
		ended = came < asked
	}
	switch {
	case len(p.events) > limit:
		return p.events[:limit], true, nil
	case p.cut():
		next, err := read(ctx, 1)
		return p.events, len(next) > 0, err
	case len(p.events) > 0:
		return p.events, false, nil
	}
	// An empty page is the end of a history, or there is none at all.
	if after > 0 {
		first, err := w.store.ReadEntity(ctx, served.id, entity, 0, 1)
		if err != nil || len(first) > 0 {
			return nil, false, err
		}
	}
	return nil, false, problem.New(problem.NoSuchEntity, "%s %q has no events", aggregate, entity)
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
