package server

import (
	"context"

	"github.com/leftfold/leftfold/runtime/api"
	"github.com/leftfold/leftfold/runtime/eventstore"
)

// page gathers a page of events, which has so many at most, and ends early when
// their data has reached api.PageBytes.
type page struct {
	events []eventstore.Event
	limit  int
	bytes  int
}

func newPage(limit int) *page { return &page{limit: limit} }

// full tells that nothing more is to be read.
func (p *page) full() bool { return len(p.events) >= p.limit || p.cut() }

// cut tells that the page ends for its bytes.
func (p *page) cut() bool { return p.bytes >= api.PageBytes }

// read adds what a store gives, of what is left a share of one among so many. It
// tells how many events it has asked for and how many came: fewer are all that
// there are, unless the page is full.
func (p *page) read(ctx context.Context, among int, from func(ctx context.Context, limit int) ([]eventstore.Event, error)) (asked, came int, err error) {
	asked = max(1, (p.limit-len(p.events))/among)
	some, err := from(eventstore.Within(ctx, max(1, (api.PageBytes-p.bytes)/among)), asked)
	p.events = append(p.events, some...)
	p.bytes += eventstore.DataBytes(some)
	return asked, len(some), err
}
