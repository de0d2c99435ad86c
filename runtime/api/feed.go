package api

import (
	"context"
	"mime"
	"strconv"
	"strings"

	"github.com/leftfold/leftfold/runtime/eventstore"
)

// feedPage is a page of an aggregate's events. Position is reached with them; a
// page without events is the end for now.
type feedPage struct {
	Events   []loggedEvent `json:"events"`
	Position string        `json:"position"`
}

func (c *call) readFeed() error {
	aggregate := c.variables[0]
	p, err := c.parameters(nil, "after", "limit")
	if err != nil {
		return err
	}
	limit, err := p.limit()
	if err != nil {
		return err
	}
	follow := acceptsEventStream(c.r.Header.Values("Accept"))
	after, err := c.start(p, aggregate, follow)
	if err != nil {
		return err
	}
	if follow {
		return c.follow(aggregate, after, limit)
	}
	ctx, cancel := context.WithTimeout(c.r.Context(), c.ReadTimeout)
	defer cancel()
	page, err := c.feedPage(ctx, aggregate, after, limit)
	if err != nil {
		return err
	}
	return c.ok(page)
}

func (c *call) feedPage(ctx context.Context, aggregate string, after eventstore.Position, limit int) (page feedPage, err error) {
	done, err := c.turn(ctx)
	if err != nil {
		return page, err
	}
	defer done()
	events, reached, err := c.Feed.Page(ctx, aggregate, after, limit)
	if err != nil {
		return page, err
	}
	if err := c.keep(answerBytes(events)); err != nil {
		return page, err
	}
	if page.Position, err = reached.Encode(); err != nil {
		return page, err
	}
	page.Events, err = loggedEventsOf(events)
	return page, err
}

// start is the position to read from.
func (c *call) start(p parameters, aggregate string, follow bool) (eventstore.Position, error) {
	if last := c.r.Header.Get("Last-Event-ID"); follow && last != "" {
		return position("Last-Event-ID", last)
	}
	if p["after"] != "end" {
		return p.position("after")
	}
	ctx, cancel := context.WithTimeout(c.r.Context(), c.ReadTimeout)
	defer cancel()
	return c.Feed.End(ctx, aggregate)
}

// acceptsEventStream tells that a caller asks for a stream by name; */* is not
// asking, and q=0 is asking for anything else.
func acceptsEventStream(accept []string) bool {
	for _, value := range accept {
		for part := range strings.SplitSeq(value, ",") {
			mediaType, parameters, err := mime.ParseMediaType(part)
			if err != nil || mediaType != "text/event-stream" {
				continue
			}
			quality, given := parameters["q"]
			if q, err := strconv.ParseFloat(quality, 64); !given || err == nil && q > 0 {
				return true
			}
		}
	}
	return false
}
