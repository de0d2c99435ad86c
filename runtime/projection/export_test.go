package projection

import (
	"context"
	"fmt"

	"github.com/leftfold/leftfold/runtime/eventstore"
)

// Stepper is a worker without a goroutine of its own: whoever holds it makes the
// steps.
type Stepper struct {
	w   *worker
	def *Definition
}

// NewStepper gives a worker of the projection's accepted version, which has been
// defined already. A process makes one when it gets the shard.
func NewStepper(ctx context.Context, c Config, def *Definition, aggregate string, id eventstore.ShardID, s Source) (*Stepper, error) {
	c.Concurrency = 1
	c = c.withDefaults()
	r, err := readRecord(ctx, c.DB.Reader, def.Name, "")
	if err != nil || r == nil {
		return nil, fmt.Errorf("projection %s is not defined: %w", def.Name, err)
	}
	v := r.version(r.accepted())
	types, _ := def.wants(aggregate)
	w := &worker{
		feed: feed{projection: r.id, version: v.Number, shard: id}, aggregate: aggregate, version: v, source: s,
		env: newEnvironment(c), log: c.Logger,
		progress: progress{wake: make(chan struct{}, 1)}, events: types, writer: def.Target.Writer(v, aggregate),
	}
	w.offset.Store(-1)
	return &Stepper{w: w, def: def}, nil
}

// Offset is how far it knows to have come; -1 before it has looked.
func (s *Stepper) Offset() int64 { return s.w.offset.Load() }

// Step is one step of a worker's life, and what a worker does when it fails.
func (s *Stepper) Step(ctx context.Context) error {
	err := s.w.step(ctx)
	if err != nil {
		s.w.forget()
	}
	return err
}
