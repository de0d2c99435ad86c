package projection_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/leftfold/leftfold/runtime/eventstore"
	"github.com/leftfold/leftfold/runtime/projection"
	"github.com/leftfold/leftfold/runtime/projection/projectiontest"
)

// flushes are the numbers of events of a projection's transactions.
type flushes struct {
	mu     sync.Mutex
	events []int
}

func (f *flushes) add(_ string, events int, _ time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.events = append(f.events, events)
}

func (f *flushes) String() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return fmt.Sprint(f.events)
}

func TestATransactionEndsWithTheEventThatReachesItsBytes(t *testing.T) {
	for name, blind := range map[string]bool{"of events in memory": false, "of events in the store": true} {
		t.Run(name, func(t *testing.T) {
			projectiontest.Each(t, func(t *testing.T, r *projectiontest.Rig) {
				a := r.Aggregate("till", 1, till)
				a.Shards[0].Blind = blind
				var events []projectiontest.Event
				for range 10 {
					events = append(events, projectiontest.Event{Entity: "x", Type: "Added", Data: added{strings.Repeat("k", 1000), 1}})
				}
				a.Shards[0].Append(events...)
				var told flushes
				m := r.Manager(func(c *projection.Config) {
					c.MaxBatchBytes, c.FlushInterval, c.Observer.Flushed = 2500, time.Hour, told.add
				})
				a.Own(m)
				apply(t, m, r.Define("totals", totals))
				// Nobody waits for a position, and the next flush is an hour away: a page that
				// is full in bytes does not wait for more events.
				eventually(t, "the full pages are written", func() bool { return strings.HasPrefix(told.String(), "[3 3 3") })
				wait(t, m, "totals", a.Head())
				if rows := r.Rows("totals"); rows[`"x"`] != `{"seen":10,"sum":10}` {
					t.Errorf("rows: %v", rows)
				}
				if got := told.String(); got != "[3 3 3 1]" {
					t.Errorf("transactions of %s events, want 3, 3, 3 and 1", got)
				}
			})
		})
	}
}

// crowded is a log that tells how many pages of it are held at once.
type crowded struct {
	eventstore.Store
	mu         sync.Mutex
	held, most int
}

func (c *crowded) ReadShard(ctx context.Context, id eventstore.ShardID, after int64, limit int) ([]eventstore.Event, error) {
	c.mu.Lock()
	c.held++
	c.most = max(c.most, c.held)
	c.mu.Unlock()
	return c.Store.ReadShard(ctx, id, after, limit)
}

func (c *crowded) flushed(string, int, time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.held--
}

func TestWorkersThatAreAllBehindDoNotHoldAPageEach(t *testing.T) {
	projectiontest.Each(t, func(t *testing.T, r *projectiontest.Rig) {
		a := r.Aggregate("till", 16, till)
		for _, s := range a.Shards {
			s.Blind = true
		}
		for i := range 200 {
			a.Append(fmt.Sprint("e", i), "Added", added{"k", 1})
		}
		log := &crowded{Store: r.Store}
		m := r.Manager(func(c *projection.Config) {
			c.Log, c.Concurrency, c.MaxBatch, c.FlushInterval, c.Observer.Flushed = log, 1, 3, time.Nanosecond, log.flushed
		})
		a.Own(m)
		apply(t, m, r.Define("totals", totals))
		wait(t, m, "totals", a.Head())
		if rows := r.Rows("totals"); len(rows) != 200 {
			t.Errorf("%d rows, want 200", len(rows))
		}
		log.mu.Lock()
		defer log.mu.Unlock()
		if log.most > 2 {
			t.Errorf("%d pages were held at once, with one transaction at a time", log.most)
		}
	})
}
