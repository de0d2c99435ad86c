package shard_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/leftfold/leftfold/runtime/eventstore"
	"github.com/leftfold/leftfold/runtime/problem"
	"github.com/leftfold/leftfold/runtime/shard"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// quiet logs to nowhere: the failures are provoked.
func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

// rigged is a store whose answers a test may change call by call. A hook runs in
// place of the call, and may make it through next.
type rigged struct {
	eventstore.Store

	mu          sync.Mutex
	append      func(b []eventstore.Batch, next func() []eventstore.AppendResult) []eventstore.AppendResult
	check       func(next func() ([]bool, error)) ([]bool, error)
	claim       func(r eventstore.ClaimRequest, next func() (eventstore.ShardState, error)) (eventstore.ShardState, error)
	row         func(next func() (eventstore.ShardState, error)) (eventstore.ShardState, error)
	readEntity  func(entity string, next func() ([]eventstore.Event, error)) ([]eventstore.Event, error)
	save        func()             // before snapshots are saved
	batches     []eventstore.Batch // all that were sent
	checks      int
	entityReads int
	snapshots   []eventstore.Snapshot
	deleted     []eventstore.Outcome
}

func (r *rigged) set(f func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f()
}

func (r *rigged) Append(ctx context.Context, b []eventstore.Batch) []eventstore.AppendResult {
	r.mu.Lock()
	hook := r.append
	r.batches = append(r.batches, b...)
	r.mu.Unlock()
	next := func() []eventstore.AppendResult { return r.Store.Append(ctx, b) }
	if hook != nil {
		return hook(b, next)
	}
	return next()
}

func (r *rigged) Shard(ctx context.Context, id eventstore.ShardID) (eventstore.ShardState, error) {
	r.mu.Lock()
	hook := r.row
	r.mu.Unlock()
	next := func() (eventstore.ShardState, error) { return r.Store.Shard(ctx, id) }
	if hook != nil {
		return hook(next)
	}
	return next()
}

func (r *rigged) Check(ctx context.Context, t []eventstore.Tenure) ([]bool, error) {
	r.mu.Lock()
	hook := r.check
	r.checks++
	r.mu.Unlock()
	next := func() ([]bool, error) { return r.Store.Check(ctx, t) }
	if hook != nil {
		return hook(next)
	}
	return next()
}

func (r *rigged) Claim(ctx context.Context, c eventstore.ClaimRequest) (eventstore.ShardState, error) {
	r.mu.Lock()
	hook := r.claim
	r.mu.Unlock()
	next := func() (eventstore.ShardState, error) { return r.Store.Claim(ctx, c) }
	if hook != nil {
		return hook(c, next)
	}
	return next()
}

func (r *rigged) ReadEntity(ctx context.Context, a eventstore.AggregateID, entity string, after int64, limit int) ([]eventstore.Event, error) {
	r.mu.Lock()
	hook := r.readEntity
	r.entityReads++
	r.mu.Unlock()
	next := func() ([]eventstore.Event, error) { return r.Store.ReadEntity(ctx, a, entity, after, limit) }
	if hook != nil {
		return hook(entity, next)
	}
	return next()
}

// LoadEntity is a read of events, too.
func (r *rigged) LoadEntity(ctx context.Context, a eventstore.AggregateID, entity string, limit int) (l eventstore.Loading, err error) {
	r.mu.Lock()
	hook := r.readEntity
	r.entityReads++
	r.mu.Unlock()
	next := func() (_ []eventstore.Event, err error) {
		l, err = r.Store.LoadEntity(ctx, a, entity, limit)
		return l.Events, err
	}
	if hook == nil {
		hook = func(_ string, next func() ([]eventstore.Event, error)) ([]eventstore.Event, error) { return next() }
	}
	l.Events, err = hook(entity, next)
	return l, err
}

func (r *rigged) SaveSnapshots(ctx context.Context, s []eventstore.Snapshot) error {
	r.mu.Lock()
	hook := r.save
	r.mu.Unlock()
	if hook != nil {
		hook()
	}
	r.set(func() { r.snapshots = append(r.snapshots, s...) })
	return r.Store.SaveSnapshots(ctx, s)
}

func (r *rigged) DeleteOutcomes(ctx context.Context, a eventstore.AggregateID, o []eventstore.Outcome) error {
	r.set(func() { r.deleted = append(r.deleted, o...) })
	return r.Store.DeleteOutcomes(ctx, a, o)
}

// all gives every batch the same result.
func all(b []eventstore.Batch, status eventstore.AppendStatus) []eventstore.AppendResult {
	out := make([]eventstore.AppendResult, len(b))
	for i := range out {
		out[i] = eventstore.AppendResult{Status: status, Err: errors.New("rigged")}
	}
	return out
}

// gate stops appends (or whatever passes it) until it is opened.
type gate struct {
	arrived chan struct{} // one for each that has come
	opened  chan struct{}
	once    sync.Once
}

// gate makes one that the end of the test opens at the latest.
func (r *rig) gate() *gate {
	g := &gate{arrived: make(chan struct{}, 1000), opened: make(chan struct{})}
	r.t.Cleanup(g.open)
	return g
}

func (g *gate) open() { g.once.Do(func() { close(g.opened) }) }

func (g *gate) pass() {
	g.arrived <- struct{}{}
	<-g.opened
}

// rig is one host with one shard on a rigged store.
type rig struct {
	t     *testing.T
	store *rigged
	host  *shard.Host
	s     *shard.Shard
	id    eventstore.ShardID
	def   shard.Definition
	lost  chan error
	name  eventstore.Incarnation
	keys  int
}

