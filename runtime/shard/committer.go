package shard

import (
	"context"
	"sync"
	"time"

	"github.com/leftfold/leftfold/runtime/eventstore"
)

// One Append takes so many shards and events; more wait for the next one, which
// is as good as concurrent.
const (
	maxAppendShards = 64
	maxAppendEvents = 8192
)

type submission struct {
	batch eventstore.Batch
	done  func(eventstore.AppendResult)
}

// committer gathers the ready batches of several shards into Append calls, with
// as many calls in flight as the store can use. A batch that finds an idle
// caller goes at once and alone; under load they meet.
type committer struct {
	store   eventstore.Log
	timeout time.Duration
	work    sync.WaitGroup

	mu     sync.Mutex
	ready  []submission
	come   *sync.Cond
	closed bool
}

func startCommitter(ctx context.Context, store eventstore.Log, callers int, timeout time.Duration) *committer {
	c := &committer{store: store, timeout: timeout}
	c.come = sync.NewCond(&c.mu)
	for range max(callers, 1) {
		c.work.Go(func() { c.run(ctx) })
	}
	return c
}

func (c *committer) submit(b submission) {
	c.mu.Lock()
	c.ready = append(c.ready, b)
	c.mu.Unlock()
	c.come.Signal()
}

func (c *committer) run(ctx context.Context) {
	var group []submission
	for {
		group = c.next(group[:0])
		if len(group) == 0 {
			return
		}
		// A slice of its own for each call: an abandoned one may still read it.
		batches := make([]eventstore.Batch, len(group))
		for i, g := range group {
			batches[i] = g.batch
		}
		call, cancel := context.WithTimeout(ctx, c.timeout)
		results := c.store.Append(call, batches)
		cancel()
		for i, g := range group {
			g.done(results[i])
		}
		clear(group)
	}
}

// next takes what is ready, within the limits; nothing when closed.
func (c *committer) next(group []submission) []submission {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.ready) == 0 && !c.closed {
		c.come.Wait()
	}
	events, n := 0, 0
	for ; n < len(c.ready) && n < maxAppendShards; n++ {
		events += len(c.ready[n].batch.Events)
		if n > 0 && events > maxAppendEvents {
			break
		}
	}
	group = append(group, c.ready[:n]...)
	rest := copy(c.ready, c.ready[n:])
	clear(c.ready[rest:])
	c.ready = c.ready[:rest]
	if rest > 0 {
		c.come.Signal()
	}
	return group
}

// close lets what was submitted finish.
func (c *committer) close() {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.come.Broadcast()
	c.work.Wait()
}
