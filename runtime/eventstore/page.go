package eventstore

import (
	"context"
	"math"
	"sync/atomic"
)

type withinKey struct{}

// within is a bound of bytes. average is the size of the events that were read
// under it last, 0 when there were none.
type within struct {
	bytes   int
	average *atomic.Int64
}

// Within bounds the bytes of what ReadShard and ReadEntity give under the context
// that it returns, as a deadline bounds their time: they stop after the event with
// which the data of those read reaches so many. So they give one event at least,
// if there is any, and fewer than their limit only where there are no more or the
// bytes are reached: whoever uses it must not take a short page for the last one.
// Without it only the limit bounds a page, of events that have up to 5 MB each.
//
// A bound below 1 counts as 1. Several reads under one context, or a context that was
// made of it, learn from each other how large the events are.
func Within(ctx context.Context, bytes int) context.Context {
	w := within{bytes: max(bytes, 1)}
	if outer, ok := ctx.Value(withinKey{}).(within); ok {
		w.average = outer.average
	} else {
		w.average = new(atomic.Int64)
	}
	return context.WithValue(ctx, withinKey{}, w)
}

// Page gathers the events of one read, for the implementations of Reader.
type Page struct {
	Events []Event
	within
	left int // of the bytes
}

// NewPage makes an empty page, with the bound of ctx.
func NewPage(ctx context.Context) *Page {
	w, ok := ctx.Value(withinKey{}).(within)
	if !ok {
		w.bytes = math.MaxInt
	}
	return &Page{within: w, left: w.bytes}
}

// firstAsk is how many events of unknown size are asked for at once: a few more than
// an entity has after its last snapshot, by default.
const firstAsk = 128

// Ask is for stores that get all that they ask for, whether there is room for it or
// not: how many events to ask for next, so that the page gets up to limit. Without
// a bound of bytes that is all; else some, and then as many as should have room by
// the size of those before. 0: the page is full.
func (p *Page) Ask(limit int) int {
	n := len(p.Events)
	switch {
	case p.left <= 0:
		return 0
	case p.bytes == math.MaxInt:
		return limit - n
	case p.average.Load() == 0:
		return min(limit-n, firstAsk)
	}
	return min(limit-n, 1+p.left/int(p.average.Load()))
}

// Add adds the next event; false says that the bytes are reached, and no other is
// to follow.
func (p *Page) Add(e Event) bool {
	p.Events = append(p.Events, e)
	p.left -= len(e.Data)
	if p.average != nil {
		p.average.Store(int64((p.bytes - p.left) / len(p.Events)))
	}
	return p.left > 0
}

// DataBytes adds up the data of events.
func DataBytes(events []Event) int {
	n := 0
	for i := range events {
		n += len(events[i].Data)
	}
	return n
}
