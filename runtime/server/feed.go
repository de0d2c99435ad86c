package server

import (
	"context"
	"reflect"
	"time"

	"github.com/leftfold/leftfold/runtime/eventstore"
)

// remotePoll is how often a waiting stream looks at shards that another process
// owns, of whose commits this one is not told.
const remotePoll = 250 * time.Millisecond

// feed implements api.Feed: from the shards' memory where they are owned here,
// from the store where not, or where the events are too old.
type feed struct{ server *Server }

func (f feed) Page(ctx context.Context, aggregate string, after eventstore.Position, limit int) ([]eventstore.Event, eventstore.Position, error) {
	reached := after.Clone()
	w, a, err := f.server.find(aggregate)
	if err != nil {
		return nil, reached, err
	}
	rows, err := w.store.Shards(ctx, a.id)
	if err != nil {
		return nil, reached, err
	}
	var events []eventstore.Event
	// Each round gives every shard with more an equal share, so that a busy one
	// does not keep the others from being seen.
	for len(events) < limit {
		var behind []eventstore.ShardState
		for _, row := range rows {
			if reached.Get(row.Shard) < row.Head {
				behind = append(behind, row)
			}
		}
		if len(behind) == 0 {
			break
		}
		share := max(1, (limit-len(events))/len(behind))
		for _, row := range behind {
			some, err := f.read(ctx, w, a, row.Shard, reached.Get(row.Shard), min(share, limit-len(events)))
			if err != nil {
				return nil, after, err
			}
			if len(some) > 0 {
				events = append(events, some...)
				reached.Set(row.Shard, some[len(some)-1].Seq)
			}
		}
	}
	return events, reached, nil
}

func (f feed) read(ctx context.Context, w *workload, a *aggregate, id eventstore.ShardID, after int64, limit int) ([]eventstore.Event, error) {
	if limit <= 0 {
		return nil, nil
	}
	if s := a.shard(id.Number); s != nil {
		if events, _, ok := s.Committed(after, limit); ok && len(events) > 0 {
			return events, nil
		}
	}
	return w.store.ReadShard(ctx, id, after, limit)
}

func (f feed) End(ctx context.Context, aggregate string) (eventstore.Position, error) {
	var end eventstore.Position
	w, a, err := f.server.find(aggregate)
	if err != nil {
		return end, err
	}
	rows, err := w.store.Shards(ctx, a.id)
	for _, row := range rows {
		end.Set(row.Shard, row.Head)
	}
	return end, err
}

func (f feed) Wait(ctx context.Context, aggregate string, after eventstore.Position) error {
	_, a, err := f.server.find(aggregate)
	if err != nil {
		return err
	}
	cases := []reflect.SelectCase{{Dir: reflect.SelectRecv, Chan: reflect.ValueOf(ctx.Done())}}
	remote := false
	for number := range a.ranges {
		s := a.shard(int32(number))
		if s == nil {
			remote = true
			continue
		}
		// The channel is taken before the head is read, so no commit falls between.
		changed := s.Changed()
		if _, head, _ := s.Committed(0, 0); head > after.Get(s.ID()) {
			return nil
		}
		cases = append(cases, reflect.SelectCase{Dir: reflect.SelectRecv, Chan: reflect.ValueOf(changed)})
	}
	if remote {
		timer := time.NewTimer(remotePoll)
		defer timer.Stop()
		cases = append(cases, reflect.SelectCase{Dir: reflect.SelectRecv, Chan: reflect.ValueOf(timer.C)})
	}
	reflect.Select(cases)
	return ctx.Err()
}
