package server

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"
)

// A managed process that is to end goes in this order. Kubernetes kills it after
// 45 seconds; the parts below add up to less.
//
//  1. It says that it drains, and is not ready any more. It goes on serving and
//     forwarding: callers come until all nodes have heard that it is going. Each
//     answer asks its caller to come by another connection next time.
//  2. The operator releases its shards one by one, so that each moves in
//     milliseconds, once the pod in its place is warm. Without an operator, or
//     when that takes too long, it drains them all by itself.
//  3. When it has had none for a second, and callers have had their time to hear, the
//     listener closes and the calls under way end.
//  4. It leaves the membership, and the process ends.
const (
	// handoffTimeout is how long the operator has for step 2: 5 s until it begins, and
	// then a second for each of a dozen shards, or a fraction of it for hundreds.
	handoffTimeout = 20 * time.Second
	// drainAllTimeout bounds draining by itself.
	drainAllTimeout = 8 * time.Second
	// farewell is how long callers may take to hear that the process is going:
	// endpoints are updated on all nodes well within it.
	farewell = 3 * time.Second
	// lingering is how long it stays once its last shard has gone. Its end is work for
	// the database, whose processes for its connections end with it, and for its node;
	// at once, that met the first commands at the shards' new owners, and on a busy
	// machine they took 60 ms longer.
	lingering = time.Second
	// lastCallsTimeout bounds step 3, but for what a call may take at most.
	lastCallsTimeout = 8 * time.Second
	// lookAgain is how often it is looked whether the operator is still there.
	lookAgain = 100 * time.Millisecond
)

// dismiss asks callers to leave, while the process drains.
func (p *pod) dismiss(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if p.draining.Load() {
			w.Header().Set("Connection", "close")
		}
		next.ServeHTTP(w, r)
	})
}

// handOff returns when no shard is served here any more.
func (p *pod) handOff() {
	deadline := time.NewTimer(handoffTimeout)
	defer deadline.Stop()
	look := time.NewTicker(lookAgain)
	defer look.Stop()
	for {
		left := len(p.served())
		switch {
		case left == 0:
			return
		case p.alone():
			p.log.Info("no operator is heard: draining the shards here", "shards", left)
			p.drainAll()
			return
		}
		select {
		case <-p.vacated:
		case <-look.C:
		case <-deadline.C:
			p.log.Warn("the operator has not released all shards in time: draining them here", "shards", left)
			p.drainAll()
			return
		}
	}
}

// drainAll gives up all shards at the same time.
func (p *pod) drainAll() {
	var drains sync.WaitGroup
	ctx, cancel := context.WithTimeout(context.Background(), drainAllTimeout)
	defer cancel()
	for _, s := range p.served() {
		drains.Go(func() {
			if err := s.Drain(ctx); err != nil {
				p.log.Warn("a shard could not be drained; its next owner claims it all the same",
					"aggregate", s.Aggregate(), "shard", s.ID().Number, "error", err)
			}
		})
	}
	drains.Wait()
}

// Leave ends the process's part in good order, as described above. Calling Stop
// afterwards does nothing.
func (m *Managed) Leave() error {
	begun := time.Now()
	m.log.Info("asked to end: shards are handed off first")
	m.pod.Drain()
	m.pod.handOff()
	time.Sleep(max(lingering, time.Until(begun.Add(farewell))))
	ctx, cancel := context.WithTimeout(context.Background(), lastCallsTimeout)
	defer cancel()
	// The listener closes first; only then are streams ended and calls refused,
	// so that none comes to be refused.
	m.http.RegisterOnShutdown(m.handler.Drain)
	err := m.http.Shutdown(ctx)
	if err != nil {
		err = errors.Join(errors.New("some calls did not end in time and were cut off"), m.http.Close())
	}
	return errors.Join(err, m.Stop())
}
