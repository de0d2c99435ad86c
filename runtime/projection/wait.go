package projection

import (
	"context"
	"time"

	"github.com/leftfold/leftfold/runtime/eventstore"
	"github.com/leftfold/leftfold/runtime/problem"
)

// remotePoll is how often the store is asked how far shards are that are owned
// elsewhere.
const remotePoll = 25 * time.Millisecond

// Wait returns when the rows that readers see contain everything up to after,
// and makes workers here hurry. Shards that the projection does not read are
// none of its business and count as reached.
//
// Problems: NotCaughtUp when timeout (0 or less: do not wait) ran out,
// Quarantined when an event that after names is one of a parked entity,
// UnknownName.
func (m *Manager) Wait(ctx context.Context, name string, after eventstore.Position, timeout time.Duration) error {
	if err := m.knowSources(ctx, name); err != nil {
		return err
	}
	deadline := time.NewTimer(max(0, timeout))
	defer deadline.Stop()
	for {
		moved := m.env.moved.next()
		done, local, err := m.reached(ctx, name, after)
		if err != nil {
			return err
		}
		if done {
			return m.parkedAt(ctx, name, after)
		}
		var poll <-chan time.Time
		if !local {
			poll = time.After(remotePoll)
		}
		if timeout <= 0 {
			return notCaughtUp(name)
		}
		select {
		case <-moved:
		case <-poll:
		case <-deadline.C:
			return notCaughtUp(name)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// knowSources makes sure that the ids of a projection's sources are known, of
// which no shard may ever have been owned here.
func (m *Manager) knowSources(ctx context.Context, name string) error {
	def, err := m.definition(name)
	if err != nil {
		return problem.New(problem.UnknownName, "there is no projection %s", name)
	}
	for _, s := range def.Sources {
		if _, _, err := m.aggregateID(ctx, s.Aggregate); err != nil {
			return err
		}
	}
	return nil
}

func notCaughtUp(name string) error {
	return problem.New(problem.NotCaughtUp, "projection %s has not reached the position yet", name)
}

// reached reports whether the version that serves has the position. local is
// false when the answer depends on other processes.
func (m *Manager) reached(ctx context.Context, name string, after eventstore.Position) (done, local bool, err error) {
	pending, serving, known := m.pending(name, after)
	if !known {
		return false, false, problem.New(problem.UnknownName, "there is no projection %s", name)
	}
	if len(pending) == 0 {
		return true, true, nil
	}
	remote := false
	for id, seq := range pending {
		if w := m.worker(feed{projection: serving.projection, version: serving.version, shard: id}); w != nil {
			w.want(seq)
		} else {
			remote = true
		}
	}
	if !remote {
		return false, true, nil
	}
	r, err := readRecord(ctx, m.env.DB.Reader, name, "")
	if err != nil {
		return false, false, err
	}
	if r == nil {
		return false, false, nil
	}
	offsets, err := readOffsets(ctx, m.env.DB.Reader, r.id, r.serving, "")
	if err != nil {
		return false, false, err
	}
	for id, seq := range pending {
		if offsets[id] < seq {
			return false, false, nil
		}
	}
	return true, false, nil
}

// pending gives what of the position local workers of the version that serves
// have not reached.
func (m *Manager) pending(name string, after eventstore.Position) (map[eventstore.ShardID]int64, feed, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	def := m.defined[name]
	if def == nil {
		return nil, feed{}, false
	}
	sources := map[eventstore.AggregateID]bool{}
	for _, s := range def.Sources {
		if id, ok := m.aggregates[s.Aggregate]; ok {
			sources[id] = true
		}
	}
	var serving feed
	if r := m.records[name]; r != nil {
		serving.projection, serving.version = r.id, r.serving
	}
	pending := map[eventstore.ShardID]int64{}
	for id, seq := range after.All() {
		if !sources[id.Aggregate] {
			continue
		}
		f := serving
		f.shard = id
		if w := m.workers[f]; w == nil || w.offset.Load() < seq {
			pending[id] = seq
		}
	}
	return pending, serving, true
}

func (m *Manager) worker(f feed) *worker {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.workers[f]
}

// parkedAt refuses a position that names an event of a parked entity: the
// offset has passed it, and the rows do not contain it.
func (m *Manager) parkedAt(ctx context.Context, name string, after eventstore.Position) error {
	_, serving, _ := m.pending(name, eventstore.Position{})
	var r *record
	for id, seq := range after.All() {
		serving.shard = id
		if w := m.worker(serving); seq == 0 || w != nil && w.parked.Load() == 0 {
			continue
		}
		if r == nil {
			var err error
			if r, err = readRecord(ctx, m.env.DB.Reader, name, ""); err != nil || r == nil {
				return err
			}
		}
		f := feed{projection: r.id, version: r.serving, shard: id}
		entities, err := readFeedParked(ctx, m.env.DB.Reader, f)
		if err != nil {
			return err
		}
		if len(entities) == 0 {
			continue
		}
		events, err := m.env.Log.ReadShard(ctx, id, seq-1, 1)
		if err != nil {
			return err
		}
		if len(events) == 0 {
			continue
		}
		if p, parked := entities[events[0].Entity]; parked && p.seq <= seq {
			return problem.New(problem.Quarantined,
				"an event of %q could not be applied to projection %s: the entity is parked until a retry", events[0].Entity, name)
		}
	}
	return nil
}
