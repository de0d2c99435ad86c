package eventstore

import (
	"context"
	"math"
)

type withinKey struct{}

// Within bounds the bytes of what ReadShard and ReadEntity give under the context
// that it returns, as a deadline bounds their time: they stop after the event with
// which the data of those read reaches so many. So they give one event at least,
// if there is any, and fewer than their limit only where there are no more or the
// bytes are reached: whoever uses it must not take a short page for the last one.
// Without it only the limit bounds a page, of events that have up to 5 MB each.
//
// A bound below 1 counts as 1.
func Within(ctx context.Context, bytes int) context.Context {
	return context.WithValue(ctx, withinKey{}, max(bytes, 1))
}

// Page gathers the events of one read, for the implementations of Reader.
type Page struct {
	Events []Event
	left   int
}

// NewPage makes an empty page, with the bound of ctx.
func NewPage(ctx context.Context) *Page {
	p := &Page{left: math.MaxInt}
	if bytes, ok := ctx.Value(withinKey{}).(int); ok {
		p.left = bytes
	}
	return p
}

// Add adds the next event; false says that the bytes are reached, and no other is
// to follow.
func (p *Page) Add(e Event) bool {
	p.Events = append(p.Events, e)
	p.left -= len(e.Data)
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
