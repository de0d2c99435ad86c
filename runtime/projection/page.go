package projection

import (
	"context"

	"github.com/leftfold/leftfold/runtime/eventstore"
)

// page is the events of one transaction: up to Config.MaxBatch, the last of which
// may be the one that makes their data reach Config.MaxBatchBytes.
//
// A page that was read from the store has a place among few, until its transaction
// has ended: workers that are all behind must not have a page each, while most of
// them wait for a transaction. Events from memory are the shard's own.
type page struct {
	events []eventstore.Event
	// full tells that there may be more, had the page room for them.
	full    bool
	release func()
}

// places is how many pages of the store there are for so many transactions: the
// next one of each is read while it writes.
func places(transactions int) int { return 2 * transactions }

// kept makes a page of events that are in memory.
func (w *worker) kept(events []eventstore.Event, limit int) page {
	p := page{events: events, full: len(events) >= limit, release: func() {}}
	for i, bytes := 0, 0; i < len(events); i++ {
		if bytes += len(events[i].Data); bytes >= w.env.MaxBatchBytes {
			p.events, p.full = events[:i+1], true
			break
		}
	}
	return p
}

// stored reads a page from the store, when there is a place for one. Of large
// events it asks for about as many as the page before could hold, for a store may
// send all that it was asked for.
func (w *worker) stored(ctx context.Context, limit int, read func(ctx context.Context, limit int) ([]eventstore.Event, error)) (page, error) {
	select {
	case w.env.reading <- struct{}{}:
	case <-ctx.Done():
		return page{}, ctx.Err()
	}
	p := page{release: func() { <-w.env.reading }}
	if w.ask > 0 {
		limit = min(limit, w.ask)
	}
	var err error
	if p.events, err = read(eventstore.Within(ctx, w.env.MaxBatchBytes), limit); err != nil {
		p.release()
		return page{}, err
	}
	n := len(p.events)
	cut := eventstore.DataBytes(p.events) >= w.env.MaxBatchBytes
	p.full = n == limit || cut
	switch {
	case cut:
		w.ask = n + 1
	case w.ask > 0:
		w.ask = min(2*w.ask, w.env.MaxBatch)
	}
	return p, nil
}
