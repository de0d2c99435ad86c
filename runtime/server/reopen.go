package server

import (
	"context"
	"errors"
	"time"

	"github.com/leftfold/leftfold/runtime/eventstore"
	"github.com/leftfold/leftfold/runtime/shard"
)

const (
	// A shard that stopped is opened again after these pauses.
	firstPause, lastPause = 50 * time.Millisecond, 5 * time.Second
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
)

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
func (w *workload) catchUp(ctx context.Context, name string, a *aggregate) error {
	if !w.shared {
		return nil
	}
	stored, err := known(ctx, w.store, name)
	if err != nil {
		return err
	}
	if generation, _ := a.current(); stored.Generation <= generation {
		return nil
	}
	newer, err := acceptedBefore(name, stored)
	if err != nil {
		return err
	}
	w.log.Info("another process has changed the definition; it is in force here too", "aggregate", name, "generation", stored.Generation)
	a.redefine(*newer)
	return nil
}

// reopen opens a shard again, with growing pauses, until it is served here or by
// another process that lives. A store that lost acknowledged events is left
// alone: a person has to look.
func (w *workload) reopen(name string, a *aggregate, number int) {
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
				err = w.open(w.tend, name, a, number)
			}
			if err == nil {
				w.observeReturn(taken, time.Since(lost))
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
// store's clock, or that it may live for all that can be known here. Taking the
// shard from it would only make the two fight.
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
	return !w.mayJudge(), nil
}
