// Package projectiontest is a bench for tests of projections: a real store of
// each kind, aggregates whose shards the test writes to as an owner would, and
// a database handle that fails where it is told to.
//
// Nothing but tests imports it.
package projectiontest

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"sync"
	"testing"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/leftfold/leftfold/api/language"
	"github.com/leftfold/leftfold/api/v1alpha1"
	"github.com/leftfold/leftfold/runtime/eventstore"
	"github.com/leftfold/leftfold/runtime/projection"
	"github.com/leftfold/leftfold/runtime/projection/table"
)

// Rig is one store with its database and aggregates.
type Rig struct {
	T     testing.TB
	Store eventstore.Store
	DB    projection.DB

	compiled map[string]*language.Aggregate
}

// Aggregate is an aggregate that the test writes events of.
type Aggregate struct {
	eventstore.Aggregate
	Shards []*Shard
	rig    *Rig
}

// Shard is a shard that the test owns. It is a projection.Source.
type Shard struct {
	ID eventstore.ShardID
	// Blind makes Committed give nothing from memory, so that workers read the
	// store.
	Blind bool

	rig      *Rig
	mu       sync.Mutex
	lease    eventstore.Lease
	hash     eventstore.Hash
	events   []eventstore.Event
	versions map[string]int64
	changed  chan struct{}
}

// Aggregate declares an aggregate by its spec in YAML and claims its shards.
func (r *Rig) Aggregate(name string, shards int, spec string) *Aggregate {
	r.T.Helper()
	ctx := r.T.Context()
	r.Declare(name, spec)
	made, err := r.Store.EnsureAggregate(ctx, name, shards)
	if err != nil {
		r.T.Fatalf("make aggregate %s: %v", name, err)
	}
	a := &Aggregate{Aggregate: made, rig: r}
	for n := range shards {
		s := &Shard{ID: eventstore.ShardID{Aggregate: made.ID, Number: int32(n)}, rig: r,
			versions: map[string]int64{}, changed: make(chan struct{})}
		var token eventstore.Token
		_, _ = rand.Read(token[:]) // never fails, says crypto/rand
		state, err := r.Store.Claim(ctx, eventstore.ClaimRequest{Shard: s.ID, Owner: "test", Token: token})
		if err != nil {
			r.T.Fatalf("claim %s: %v", s.ID, err)
		}
		s.lease = state.Lease
		a.Shards = append(a.Shards, s)
	}
	return a
}

// Declare compiles an aggregate's spec, so that projections can read it.
func (r *Rig) Declare(name, spec string) {
	r.T.Helper()
	var parsed v1alpha1.AggregateSpec
	if err := yaml.UnmarshalStrict([]byte(spec), &parsed); err != nil {
		r.T.Fatalf("aggregate %s: %v", name, err)
	}
	compiled, problems := language.Compile(name, &parsed)
	if language.HasErrors(problems) {
		r.T.Fatalf("aggregate %s: %v", name, problems)
	}
	r.compiled[name] = compiled
}

// Define compiles a projection's spec in YAML.
func (r *Rig) Define(name, spec string) projection.Definition {
	r.T.Helper()
	data, err := yaml.YAMLToJSON([]byte(spec))
	if err != nil {
		r.T.Fatalf("projection %s: %v", name, err)
	}
	def, err := r.Compile(name, data)
	if err != nil {
		r.T.Fatalf("%v", err)
	}
	return def
}

// Compile is what a Manager needs as Config.Compile.
func (r *Rig) Compile(name string, spec []byte) (projection.Definition, error) {
	var parsed v1alpha1.ProjectionSpec
	if err := yaml.UnmarshalStrict(spec, &parsed); err != nil {
		return projection.Definition{}, fmt.Errorf("projection %s: %w", name, err)
	}
	compiled, problems := language.CompileProjection(name, &parsed, r.compiled)
	if language.HasErrors(problems) {
		return projection.Definition{}, fmt.Errorf("projection %s: %v", name, problems)
	}
	return table.Define(&parsed, compiled, r.DB.Dialect)
}

// Shard is the one that holds the entity.
func (a *Aggregate) Shard(entity string) *Shard {
	h := fnv.New32a()
	_, _ = h.Write([]byte(entity)) // never fails, says hash.Hash
	return a.Shards[int(h.Sum32())%len(a.Shards)]
}

