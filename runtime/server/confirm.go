package server

import (
	"context"
	"fmt"
	"time"

	"github.com/leftfold/leftfold/api/language"
	"github.com/leftfold/leftfold/api/v1alpha1"
	"github.com/leftfold/leftfold/runtime/shard"
)

const (
	// confirmTimeout bounds the wait until all shards have taken up a
	// definition; each does as soon as what it has decided is committed.
	confirmTimeout = 10 * time.Second
	confirmPoll    = 2 * time.Millisecond
)

// confirm looks at history once more when a definition that drops something is
// in force: between the first look and the change, a shard may have written what
// it drops. If so the definition before comes back into force, under a
// generation of its own, and the error says why. Until then the entities
// concerned answer BehaviorFailed; nothing of theirs is lost.
func (w *workload) confirm(ctx context.Context, a *aggregate, got accepted) error {
	if !drops(got.before.spec, got.spec) {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, confirmTimeout)
	defer cancel()
	if err := a.takenUp(ctx, got.aggregate.Generation); err != nil {
		return fmt.Errorf("confirm the definition of aggregate %s: %w", a.name, err)
	}
	older, err := contradicted(ctx, w.store, a.name, *got.before, got.spec)
	if err != nil || older == nil {
		return err
	}
	definition, err := behaviorOf(older.spec)
	if err != nil {
		return err
	}
	older.aggregate, err = w.store.AcceptDefinition(ctx, a.id, got.aggregate.Generation, definition)
	if err != nil {
		return fmt.Errorf("bring back the definition before of aggregate %s: %w", a.name, err)
	}
	a.redefine(*older)
	return older.stalled
}

// drops reports whether the new definition drops or retypes something that the
// old one declares, stored or not.
func drops(old, offered *v1alpha1.AggregateSpec) bool {
	declared := make([]string, 0, len(old.Events))
	for i := range old.Events {
		declared = append(declared, old.Events[i].Name)
	}
	return len(language.Compatible(old, offered, declared)) > 0
}

// takenUp waits until no shard that is served here decides by an older
// generation.
func (a *aggregate) takenUp(ctx context.Context, generation int64) error {
	ticker := time.NewTicker(confirmPoll)
	defer ticker.Stop()
	for {
		behind := false
		for number := range a.ranges {
			s := a.shard(int32(number))
			behind = behind || s != nil && s.State() != shard.Stopped && s.Definition().Generation < generation
		}
		if !behind {
			return nil
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
