package simulation

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/leftfold/leftfold/runtime/eventstore"
)

// link is the way between one host and the store. Every call takes time both
// ways; a request or an answer can get lost, come late, or be refused at once.
// What it does to a call is drawn from the seed, the host, the method, what the
// call is about, and how many of that kind there were: not from the order in
// which goroutines happen to run.
type link struct {
	eventstore.Store
	w    *world
	name string

	mu     sync.Mutex
	counts map[string]uint64
	// silent: what enters until then is lost (a partition). frozen: everything
	// waits until then (a paused process). dead: no answer gets through any more.
	silent, frozen time.Time
	dead           bool
}

// rates are the chances of one call.
type rates struct {
	refused, lostRequest, lostAnswer, late float64
	slow                                   float64 // some hundred milliseconds instead of few
}

func newLink(w *world, name string) *link {
	return &link{Store: w.store, w: w, name: name, counts: make(map[string]uint64)}
}

// draw gives the source of chance of the next call of a kind.
func (l *link) draw(kind string) *rand.Rand {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.counts[kind]++
	return rand.New(rand.NewPCG(l.w.seed^hashed(l.name), l.counts[kind]^hashed(kind)))
}

// hashed is FNV-1a: the same in every process.
func hashed(s string) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(s) {
		h = (h ^ uint64(s[i])) * 1099511628211
	}
	return h
}

// latency is the time of one way. No two are alike to the nanosecond, so that no
// two things happen at once, and a run does not depend on the scheduler of Go.
func latency(r *rand.Rand, slow float64) time.Duration {
	d := 100*time.Microsecond + time.Duration(r.Int64N(int64(3*time.Millisecond)))
	if r.Float64() < slow {
		d += time.Duration(r.Int64N(int64(400 * time.Millisecond)))
	}
	return d
}

// pass sleeps, and then for as long as the host is frozen.
func (l *link) pass(r *rand.Rand, d time.Duration) {
	time.Sleep(d)
	for {
		l.mu.Lock()
		left := time.Until(l.frozen)
		l.mu.Unlock()
		if left <= 0 {
			return
		}
		time.Sleep(left + time.Duration(r.Int64N(int64(time.Millisecond))))
	}
}

func (l *link) set(f func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f()
}

// cut reports whether nothing passes now.
func (l *link) cut() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.dead || time.Now().Before(l.silent)
}

type answer[T any] struct {
	value T
	err   error
}

// through makes a call. writes tells that its loss leaves the outcome unknown.
func through[T any](ctx context.Context, l *link, kind string, writes bool, work func(context.Context) (T, error)) (T, error) {
	r := l.draw(kind)
	rates := l.w.rates()
	chance := r.Float64()
	there, back := latency(r, rates.slow), latency(r, rates.slow)
	late := time.Duration(r.Int64N(int64(3 * time.Second)))
	fate := func(p float64) bool { hit := chance >= 0 && chance < p; chance -= p; return hit }
	refused, lostRequest, lostAnswer := fate(rates.refused), fate(rates.lostRequest), fate(rates.lostAnswer)
	if fate(rates.late) {
		there += late
	}
	primary := l.w.primary.Load()
	out := make(chan answer[T], 1)
	l.w.calls.Go(func() {
		var a answer[T]
		l.pass(r, there)
		switch {
		case refused:
			a.err = fmt.Errorf("%w: the connection was refused", eventstore.ErrNotAttempted)
		case lostRequest || l.cut() || l.w.primary.Load() != primary:
			return // the caller waits until its time is up
		default:
			a.value, a.err = work(context.WithoutCancel(ctx))
		}
		l.pass(r, back)
		if !lostAnswer && !l.cut() {
			out <- a
		}
	})
	select {
	case a := <-out:
		return a.value, a.err
	case <-ctx.Done():
	}
	var none T
	if !writes {
		return none, fmt.Errorf("%w: %s: %w", eventstore.ErrNotAttempted, kind, ctx.Err())
	}
	return none, fmt.Errorf("%w: %s: %w", eventstore.ErrOutcomeUnknown, kind, ctx.Err())
}

func only(err error) (struct{}, error) { return struct{}{}, err }

