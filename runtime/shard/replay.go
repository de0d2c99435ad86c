package shard

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/leftfold/leftfold/runtime/behavior"
	"github.com/leftfold/leftfold/runtime/eventstore"
	"github.com/leftfold/leftfold/runtime/problem"
)

// Replay gives an entity's state at an earlier version or time, from the nearest
// snapshot before it and the log. It needs no shard: any process may do it,
// since what is committed does not change.
type Replay struct {
	Reader    eventstore.Reader
	Aggregate eventstore.AggregateID
	Name      string // the aggregate's
	Behavior  behavior.Behavior
	// CallTimeout bounds each call to the store; default 3 s.
	CallTimeout time.Duration
	// Logger defaults to slog.Default().
	Logger *slog.Logger
}

// At gives the state at a version, 1 or more. NoSuchEntity when the entity has
// no events, or the version is beyond its head.
func (p Replay) At(ctx context.Context, entity string, version int64) (View, error) {
	v, err := p.until(ctx, entity, func(e *eventstore.Event) bool { return e.Version > version })
	if err == nil && v.Version != version {
		return View{}, problem.New(problem.NoSuchEntity, "the entity has no version %d; its last is %d", version, v.Version)
	}
	return v, err
}

// AtTime gives the state after all events that happened at t or before.
// NoSuchEntity when there is none.
func (p Replay) AtTime(ctx context.Context, entity string, t time.Time) (View, error) {
	return p.until(ctx, entity, func(e *eventstore.Event) bool { return e.Meta.Time.After(t) })
}

// Head gives the state after all committed events.
func (p Replay) Head(ctx context.Context, entity string) (View, error) {
	return p.until(ctx, entity, nil)
}

func (p Replay) until(ctx context.Context, entity string, stop func(*eventstore.Event) bool) (View, error) {
	l := loader{reader: p.Reader, aggregate: p.Aggregate, name: p.Name, behavior: p.Behavior, timeout: p.CallTimeout, log: p.Logger}
	if l.timeout <= 0 {
		l.timeout = 3 * time.Second
	}
	if l.log == nil {
		l.log = slog.Default()
	}
	got, err := l.fold(ctx, entity, stop, nil)
	if err != nil {
		return View{}, err
	}
	if got.at.version == 0 {
		return View{}, problem.New(problem.NoSuchEntity, "the entity has no events then")
	}
	return viewOf(entity, got.at, p.Behavior)
}

// At is Replay.At under the shard's definition.
func (s *Shard) At(ctx context.Context, entity string, version int64) (View, error) {
	return s.replayer().At(ctx, entity, version)
}

// AtTime is Replay.AtTime under the shard's definition.
func (s *Shard) AtTime(ctx context.Context, entity string, t time.Time) (View, error) {
	return s.replayer().AtTime(ctx, entity, t)
}

func (s *Shard) replayer() Replay {
	return Replay{
		Reader: s.host.cfg.Store, Aggregate: s.id.Aggregate, Name: s.aggregate,
		Behavior: s.def.Load().Behavior, CallTimeout: s.limits().CallTimeout, Logger: s.log,
	}
}

func viewOf(entity string, at fold, b behavior.Behavior) (View, error) {
	state, err := b.EncodeState(at.state)
	if err != nil {
		return View{}, fmt.Errorf("encode state of an entity at version %d: %w", at.version, err)
	}
	return View{Entity: entity, Version: at.version, Time: at.time, State: state}, nil
}
