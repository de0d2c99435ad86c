package server

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/leftfold/leftfold/runtime/eventstore"
	"github.com/leftfold/leftfold/runtime/shard"
)

const (
	// A shard that stopped is opened again after these pauses. The last bounds how
	// long callers wait after an outage of the store, however long it was.
	firstPause, lastPause = 50 * time.Millisecond, time.Second
	// takenPause is how often a shard that another process owns is looked at:
	// callers wait for it from when that process has gone.
	takenPause = 500 * time.Millisecond
)

// The reasons that the metric of failovers tells.
const (
	// reasonOwnerGone: the process that owned the shard left, or fell silent.
	reasonOwnerGone = "OwnerGone"
	// reasonShardStopped: the shard stopped in this process and was opened again.
	reasonShardStopped = "ShardStopped"
	// reasonOrphaned: nobody served the shard, and there was no operator to see
	// to it.
	reasonOrphaned = "Orphaned"
)

// keeper decides which shards of the aggregates that are known here this process
// serves. Its methods are called from different goroutines.
type keeper interface {
	// begun tells of an aggregate that is known from now on, and may take its
	// time to claim shards.
	begun(ctx context.Context, a *aggregate)
	// stopped tells that a shard has stopped here; its Err tells why.
	stopped(a *aggregate, number int32, s *shard.Shard)
	// renewed tells that a shard goes on under another epoch. It must not block.
	renewed(s *shard.Shard, epoch int64)
}

// greedy is the keeper of a process without an operator, as in development: it
// serves every shard that no other living process has.
type greedy struct{ *workload }

func (w greedy) begun(ctx context.Context, a *aggregate) {
	var claims sync.WaitGroup
	for number := range a.ranges {
		claims.Go(func() {
			if _, err := w.open(ctx, a, int32(number), nil); err != nil {
				w.log.Warn("a shard could not be claimed; it is tried again", "aggregate", a.name, "shard", number, "error", err)
				w.reopen(a, int32(number))
			}
		})
	}
	claims.Wait()
}

func (w greedy) renewed(*shard.Shard, int64) {}

func (w greedy) stopped(a *aggregate, number int32, s *shard.Shard) {
	if w.tend.Err() == nil {
		w.log.Warn("a shard stopped", "aggregate", a.name, "shard", number, "error", s.Err())
		w.reopen(a, number)
	}
}

// observeReturn counts a shard that is served here again. taken tells that
// another process had it meanwhile; took is how long nobody is known to have
// served it.
func (w *workload) observeReturn(taken bool, took time.Duration) {
	if taken {
		w.metrics.Failover(reasonOwnerGone, took)
	} else {
		w.metrics.Failover(reasonShardStopped, took)
	}
}

// catchUp brings a definition into force that another process has offered since
// this one last looked: a shard under an older one would hold its commands.
func (w *workload) catchUp(ctx context.Context, a *aggregate) error {
	if !w.shared {
		return nil
	}
	// Definitions may be long, and many shards are claimed at once: most find that
	// nothing has changed.
	revisions, err := w.store.Revisions(ctx)
	if err != nil {
		return fmt.Errorf("list the definitions' revisions: %w", err)
	}
	if slices.ContainsFunc(revisions, func(r eventstore.Revision) bool { return r.ID == a.id && r.Revision == a.revision() }) {
		return nil
	}
	row, err := known(ctx, w.store, a.name)
	if err != nil {
		return err
	}
	if row.Definition == nil {
		return nil
	}
	newer, err := stored(a.name, row)
	if err != nil {
		return err
	}
	if generation, _ := a.current(); row.Generation > generation {
		w.log.Info("another process has changed the definition; it is in force here too", "aggregate", a.name, "generation", row.Generation)
	}
	a.redefine(newer)
	return nil
}

// reopen opens a shard again, with growing pauses, until it is served here or by
// another process that lives. A store that lost acknowledged events is left
// alone: a person has to look.
func (w *workload) reopen(a *aggregate, number int32) {
	lost := time.Now()
	w.work.Go(func() {
		taken := false
		for pause := firstPause; ; pause = min(2*pause, lastPause) {
			select {
			case <-w.tend.Done():
				return
			case <-time.After(pause):
			}
			other, err := w.takenByOther(a, number)
			if err == nil && other {
				taken, pause, lost = true, takenPause/2, time.Now()
				continue
			}
			if err == nil {
				_, err = w.open(w.tend, a, number, nil)
			}
			if err == nil {
				w.observeReturn(taken, time.Since(lost))
			}
			switch {
			case err == nil || w.tend.Err() != nil:
				return
			case errors.Is(err, shard.ErrStoreWentBack):
				w.log.Error("the store lost events that were acknowledged; the shard stays closed until a person has looked", "aggregate", a.name, "shard", number, "error", err)
				return
			}
			w.log.Warn("a shard cannot be opened yet", "aggregate", a.name, "shard", number, "error", err)
		}
	})
}

// takenByOther tells that another process owns the shard and lives, by the
// store's clock, or that it may live for all that can be known here. Taking the
// shard from it would only make the two fight.
func (w *workload) takenByOther(a *aggregate, number int32) (bool, error) {
	if !w.shared {
		return false, nil
	}
	ctx, cancel := context.WithTimeout(w.tend, openTimeout)
	defer cancel()
	row, err := w.store.Shard(ctx, eventstore.ShardID{Aggregate: a.id, Number: number})
	if err != nil || row.Owner == "" || row.Owner == w.self {
		return false, err
	}
	members, err := w.store.Members(ctx)
	if err != nil {
		return false, err
	}
	for _, m := range members {
		if m.Incarnation == row.Owner && m.Age < w.member.timeout {
			return true, nil
		}
	}
	return !w.mayJudge(), nil
}
