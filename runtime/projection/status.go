package projection

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/leftfold/leftfold/runtime/eventstore"
)

// State is what a projection does, in one word.
type State string

// The states of a projection.
const (
	// Live: the version that serves has the newest definition.
	Live State = "live"
	// Building: a newer version is being built beside the one that serves.
	Building State = "building"
	// Blocked: the newer version parks entities that the one that serves does
	// not, so it does not take over. Mend the definition, or the events' cause,
	// and retry.
	Blocked State = "blocked"
	// Paused: it rests until Resume.
	Paused State = "paused"
)

// Status is how a projection is.
type Status struct {
	Name  string
	State State
	// Relation is the SQL name of the rows.
	Relation string
	// Version is the number of the version that serves, Next that of the one
	// being built, 0 when none is.
	Version int
	Next    int
	// Position is how far the version that serves is.
	Position eventstore.Position
	// LagEvents counts the events that the version that serves has not seen;
	// Lag is the age of the oldest of them.
	LagEvents int64
	Lag       time.Duration
	// NextLagEvents is the same for the version being built.
	NextLagEvents int64
	// Parked are the entities in quarantine: those of the version that serves,
	// and after them those of the one being built.
	Parked     []Parked
	NextParked []Parked
	// Error is the last error of a worker here that has not got over it.
	Error string
}

// Status tells how a projection is, over all shards, wherever they are owned.
func (m *Manager) Status(ctx context.Context, name string) (Status, error) {
	def, err := m.definition(name)
	if err != nil {
		return Status{}, err
	}
	r, err := readRecord(ctx, m.env.DB.Reader, name, "")
	if err != nil {
		return Status{}, err
	}
	if r == nil {
		return Status{}, fmt.Errorf("%w: %s", ErrUnknownProjection, name)
	}
	s := Status{Name: name, Version: r.serving, State: Live}
	if v := r.find(r.serving); v != nil {
		s.Relation = v.relation
	}
	shards, err := m.shards(ctx, def)
	if err != nil {
		return Status{}, err
	}
	offsets, err := readOffsets(ctx, m.env.DB.Reader, r.id, r.serving, "")
	if err != nil {
		return Status{}, err
	}
	for id, seq := range offsets {
		s.Position.Set(id, seq)
	}
	if s.Parked, err = readParked(ctx, m.env.DB.Reader, r.id, r.serving); err != nil {
		return Status{}, err
	}
	if err := m.measureLag(ctx, &s, shards); err != nil {
		return Status{}, err
	}
	if v := r.building(); v != nil {
		if err := m.describeNext(ctx, &s, r, v, shards); err != nil {
			return Status{}, err
		}
	}
	if r.paused {
		s.State = Paused
	}
	s.Error = m.workerError(r)
	return s, nil
}

func (m *Manager) measureLag(ctx context.Context, s *Status, shards []eventstore.ShardState) error {
	now := time.Now()
	for _, shard := range shards {
		behind := shard.Head - s.Position.Get(shard.Shard)
		if behind <= 0 {
			continue
		}
		s.LagEvents += behind
		oldest, err := m.env.Log.ReadShard(ctx, shard.Shard, s.Position.Get(shard.Shard), 1)
		if err != nil {
			return err
		}
		if len(oldest) == 1 {
			s.Lag = max(s.Lag, now.Sub(oldest[0].RecordedAt))
		}
	}
	return nil
}

func (m *Manager) describeNext(ctx context.Context, s *Status, r *record, v *versionRecord, shards []eventstore.ShardState) error {
	s.State, s.Next = Building, v.number
	offsets, err := readOffsets(ctx, m.env.DB.Reader, r.id, v.number, "")
	if err != nil {
		return err
	}
	for _, shard := range shards {
		s.NextLagEvents += max(0, shard.Head-offsets[shard.Shard])
	}
	if s.NextParked, err = readParked(ctx, m.env.DB.Reader, r.id, v.number); err != nil {
		return err
	}
	fresh, err := newlyParked(ctx, m.env.DB.Reader, r, v)
	if fresh > 0 {
		s.State = Blocked
	}
	return err
}

// workerError gives the errors of workers here, each once.
func (m *Manager) workerError(r *record) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var texts []string
	for f, w := range m.workers {
		if f.projection != r.id {
			continue
		}
		if text := w.failure.Load(); text != nil && !slices.Contains(texts, *text) {
			texts = append(texts, *text)
		}
	}
	slices.Sort(texts)
	return strings.Join(texts, "; ")
}
