package api

import (
	"context"
	"time"

	"github.com/leftfold/leftfold/api/v1alpha1"
	"github.com/leftfold/leftfold/runtime/eventstore"
	"github.com/leftfold/leftfold/runtime/shard"
)

// All methods of the interfaces below are called concurrently. Errors that a
// caller shall see are *problem.Problem in the error's chain; a name that is not
// served is UnknownName. Any other error is logged, and answered Internal.

// Aggregates handles commands and reads entities, wherever their shards are.
type Aggregates interface {
	// Handle runs a command; ctx carries the time that is left for it.
	Handle(ctx context.Context, aggregate string, c shard.Command) (shard.Answer, error)
	// Read gives an entity's state now: current when strong, else as far as the
	// one who answers knows. An entity without events has Version 0.
	Read(ctx context.Context, aggregate, entity string, strong bool) (shard.View, error)
	// ReadVersion gives the state as it was at a version (0 or more). A version
	// beyond the head gives a View with a lower Version, or NoSuchEntity.
	ReadVersion(ctx context.Context, aggregate, entity string, version int64) (shard.View, error)
	// ReadAt gives the state as it was at a time: with all events whose time is
	// not after it. Version is 0 when there was none.
	ReadAt(ctx context.Context, aggregate, entity string, at time.Time) (shard.View, error)
	// Events gives up to limit of an entity's events with Version > after, in
	// order, and whether there are more. It may give fewer than limit, as it does
	// when their data reaches PageBytes, but not none while there are more. An entity without any is NoSuchEntity.
	Events(ctx context.Context, aggregate, entity string, after int64, limit int) (events []eventstore.Event, more bool, err error)
}

// Feed gives the events of a whole aggregate. A position that lacks a shard is
// before that shard's first event.
type Feed interface {
	// Page gives up to limit events after a position, those of a shard in
	// order, and the position that is reached with them. It may give fewer than
	// limit, as it does when their data reaches PageBytes, but gives none only when
	// nothing more is committed.
	Page(ctx context.Context, aggregate string, after eventstore.Position, limit int) (events []eventstore.Event, reached eventstore.Position, err error)
	// End is the position of all that is committed now.
	End(ctx context.Context, aggregate string) (eventstore.Position, error)
	// Wait returns nil as soon as something after the position may have been
	// committed, and ctx's error when ctx ends first.
	Wait(ctx context.Context, aggregate string, after eventstore.Position) error
}

// Catalog tells what this runtime serves.
type Catalog interface {
	// Shards lists the shards of all aggregates, by aggregate and number.
	Shards(ctx context.Context) ([]Shard, error)
	// Definitions gives the definitions that are in force, by name. They are
	// not changed afterwards.
	Definitions() Definitions
}

// Shard is a shard as its row in the store has it.
type Shard struct {
	// Aggregate is the aggregate's name.
	Aggregate string
	eventstore.ShardState
	// Status is "serving" where this runtime serves the shard, "remote" where
	// another one owns it, "unowned" where nobody does.
	Status ShardStatus
}

// ShardStatus says who serves a shard.
type ShardStatus string

// The closed set of statuses.
const (
	ShardServing ShardStatus = "serving"
	ShardRemote  ShardStatus = "remote"
	ShardUnowned ShardStatus = "unowned"
)

// Definitions are the accepted definitions.
type Definitions struct {
	Aggregates  []AggregateDefinition  `json:"aggregates"`
	Projections []ProjectionDefinition `json:"projections"`
}

// AggregateDefinition is the definition that an aggregate runs under.
type AggregateDefinition struct {
	Name string `json:"name"`
	// Generation counts the accepted definitions from 1.
	Generation int64                   `json:"generation"`
	Spec       *v1alpha1.AggregateSpec `json:"spec"`
}

// ProjectionDefinition is the definition that a projection's rows come from.
type ProjectionDefinition struct {
	Name string `json:"name"`
	// Generation is 0 where none is counted.
	Generation int64                    `json:"generation,omitempty"`
	Spec       *v1alpha1.ProjectionSpec `json:"spec"`
}
