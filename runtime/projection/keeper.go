package projection

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/leftfold/leftfold/runtime/eventstore"
)

// buildingInterval is how often a version being built is looked at: short, so
// that it takes over soon after it has caught up.
const buildingInterval = 50 * time.Millisecond

// keep brings workers and versions into line whenever something changed here,
// and every so often, for other processes change things too.
func (m *Manager) keep() {
	defer close(m.ended)
	timer := time.NewTimer(m.env.PollInterval)
	defer timer.Stop()
	for {
		select {
		case <-m.ctx.Done():
			return
		case <-m.keeper:
		case <-timer.C:
		}
		if err := m.tidy(m.ctx); err != nil && m.ctx.Err() == nil {
			m.log.Warn("bringing projections into line failed: trying again", "error", err)
		}
		m.observe()
		timer.Reset(m.nextLook())
	}
}

func (m *Manager) nextLook() time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, r := range m.records {
		if r.building() != nil {
			return min(buildingInterval, m.env.PollInterval)
		}
	}
	return m.env.PollInterval
}

// tidy does for every projection, in turn: the view follows the pointer,
// retired versions go, workers run where they should, and a version that has
// caught up takes over.
func (m *Manager) tidy(ctx context.Context) error {
	m.tidying.Lock()
	defer m.tidying.Unlock()
	m.mu.Lock()
	defined := maps.Clone(m.defined)
	m.mu.Unlock()
	var failures []error
	records := make(map[string]*record, len(defined))
	for _, name := range slices.Sorted(maps.Keys(defined)) {
		r, err := readRecord(ctx, m.env.DB.Reader, name, "")
		if err == nil && r != nil {
			err = m.tidyOne(ctx, r)
		}
		if err != nil {
			failures = append(failures, fmt.Errorf("projection %s: %w", name, err))
		}
		if r != nil {
			records[name] = r
		} else if err != nil {
			m.mu.Lock()
			r = m.records[name] // better the last known than none
			m.mu.Unlock()
			if r != nil {
				records[name] = r
			}
		}
	}
	m.mu.Lock()
	m.records = records
	m.mu.Unlock()
	failures = append(failures, m.staff(ctx, records))
	m.env.moved.send() // who waits may have to look at another version
	return errors.Join(failures...)
}

func (m *Manager) tidyOne(ctx context.Context, r *record) error {
	if v := r.building(); v != nil {
		taken, err := m.takeOver(ctx, r, v)
		if err != nil {
			return err
		}
		if taken {
			m.log.Info("a new version of a projection took over", "projection", r.name, "version", v.number)
			fresh, err := readRecord(ctx, m.env.DB.Writer, r.name, "")
			if err != nil {
				return err
			}
			*r = *fresh
		}
	}
	if r.viewed != r.serving {
		if err := m.moveView(ctx, r); err != nil {
			return fmt.Errorf("move the view (it still shows version %d): %w", r.viewed, err)
		}
	}
	for i := range r.versions {
		if v := &r.versions[i]; v.state == stateRetired && v.number != r.viewed {
			if err := dropVersion(ctx, &m.env.DB, m.env.Storage, r, v); err != nil {
				return fmt.Errorf("drop version %d: %w", v.number, err)
			}
		}
	}
	return nil
}

// staff starts the workers that should run, and stops those that should not.
func (m *Manager) staff(ctx context.Context, records map[string]*record) error {
	var failures []error
	wanted := map[feed]bool{}
	for _, r := range records {
		retries, err := retryRequested(ctx, m.env.DB.Reader, r.id)
		if err != nil {
			failures = append(failures, err)
		}
		m.mu.Lock()
		for i := range r.versions {
			v := &r.versions[i]
			if v.state == stateRetired {
				continue
			}
			def, err := m.compile(r.name, v)
			if err != nil {
				failures = append(failures, err)
				continue
			}
			m.staffVersion(r, v, def, wanted, retries)
		}
		m.introduce(r)
		m.mu.Unlock()
	}
	m.mu.Lock()
	for f, w := range m.workers {
		if !wanted[f] {
			m.dismiss(f, w)
		}
	}
	m.mu.Unlock()
	return errors.Join(failures...)
}

