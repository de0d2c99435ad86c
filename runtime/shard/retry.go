package shard

import (
	"context"
	"log/slog"
	"slices"
	"time"

	"github.com/leftfold/leftfold/runtime/eventstore"
)

// A retried command whose id was made at the door may have written its events so
// many commands ago that the window, which keeps only the last N of such ids, has
// let go of them: callers of a busy entity come back all at once after a
// failover. Then the log is looked at, which tells all. This happens when an
// entity has had more than N commands in retryHorizon, and never to a first
// attempt.

// retryHorizon is longer than any command is retried for, the difference of
// clocks included.
const retryHorizon = time.Minute

// searchPage is how many events are read at once.
const searchPage = 500

// forgot tells whether ids made at the door may have left the window although
// they are younger than the horizon. version is the entity's.
func (w *window) forgot(version int64, horizon time.Time) bool {
	if w.first == len(w.recent) {
		return version > 0
	}
	oldest := &w.recent[w.first]
	return oldest.at > horizon.UnixMicro() && oldest.version > oldest.events
}

// search looks for what an earlier attempt of a command has written, from version
// head back to the horizon.
func (s *Shard) search(ctx context.Context, c Command, head int64) (a Answer, found bool, err error) {
	horizon := s.now().Add(-retryHorizon)
	var events []eventstore.Event // backwards
	for before := head; before > 0; {
		after := max(0, before-searchPage)
		call, cancel := context.WithTimeout(ctx, s.limits().CallTimeout)
		page, err := s.host.cfg.Store.ReadEntity(call, s.id.Aggregate, c.Entity, after, int(before-after))
		cancel()
		if err != nil {
			s.log.Warn("cannot look for what a retried command has written", slog.Any("error", err))
			return Answer{}, false, outcomeUnknown("the command was tried before, and the log cannot be read now")
		}
		for i := len(page) - 1; i >= 0; i-- {
			if page[i].CommandID == c.ID && page[i].RequestHash == (eventstore.Hash{}) {
				events = append(events, page[i])
			}
		}
		if len(page) == 0 || page[0].Meta.Time.Before(horizon) || len(events) > 0 && page[0].CommandID != c.ID {
			break
		}
		before = after
	}
	if len(events) == 0 {
		return Answer{}, false, nil
	}
	last := events[0]
	slices.Reverse(events)
	return Answer{
		Entity: c.Entity, Version: last.Version, Shard: s.id, Seq: last.Seq, Events: events, Replay: true,
	}, true, nil
}
