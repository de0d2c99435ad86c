package api

import (
	"context"
	"encoding/json"
	"strconv"
	"time"

	"github.com/leftfold/leftfold/runtime/problem"
	"github.com/leftfold/leftfold/runtime/shard"
)

// entityState is an entity's state at a version. Time is that of the event at
// the version.
type entityState struct {
	Entity  string          `json:"entity"`
	Version int64           `json:"version"`
	Time    time.Time       `json:"time"`
	State   json.RawMessage `json:"state"`
}

func (c *call) readEntity() error {
	aggregate, entity := c.variables[0], c.variables[1]
	if err := checkEntity(entity); err != nil {
		return err
	}
	p, err := c.parameters(nil, "version", "at", "consistency")
	if err != nil {
		return err
	}
	read, err := c.reader(p)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(c.r.Context(), c.ReadTimeout)
	defer cancel()
	view, err := read(ctx, aggregate, entity)
	if err != nil {
		return err
	}
	if view.Version == 0 {
		return problem.New(problem.NoSuchEntity, "the entity has no events")
	}
	if err := c.keep(int64(2 * len(view.State))); err != nil {
		return err
	}
	c.w.Header().Set("ETag", strconv.Quote(strconv.FormatInt(view.Version, 10)))
	return c.ok(entityState{Entity: view.Entity, Version: view.Version, Time: view.Time.UTC(), State: view.State})
}

type read func(ctx context.Context, aggregate, entity string) (shard.View, error)

// reader chooses how to read by the parameters: now, or as of a version or time.
func (c *call) reader(p parameters) (read, error) {
	version, atVersion, err := p.version("version")
	if err != nil {
		return nil, err
	}
	at, atTime := p["at"]
	consistency, chosen := p["consistency"]
	switch {
	case atVersion && atTime:
		return nil, problem.On(problem.InvalidParameter, "at", "give version or at, not both")
	case chosen && (atVersion || atTime):
		return nil, problem.On(problem.InvalidParameter, "consistency", "is for the state now: leave out version and at")
	case chosen && consistency != "strong" && consistency != "local":
		return nil, problem.On(problem.InvalidParameter, "consistency", "must be strong or local")
	case atVersion:
		return c.inTurn(func(ctx context.Context, aggregate, entity string) (shard.View, error) {
			view, err := c.Aggregates.ReadVersion(ctx, aggregate, entity, version)
			if err == nil && view.Version < version {
				err = problem.New(problem.NoSuchEntity, "the entity has no version %d yet", version)
			}
			return view, err
		}), nil
	case atTime:
		t, ok := parseTime(at)
		if !ok {
			return nil, problem.On(problem.InvalidParameter, "at", "must be a time as RFC 3339 has it, such as 2026-01-01T12:00:00Z (write + as %%2B)")
		}
		return c.inTurn(func(ctx context.Context, aggregate, entity string) (shard.View, error) {
			return c.Aggregates.ReadAt(ctx, aggregate, entity, t)
		}), nil
	}
	return func(ctx context.Context, aggregate, entity string) (shard.View, error) {
		return c.Aggregates.Read(ctx, aggregate, entity, consistency != "local")
	}, nil
}

// inTurn makes a read of the past, which goes through pages of events, wait for its
// turn among those who read them.
func (c *call) inTurn(read read) read {
	return func(ctx context.Context, aggregate, entity string) (shard.View, error) {
		done, err := c.turn(ctx)
		if err != nil {
			return shard.View{}, err
		}
		defer done()
		return read(ctx, aggregate, entity)
	}
}

// entityPage is a page of an entity's events. Next is the version to go on
// after; there is none at the end.
type entityPage struct {
	Events []event `json:"events"`
	Next   *int64  `json:"next,omitempty"`
}

func (c *call) entityEvents() error {
	aggregate, entity := c.variables[0], c.variables[1]
	if err := checkEntity(entity); err != nil {
		return err
	}
	p, err := c.parameters(nil, "after", "limit")
	if err != nil {
		return err
	}
	after, _, err := p.version("after")
	if err != nil {
		return err
	}
	limit, err := p.limit()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(c.r.Context(), c.ReadTimeout)
	defer cancel()
	page, err := c.entityPage(ctx, aggregate, entity, after, limit)
	if err != nil {
		return err
	}
	return c.ok(page)
}

func (c *call) entityPage(ctx context.Context, aggregate, entity string, after int64, limit int) (page entityPage, err error) {
	done, err := c.turn(ctx)
	if err != nil {
		return page, err
	}
	defer done()
	events, more, err := c.Aggregates.Events(ctx, aggregate, entity, after, limit)
	if err != nil {
		return page, err
	}
	if err := c.keep(answerBytes(events)); err != nil {
		return page, err
	}
	if more && len(events) > 0 {
		last := events[len(events)-1].Version
		page.Next = &last
	}
	page.Events, err = eventsOf(events)
	return page, err
}
