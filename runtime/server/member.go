package server

import (
	"cmp"
	"context"
	"time"

	"github.com/leftfold/leftfold/runtime/eventstore"
	"github.com/leftfold/leftfold/runtime/telemetry"
)

// membership is how a process that shares its store says that it lives, and from
// when on it takes another for dead.
type membership struct {
	// runtime and address are told with each heartbeat.
	runtime, address string
	// every is the pause between heartbeats; timeout how long a process may be
	// silent before its shards are taken from it.
	every, timeout time.Duration
}

const (
	// What a process without an operator does: others wait for it anyway.
	heartbeatEvery   = time.Second
	heartbeatTimeout = 5 * time.Second
	// onlyStore is the label of the store that takes the place of all.
	onlyStore = "default"
	// ageEvery is how often the age of the oldest transaction is read.
	ageEvery = 5 * time.Second
)

// heartbeat says once that this process lives.
func (w *workload) heartbeat(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, w.member.timeout)
	defer cancel()
	err := w.store.Heartbeat(ctx, eventstore.Member{Incarnation: w.self, Runtime: w.member.runtime, Address: w.member.address})
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
	return since != nil && time.Since(*since) >= w.member.timeout
}

// heartbeats says that this process lives, as long as it does.
func (w *workload) heartbeats() {
	w.every(w.member.every, func() {
		if err := w.heartbeat(w.tend); err != nil && w.tend.Err() == nil {
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