// Event is what a test says of an event.
type Event struct {
	Entity string
	Type   string
	Data   any
}

// Append appends one event and gives its position.
func (a *Aggregate) Append(entity, typ string, data any) eventstore.Position {
	a.rig.T.Helper()
	return a.Shard(entity).Append(Event{entity, typ, data})
}

// Append appends events in one batch and gives the position of the last.
func (s *Shard) Append(events ...Event) eventstore.Position {
	s.rig.T.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	batch := eventstore.Batch{Lease: s.lease, Head: int64(len(s.events)), HeadHash: s.hash}
	now := time.Now().UTC().Truncate(time.Microsecond)
	if n := len(s.events); n > 0 && s.events[n-1].RecordedAt.After(now) {
		now = s.events[n-1].RecordedAt
	}
	for i, e := range events {
		data, err := json.Marshal(e.Data)
		if err != nil {
			s.rig.T.Fatalf("event data: %v", err)
		}
		s.versions[e.Entity]++
		next := eventstore.Event{
			Shard: s.ID, Seq: batch.Head + int64(i) + 1, Entity: e.Entity, Version: s.versions[e.Entity],
			Epoch: s.lease.Epoch, Type: e.Type, TypeVersion: 1, Data: data,
			Meta:      eventstore.Meta{Time: now},
			CommandID: fmt.Sprintf("%s-%d", e.Entity, s.versions[e.Entity]), RecordedAt: now,
		}
		if s.hash, err = next.Link(s.hash); err != nil {
			s.rig.T.Fatalf("hash an event: %v", err)
		}
		next.Hash = s.hash
		batch.Events = append(batch.Events, next)
	}
	result := s.rig.Store.Append(context.WithoutCancel(s.rig.T.Context()), []eventstore.Batch{batch})[0]
	if result.Status != eventstore.Appended {
		s.rig.T.Fatalf("append to %s: %v, %v", s.ID, result.Status, result.Err)
	}
	s.events = append(s.events, batch.Events...)
	close(s.changed)
	s.changed = make(chan struct{})
	var p eventstore.Position
	p.Set(s.ID, int64(len(s.events)))
	return p
}

// Committed implements projection.Source.
func (s *Shard) Committed(after int64, limit int) ([]eventstore.Event, int64, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	head := int64(len(s.events))
	if s.Blind {
		return nil, head, after >= head
	}
	rest := s.events[min(after, head):]
	return append([]eventstore.Event(nil), rest[:min(len(rest), limit)]...), head, true
}

// Changed implements projection.Source.
func (s *Shard) Changed() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.changed
}

// Head is the position of all shards of the aggregate.
func (a *Aggregate) Head() eventstore.Position {
	var p eventstore.Position
	for _, s := range a.Shards {
		_, head, _ := s.Committed(0, 0)
		p.Set(s.ID, head)
	}
	return p
}

// Manager starts a Manager on the rig's database, quick to look and to try
// again, and closes it with the test. It owns no shards yet.
func (r *Rig) Manager(change ...func(*projection.Config)) *projection.Manager {
	c := projection.Config{
		DB: r.DB, Log: r.Store, Storage: table.Storage{Database: r.DB.Dialect}, Compile: r.Compile,
		FlushInterval: time.Millisecond, PollInterval: 20 * time.Millisecond,
		MinBackoff: time.Millisecond, MaxBackoff: 20 * time.Millisecond,
		Logger: Logger(r.T),
	}
	for _, f := range change {
		f(&c)
	}
	m := projection.NewManager(c)
	r.T.Cleanup(m.Close)
	return m
}

// Own gives a Manager all shards of the aggregate.
func (a *Aggregate) Own(m *projection.Manager) {
	for _, s := range a.Shards {
		m.Own(a.Name, s.ID, s)
	}
}

// Rows gives all rows that readers see through the SQL name, by key.
func (r *Rig) Rows(projectionName string) map[string]string {
	r.T.Helper()
	reader := table.Reader{DB: r.DB}
	rows, q := map[string]string{}, table.Query{Limit: table.MaxLimit}
	for {
		page, err := reader.Query(r.T.Context(), projectionName, q)
		if err != nil {
			r.T.Fatalf("query %s: %v", projectionName, err)
		}
		for _, row := range page.Rows {
			rows[string(row.Key)] = string(row.Row)
		}
		if page.Next == "" {
			return rows
		}
		q.Cursor = page.Next
	}
}
