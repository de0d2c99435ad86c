package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/leftfold/leftfold/api/language"
	"github.com/leftfold/leftfold/api/v1alpha1"
	"github.com/leftfold/leftfold/runtime/eventstore"
	"github.com/leftfold/leftfold/runtime/shard"
)

// A definition that drops something is accepted provisionally: between the look
// at history and the change, a shard may have written what it drops, in this
// process or another. So it is kept beside the definition before until somebody
// has settled which of the two stays:
//
//  1. The floor of the aggregate is raised to the new generation. From then on
//     no shard, whoever owns it and however late it is, gets an event that was
//     decided by the definition before.
//  2. History is looked at again, and what it says is final.
//  3. Either the definition before is dropped, or it comes back into force under
//     a generation of its own.
//
// Each step may be done twice and by several: the last one expects the revision
// that the first has seen. So whoever sees a provisional definition settles it,
// and it does not matter who accepted it or whether that one still lives.
//
// A shard that meets the floor stops, and is claimed again under the new
// definition: a short pause. To spare the shards of other processes it, these get
// some time to take the definition up by themselves (follow.go) before the floor
// is raised. Until it is settled, entities with an event that is dropped answer
// BehaviorFailed; nothing of theirs is lost.

// takeUpTimeout bounds the wait until the shards that are served here have taken
// up a definition; each does as soon as what it has decided is committed.
const (
	takeUpTimeout = 10 * time.Second
	takeUpPoll    = 2 * time.Millisecond
)

// fallback is what is kept as Before: the definition to return to.
type fallback struct {
	Definition []byte
	Source     eventstore.Source
}

// settleDefinition makes a provisional definition final, or brings the one before back into
// force. What is not provisional it gives back as it is. ErrRefused when somebody
// else has changed the aggregate meanwhile.
func settleDefinition(ctx context.Context, store eventstore.Store, a eventstore.Aggregate) (eventstore.Aggregate, error) {
	if len(a.Before) == 0 {
		return a, nil
	}
	fail := func(err error) (eventstore.Aggregate, error) {
		return a, fmt.Errorf("settle the definition of aggregate %s: %w", a.Name, err)
	}
	var before fallback
	var old, now v1alpha1.AggregateSpec
	if err := errors.Join(json.Unmarshal(a.Before, &before), json.Unmarshal(a.Definition, &now)); err != nil {
		return fail(err)
	}
	if err := json.Unmarshal(before.Definition, &old); err != nil {
		return fail(err)
	}
	if err := store.RaiseFloor(ctx, a.ID, a.Generation); err != nil {
		return fail(err)
	}
	used, err := store.EventTypes(ctx, a.ID)
	if err != nil {
		return fail(err)
	}
	if len(language.Compatible(&old, &now, used)) == 0 {
		a, err = store.AmendDefinition(ctx, a.ID, a.Revision, a.Source, nil)
	} else {
		a, err = store.AcceptDefinition(ctx, a.ID, a.Revision, eventstore.Acceptance{Definition: before.Definition, Source: before.Source})
	}
	if err != nil {
		return fail(err)
	}
	return a, nil
}

// confirm settles a provisional definition that has just been accepted, when no
// other process can serve shards by the one before. Else it leaves that for later
// (follow.go). It gives what is in force afterwards.
func (w *workload) confirm(ctx context.Context, a *aggregate, got accepted, o offer) (accepted, error) {
	alone, err := w.alone(ctx)
	if err != nil || !alone {
		return got, err
	}
	if err := a.takenUp(ctx, got.aggregate.Generation); err != nil {
		return got, fmt.Errorf("confirm the definition of aggregate %s: %w", a.name, err)
	}
	if _, err := settleDefinition(ctx, w.store, got.aggregate); err != nil && !errors.Is(err, eventstore.ErrRefused) {
		return got, err
	}
	// Offered again, it is the stored one now, or is refused with the reason.
	if got, err = accept(ctx, w.store, o); err == nil {
		a.redefine(got)
	}
	return got, err
}

// alone tells that no other process can own shards: no other lives, by the
// store's clock.
func (w *workload) alone(ctx context.Context) (bool, error) {
	if !w.shared {
		return true, nil
	}
	members, err := w.store.Members(ctx)
	if err != nil {
		return false, fmt.Errorf("look for other processes: %w", err)
	}
	for _, m := range members {
		if m.Incarnation != w.self && m.Age < w.member.timeout {
			return false, nil
		}
	}
	return true, nil
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
	ctx, cancel := context.WithTimeout(ctx, takeUpTimeout)
	defer cancel()
	ticker := time.NewTicker(takeUpPoll)
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