func (l *link) Claim(ctx context.Context, r eventstore.ClaimRequest) (eventstore.ShardState, error) {
	return through(ctx, l, "Claim "+r.Shard.String(), true, func(ctx context.Context) (eventstore.ShardState, error) { return l.Store.Claim(ctx, r) })
}

func (l *link) Release(ctx context.Context, t eventstore.Tenure) error {
	_, err := through(ctx, l, "Release "+t.Shard.String(), true, func(ctx context.Context) (struct{}, error) { return only(l.Store.Release(ctx, t)) })
	return err
}

// Append implements eventstore.Log. A batch that breaks the owner's side of the
// contract makes the model panic: that is a finding, and the end of the batch.
func (l *link) Append(ctx context.Context, batches []eventstore.Batch) []eventstore.AppendResult {
	all := func(status eventstore.AppendStatus, err error) []eventstore.AppendResult {
		out := make([]eventstore.AppendResult, len(batches))
		for i := range out {
			out[i] = eventstore.AppendResult{Status: status, Err: err}
		}
		return out
	}
	out, err := through(ctx, l, "Append "+batches[0].Lease.Shard.String(), true, func(ctx context.Context) (out []eventstore.AppendResult, err error) {
		defer func() {
			if cause := recover(); cause != nil {
				l.w.fail("%s sent a batch that breaks the contract: %v", l.name, cause)
				out = all(eventstore.Refused, nil)
			}
		}()
		return l.Store.Append(ctx, batches), nil
	})
	switch {
	case err == nil:
		return out
	case isNotAttempted(err):
		return all(eventstore.NotAttempted, err)
	}
	return all(eventstore.Unknown, err)
}

func (l *link) Check(ctx context.Context, tenures []eventstore.Tenure) ([]bool, error) {
	return through(ctx, l, "Check "+tenures[0].Shard.String(), false, func(ctx context.Context) ([]bool, error) { return l.Store.Check(ctx, tenures) })
}

func (l *link) Shard(ctx context.Context, id eventstore.ShardID) (eventstore.ShardState, error) {
	return through(ctx, l, "Shard "+id.String(), false, func(ctx context.Context) (eventstore.ShardState, error) { return l.Store.Shard(ctx, id) })
}

func (l *link) ReadShard(ctx context.Context, id eventstore.ShardID, after int64, limit int) ([]eventstore.Event, error) {
	return through(ctx, l, "ReadShard "+id.String(), false, func(ctx context.Context) ([]eventstore.Event, error) { return l.Store.ReadShard(ctx, id, after, limit) })
}

func (l *link) ReadEntity(ctx context.Context, a eventstore.AggregateID, entity string, after int64, limit int) ([]eventstore.Event, error) {
	return through(ctx, l, "ReadEntity "+entity, false, func(ctx context.Context) ([]eventstore.Event, error) {
		return l.Store.ReadEntity(ctx, a, entity, after, limit)
	})
}

func (l *link) LoadEntity(ctx context.Context, a eventstore.AggregateID, entity string, limit int) (eventstore.Loading, error) {
	return through(ctx, l, "LoadEntity "+entity, false, func(ctx context.Context) (eventstore.Loading, error) {
		return l.Store.LoadEntity(ctx, a, entity, limit)
	})
}

func (l *link) SaveSnapshots(ctx context.Context, s []eventstore.Snapshot) error {
	_, err := through(ctx, l, "SaveSnapshots "+s[0].Entity, true, func(ctx context.Context) (struct{}, error) { return only(l.Store.SaveSnapshots(ctx, s)) })
	return err
}

func (l *link) DeleteOutcomes(ctx context.Context, a eventstore.AggregateID, o []eventstore.Outcome) error {
	_, err := through(ctx, l, "DeleteOutcomes "+o[0].Entity, true, func(ctx context.Context) (struct{}, error) { return only(l.Store.DeleteOutcomes(ctx, a, o)) })
	return err
}

func (l *link) Revisions(ctx context.Context) ([]eventstore.Revision, error) {
	return through(ctx, l, "Revisions", false, l.Store.Revisions)
}

// Close leaves the store open for the others.
func (l *link) Close() error { return nil }
