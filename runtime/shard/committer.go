package shard

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/leftfold/leftfold/runtime/eventstore"
)

// One Append takes so many shards, events and bytes of events; more wait for the
// next one, which is as good as concurrent. The batch of one shard always goes.
const (
	maxAppendShards = 64
	maxAppendEvents = 8192
	maxAppendBytes  = 16 << 20
)

// An append costs the database, and this process, more than the few rows that one
// command writes, so under load it is worth waiting for others, and what is lost by
// that is won by it: with the processors busy, callers wait for those and not for
// the append.
//
// With few commands under way it goes at once. Of those beyond calm, one in portion
// has to be ready; a quarter is what arrives while an append is under way. Commands
// of a shard that has a batch here do not count, but for that batch: the others come
// after it. And an append beside others has to carry rowsBeside rows for each of them
// after the first. Fewer wait, but no longer than gatherFor, since an append may hang.
//
// 128 callers over HTTP on 16 shards made four appends of four to eight events at
// once. With rowsBeside they carried 16; with all of this, and projections that
// gather as well, a fifth more commands were answered, sooner. Half of it alone made
// no difference that stood out.
const (
	calm, portion, most = 16, 4, 128
	rowsBeside          = 32
	gatherFor           = 5 * time.Millisecond
)

type submission struct {
	batch eventstore.Batch
	bytes int // of its events
	// pending are its shard's requests that are not answered yet, its own included.
	pending *atomic.Int64
	done    func(eventstore.AppendResult)
}

// rows is how many the store writes for it.
func (b *submission) rows() int { return len(b.batch.Events) + len(b.batch.Outcomes) }

// committer gathers the ready batches of several shards into Append calls, with
// as many calls in flight as the store can use. A batch that finds an idle
// caller goes at once and alone; under load they meet.
type committer struct {
	store   eventstore.Log
	timeout time.Duration
	// pending are the requests of all shards that are not answered yet.
	pending *atomic.Int64
	work    sync.WaitGroup

	mu     sync.Mutex
	ready  []submission
	rows   int       // of all that is ready
	since  time.Time // when the first of them came, or was left over
	busy   int       // Appends under way
	come   *sync.Cond
	closed bool
}

func startCommitter(ctx context.Context, store eventstore.Log, callers int, timeout time.Duration, pending *atomic.Int64) *committer {
	c := &committer{store: store, timeout: timeout, pending: pending}
	c.come = sync.NewCond(&c.mu)
	for range max(callers, 1) {
		c.work.Go(func() { c.run(ctx) })
	}
	return c
}

func (c *committer) submit(b submission) {
	c.mu.Lock()
	if len(c.ready) == 0 {
		c.wait()
	}
	c.ready = append(c.ready, b)
	c.rows += b.rows()
	c.mu.Unlock()
	c.come.Signal()
}

// wait begins the time that what is ready may be kept waiting for. It ends whether
// it is enough now or not: that changes, and nothing else may come.
func (c *committer) wait() {
	c.since = time.Now()
	time.AfterFunc(gatherFor, c.come.Signal)
}

// enough is how many rows are worth an append now.
func (c *committer) enough() int {
	coming := int(c.pending.Load()) + c.rows
	for i := range c.ready {
		coming -= int(c.ready[i].pending.Load())
	}
	return max(min((coming-calm)/portion, most), (c.busy-1)*rowsBeside)
}

// worthwhile tells whether what is ready should be sent now.
func (c *committer) worthwhile() bool {
	return len(c.ready) > 0 && (c.closed || c.rows >= c.enough() || time.Since(c.since) >= gatherFor)
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
		c.mu.Lock()
		c.busy--
		c.mu.Unlock()
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
	for !c.worthwhile() && !(c.closed && len(c.ready) == 0) {
		c.come.Wait()
	}
	events, bytes, n := 0, 0, 0
	for ; n < len(c.ready) && n < maxAppendShards; n++ {
		events += len(c.ready[n].batch.Events)
		bytes += c.ready[n].bytes
		if n > 0 && (events > maxAppendEvents || bytes > maxAppendBytes) {
			break
		}
	}
	group = append(group, c.ready[:n]...)
	for i := range group {
		c.rows -= group[i].rows()
	}
	if n > 0 {
		c.busy++
	}
	rest := copy(c.ready, c.ready[n:])
	clear(c.ready[rest:])
	c.ready = c.ready[:rest]
	if rest > 0 {
		c.wait()
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
