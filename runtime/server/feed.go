package server

import (
	"context"
	"reflect"
	"time"

	"github.com/leftfold/leftfold/runtime/api"
	"github.com/leftfold/leftfold/runtime/eventstore"
	"github.com/leftfold/leftfold/runtime/problem"
	"github.com/leftfold/leftfold/runtime/shard"
)

// remotePoll is how often a waiting stream looks at shards that another process
// owns, of whose commits this one is not told.
const remotePoll = 250 * time.Millisecond

// feed implements api.Feed. Events always come from the store, never from a
// shard's memory: who checks the chain of hashes has to see what is stored. The
// shards owned here only tell when there is more.
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
	p, ctx := newPage(limit), eventstore.Within(ctx, api.PageBytes)
	// Each round gives every shard with more an equal share, and each page begins
	// where the one before ended, so that a busy shard does not keep the others
	// from being seen, however small the pages are.
	for !p.full() {
		var behind []eventstore.ShardState
		for _, row := range rows {
			if reached.Get(row.Shard) < row.Head {
				behind = append(behind, row)
			}
		}
		if len(behind) == 0 {
			break
		}
		first := turn(reached, len(behind))
		for i := range behind {
			id := behind[(first+i)%len(behind)].Shard
			if p.full() {
				break
			}
			_, came, err := p.read(ctx, len(behind)-i, func(ctx context.Context, limit int) ([]eventstore.Event, error) {
				return w.store.ReadShard(ctx, id, reached.Get(id), limit)
			})
			if err != nil {
				return nil, after, err
			}
			if came == 0 {
				w.log.Error("the store has lost events: run leftfold verify", "aggregate", aggregate, "shard", id.Number, "last", reached.Get(id))
				return nil, after, problem.New(problem.Internal, "shard %d has no event after seq %d, though its head is higher: the store has lost events", id.Number, reached.Get(id))
			}
			reached.Set(id, p.events[len(p.events)-1].Seq)
		}
	}
	return p.events, reached, nil
}

// turn tells which of n shards is first after so many events.
func turn(reached eventstore.Position, n int) int {
	var seen uint64 // a caller's position may add up to more than an int64 holds
	for _, seq := range reached.All() {
		seen += uint64(seq)
	}
	return int(seen % uint64(n))
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

// ended tells of a shard that has stopped here and may be served elsewhere.
func ended(s *shard.Shard) bool {
	select {
	case <-s.Done():
		return true
	default:
		return false
	}
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
		if s == nil || ended(s) {
			remote = true
			continue
		}
		// The channel is taken before the head is read, so no commit falls between.
		changed := s.Changed()
		if _, head, _ := s.Committed(0, 0); head > after.Get(s.ID()) {
			return nil
		}
		cases = append(cases, reflect.SelectCase{Dir: reflect.SelectRecv, Chan: reflect.ValueOf(changed)},
			reflect.SelectCase{Dir: reflect.SelectRecv, Chan: reflect.ValueOf(s.Done())})
	}
	if remote {
		timer := time.NewTimer(remotePoll)
		defer timer.Stop()
		cases = append(cases, reflect.SelectCase{Dir: reflect.SelectRecv, Chan: reflect.ValueOf(timer.C)})
	}
	reflect.Select(cases)
	return ctx.Err()
}
