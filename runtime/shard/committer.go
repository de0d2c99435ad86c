package shard

import (
	"context"
	"sync"
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

// One Append may always have a second one beside it; a further one is worth its own
// statement and flush of the log only if it carries enough: so many rows for each
// after the first that is under way. Fewer wait for one of them to end, and not for
// long, since one may hang. Over HTTP, 128 callers on 16 shards made four statements
// of four to eight events run at once, which cost the database and this process
// more than what they held. Gathered, and with projections that gather longer, too,
// there were a quarter more commands; two at once at most gave a seventh by itself.
const (
	rowsBeside = 32
	gatherFor  = 5 * time.Millisecond
)

type submission struct {
	batch eventstore.Batch
	bytes int // of its events
	done  func(eventstore.AppendResult)
}

// rows is how many the store writes for it.
func (b *submission) rows() int { return len(b.batch.Events) + len(b.batch.Outcomes) }

// committer gathers the ready batches of several shards into Append calls, with
// as many calls in flight as the store can use. A batch that finds an idle
// caller goes at once and alone; under load they meet.
type committer struct {
	store   eventstore.Log
	timeout time.Duration
	work    sync.WaitGroup

	mu     sync.Mutex
	ready  []submission
	rows   int       // of all that is ready
	since  time.Time // when the first of them came, or was left over
	busy   int       // Appends under way
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
	if len(c.ready) == 0 {
		c.wait()
	}
	c.ready = append(c.ready, b)
	c.rows += b.rows()
	c.mu.Unlock()
	c.come.Signal()
}

// wait begins the time that what is ready may be kept waiting for.
func (c *committer) wait() {
	c.since = time.Now()
	if c.busy > 1 {
		time.AfterFunc(gatherFor, c.come.Signal)
	}
}

// worthwhile tells whether what is ready should be sent now.
func (c *committer) worthwhile() bool {
	return len(c.ready) > 0 && (c.closed || c.rows >= (c.busy-1)*rowsBeside || time.Since(c.since) >= gatherFor)
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
