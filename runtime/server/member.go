package server

import (
	"cmp"
	"context"
	"time"

	"github.com/leftfold/leftfold/runtime/eventstore"
	"github.com/leftfold/leftfold/runtime/telemetry"
)

const (
	// heartbeatEvery is how often a process that shares its store says that it
	// lives; heartbeatTimeout is how long it may be silent before its shards
	// are taken from it.
	heartbeatEvery   = time.Second
	heartbeatTimeout = 5 * time.Second
	// onlyStore is the label of the store that takes the place of all.
	onlyStore = "default"
	// ageEvery is how often the age of the oldest transaction is read.
	ageEvery = 5 * time.Second
)

// heartbeat says once that this process lives.
func (w *workload) heartbeat(ctx context.Context, address string) error {
	ctx, cancel := context.WithTimeout(ctx, heartbeatTimeout)
	defer cancel()
	err := w.store.Heartbeat(ctx, eventstore.Member{Incarnation: w.self, Address: address})
	if err != nil {
		w.beating.Store(nil)
		return err
	}
	now := time.Now()
	w.beating.CompareAndSwap(nil, &now)
	return nil
}

// mayJudge tells whether this process's own heartbeats have arrived for so long
// that another's silence means something: after an outage of the store, all have
// been silent.
func (w *workload) mayJudge() bool {
	since := w.beating.Load()
	return since != nil && time.Since(*since) >= heartbeatTimeout
}

// heartbeats says that this process lives, as long as it does.
func (w *workload) heartbeats(address string) {
	w.every(heartbeatEvery, func() {
		if err := w.heartbeat(w.tend, address); err != nil && w.tend.Err() == nil {
			w.log.Warn("no heartbeat reached the store", "error", err)
		}
	})
}

// watchAge keeps the age of the oldest transaction known.
func (w *workload) watchAge(age func(context.Context) (time.Duration, error), metrics *telemetry.Metrics) {
	w.every(ageEvery, func() {
		ctx, cancel := context.WithTimeout(w.tend, ageEvery)
		defer cancel()
		oldest, err := age(ctx)
		switch {
		case err == nil:
			metrics.OldestTransaction(cmp.Or(w.name, onlyStore), oldest)
		case w.tend.Err() == nil:
			w.log.Warn("the age of the oldest transaction cannot be read", "error", err)
		}
	})
}

// every does something at once and then again and again, until the workload
// ends.
func (w *workload) every(pause time.Duration, do func()) {
	ticker := time.NewTicker(pause)
	defer ticker.Stop()
	for {
		do()
		select {
		case <-w.tend.Done():
			return
		case <-ticker.C:
		}
	}
}