type option func(*shard.Config, *shard.Definition)

func limits(f func(*shard.Limits)) option {
	return func(c *shard.Config, _ *shard.Definition) { f(&c.Limits) }
}

func define(f func(*shard.Definition)) option {
	return func(_ *shard.Config, d *shard.Definition) { f(d) }
}

func newRig(t *testing.T, options ...option) *rig {
	t.Helper()
	return rigOn(t, newStore(t), "host-a", options...)
}

// another opens the same shard on the same store by another host: a takeover.
func (r *rig) another(options ...option) *rig {
	r.t.Helper()
	return rigOn(r.t, r.store.Store, "host-b", options...)
}

func rigOn(t *testing.T, store eventstore.Store, name eventstore.Incarnation, options ...option) *rig {
	t.Helper()
	r := &rig{t: t, name: name, store: &rigged{Store: store}, lost: make(chan error, 1)}
	r.def = shard.Definition{Behavior: bank{unit: "balance"}}
	a, err := store.EnsureAggregate(t.Context(), "account", 1)
	if err != nil {
		t.Fatal(err)
	}
	r.id = eventstore.ShardID{Aggregate: a.ID}
	cfg := shard.Config{
		Store: r.store, Incarnation: name, Address: string(name) + ":1", Logger: quiet(),
		OnLost: func(_ *shard.Shard, cause error) { r.lost <- cause },
	}
	for _, o := range options {
		o(&cfg, &r.def)
	}
	r.host = shard.NewHost(cfg)
	t.Cleanup(func() {
		r.store.set(func() { r.store.append, r.store.check, r.store.claim, r.store.readEntity = nil, nil, nil, nil })
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		if err := r.host.Close(ctx); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	r.open()
	return r
}

func (r *rig) open() {
	r.t.Helper()
	s, err := r.host.Open(r.t.Context(), shard.Spec{ID: r.id, Aggregate: "account", Definition: r.def})
	if err != nil {
		r.t.Fatalf("open: %v", err)
	}
	r.s = s
}

// command builds one with a key of its own.
func (r *rig) command(entity, name string, body string) shard.Command {
	r.keys++
	return shard.Command{Entity: entity, Name: name, Body: []byte(body), ID: fmt.Sprintf("%s-%s-%d", r.name, entity, r.keys), Keyed: true}
}

// result is what became of a call under way.
type result struct {
	answer shard.Answer
	view   shard.View
	err    error
	took   time.Duration
}

type call struct{ done chan result }

// finished tells whether the answer is there.
func (c call) finished() bool { return len(c.done) > 0 }

func (c call) wait() result {
	out := <-c.done
	c.done <- out
	return out
}

// start sends a command without waiting for its answer.
func (r *rig) start(ctx context.Context, c shard.Command) call {
	out := call{make(chan result, 1)}
	begin := time.Now()
	go func() {
		a, err := r.s.Handle(ctx, c)
		out.done <- result{answer: a, err: err, took: time.Since(begin)}
	}()
	return out
}

func (r *rig) startRead(ctx context.Context, entity string) call {
	out := call{make(chan result, 1)}
	go func() {
		v, err := r.s.Read(ctx, entity, true)
		out.done <- result{view: v, err: err}
	}()
	return out
}

// must runs a command that has to succeed.
func (r *rig) must(entity, name, body string) shard.Answer {
	r.t.Helper()
	a, err := r.s.Handle(r.t.Context(), r.command(entity, name, body))
	if err != nil {
		r.t.Fatalf("%s on %s: %v", name, entity, err)
	}
	return a
}

func (r *rig) send(c shard.Command) result {
	a, err := r.s.Handle(r.t.Context(), c)
	return result{answer: a, err: err}
}

// events are the log of an entity, as stored.
func (r *rig) events(entity string) []eventstore.Event {
	r.t.Helper()
	e, err := r.store.Store.ReadEntity(context.Background(), r.id.Aggregate, entity, 0, 10000)
	if err != nil {
		r.t.Fatal(err)
	}
	return e
}

func (r *rig) types(entity string) []string {
	var out []string
	for _, e := range r.events(entity) {
		out = append(out, e.Type)
	}
	return out
}

// balance reads strongly.
func (r *rig) balance(entity string) int64 {
	r.t.Helper()
	v, err := r.s.Read(r.t.Context(), entity, true)
	if err != nil {
		r.t.Fatalf("read %s: %v", entity, err)
	}
	return r.balanceOf(v)
}

func (r *rig) balanceOf(v shard.View) int64 {
	r.t.Helper()
	var m map[string]any
	if err := json.Unmarshal(v.State, &m); err != nil {
		r.t.Fatal(err)
	}
	for _, unit := range []string{"balance", "cents"} {
		if n, ok := m[unit].(float64); ok {
			return int64(n)
		}
	}
	r.t.Fatalf("no balance in %s", v.State)
	return 0
}

func wantReason(t *testing.T, err error, reason problem.Reason) *problem.Problem {
	t.Helper()
	var p *problem.Problem
	if !errors.As(err, &p) || p.Reason != reason {
		t.Fatalf("got %v, want %s", err, reason)
	}
	return p
}

func wantNotOwner(t *testing.T, err error) {
	t.Helper()
	if !errors.Is(err, shard.ErrNotOwner) {
		t.Fatalf("got %v, want ErrNotOwner", err)
	}
	wantReason(t, err, problem.NotAttempted)
}

func wantNone(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("got %v, want success", err)
	}
}

// bubble runs a test in virtual time.
func bubble(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, f)
}