// compile gives the definition of a version. m.mu is held.
func (m *Manager) compile(name string, v *versionRecord) (*Definition, error) {
	key := compiledKey(name, v.fingerprint)
	if def := m.compiled[key]; def != nil {
		return def, nil
	}
	if m.env.Compile == nil {
		return nil, fmt.Errorf("version %d of projection %s has another definition: it gets no new events", v.number, name)
	}
	def, err := m.env.Compile(name, []byte(v.spec))
	if err != nil {
		return nil, fmt.Errorf("version %d of projection %s gets no new events: %w", v.number, name, err)
	}
	m.compiled[key] = &def
	return &def, nil
}

// staffVersion starts what is missing of one version's workers. m.mu is held.
func (m *Manager) staffVersion(r *record, v *versionRecord, def *Definition, wanted map[feed]bool, retries map[feed]bool) {
	for id, own := range m.owned {
		types, ok := def.wants(own.aggregate)
		if !ok || m.ctx.Err() != nil {
			continue
		}
		f := feed{projection: r.id, version: v.number, shard: id}
		wanted[f] = true
		w := m.workers[f]
		if w != nil && w.source != own.source {
			m.dismiss(f, w) // the shard was lost and won again
			w = nil
		}
		if w == nil {
			w = m.hire(f, r.version(v), own, types, def.Target)
		}
		if w.paused.Swap(r.paused) != r.paused {
			w.poke()
		}
		if retries[f] {
			w.reload.Store(true)
			w.poke()
		}
	}
}

// hire starts a worker. m.mu is held.
func (m *Manager) hire(f feed, v Version, own ownership, types map[string]bool, t Target) *worker {
	ctx, stop := context.WithCancel(m.ctx)
	w := &worker{
		feed: f, aggregate: own.aggregate, version: v, source: own.source, env: m.env,
		log:      m.log.With("projection", v.Name, "version", v.Number, "aggregate", own.aggregate, "shard", f.shard.Number),
		stop:     stop,
		progress: progress{wake: make(chan struct{}, 1)},
		events:   types,
		writer:   t.Writer(v, own.aggregate),
	}
	w.offset.Store(-1)
	m.work.Go(func() { w.run(ctx) })
	m.workers[f] = w
	return w
}

// introduce tells the workers of the version that serves who builds its
// successor. m.mu is held.
func (m *Manager) introduce(r *record) {
	building := r.building()
	for f, w := range m.workers {
		if f.projection != r.id || f.version != r.serving {
			continue
		}
		var ahead *worker
		if building != nil {
			ahead = m.workers[feed{projection: r.id, version: building.number, shard: f.shard}]
		}
		if old := w.ahead.Swap(ahead); old != ahead {
			w.poke()
		}
		if ahead != nil {
			ahead.behind.Store(w)
		}
	}
}

// observe reports lag and quarantine of the versions that serve.
func (m *Manager) observe() {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	seen := m.env.Observer
	for name, r := range m.records {
		var parked int64
		for f, w := range m.workers {
			if f.projection != r.id || f.version != r.serving {
				continue
			}
			parked += w.parked.Load()
			if seen.Lag != nil {
				seen.Lag(name, w.aggregate, f.shard.Number, w.lag(), w.age(now))
			}
		}
		if seen.Quarantined != nil {
			seen.Quarantined(name, int(parked))
		}
	}
}

func (w *worker) lag() int64 {
	return max(0, w.head.Load()-max(0, w.offset.Load()))
}

func (w *worker) age(now time.Time) time.Duration {
	oldest := w.oldest.Load()
	if oldest == 0 {
		return 0
	}
	return max(0, now.Sub(time.UnixMicro(oldest)))
}

// aggregate gives the id of a source; ok is false when the store has none of
// that name yet.
func (m *Manager) aggregateID(ctx context.Context, name string) (id eventstore.AggregateID, ok bool, err error) {
	m.mu.Lock()
	id, ok = m.aggregates[name]
	m.mu.Unlock()
	if ok {
		return id, true, nil
	}
	all, err := m.env.Log.Aggregates(ctx)
	if err != nil {
		return 0, false, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, a := range all {
		m.aggregates[a.Name] = a.ID
	}
	id, ok = m.aggregates[name]
	return id, ok, nil
}

// shards gives the rows of all shards of all sources of a definition.
func (m *Manager) shards(ctx context.Context, def *Definition) ([]eventstore.ShardState, error) {
	var all []eventstore.ShardState
	for _, s := range def.Sources {
		id, ok, err := m.aggregateID(ctx, s.Aggregate)
		if err != nil {
			return nil, err
		}
		if !ok {
			continue
		}
		states, err := m.env.Log.Shards(ctx, id)
		if err != nil {
			return nil, err
		}
		all = append(all, states...)
	}
	return all, nil
}
