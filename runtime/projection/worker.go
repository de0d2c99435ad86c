package projection

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/leftfold/leftfold/runtime/eventstore"
)

// near is how many events a version being built may be behind the old one while
// that already waits for it: a few transactions' worth, well under a second.
const near = 5000

// worker moves one feed. The loop, one step at a time:
//
//	load    read offset and quarantine (at first, and after any error)
//	retry   if asked: read parked entities again, from their first failed event
//	fetch   a page of events after the offset: from memory, else from the store
//	wait    when there are none, for a commit or a wake
//	linger  when the page is not full, a flush was a moment ago and nobody waits
//	flush   one transaction
//
// One goroutine runs it, until stop.
type worker struct {
	feed      feed
	aggregate string
	version   Version
	source    Source
	env       *environment
	log       *slog.Logger
	stop      context.CancelFunc
	progress  // what others see

	events    map[string]bool // wanted types, nil means all
	writer    Writer
	loaded    bool
	entities  map[string]parkedEntity
	lastFlush time.Time
	// single makes transactions of one event each up to this sequence: one among
	// them holds a value that the database refuses, and only so it shows which.
	single int64
	// ask is how many events to read from the store at once where they are large; 0:
	// as many as a transaction may have.
	ask int
}

// environment is what all workers of a Manager share.
type environment struct {
	Config
	inFlight chan struct{} // bounds transactions
	reading  chan struct{} // bounds pages of the store
	moved    broadcast     // sent after every flush
}

func newEnvironment(c Config) *environment {
	return &environment{
		Config: c, inFlight: make(chan struct{}, c.Concurrency), reading: make(chan struct{}, places(c.Concurrency)),
	}
}

// progress is what others may read and write while the worker runs.
type progress struct {
	offset  atomic.Int64 // committed; -1 before it is known
	head    atomic.Int64
	oldest  atomic.Int64 // µs: when the oldest event that waits was recorded; 0: none waits
	parked  atomic.Int64 // entities
	wanted  atomic.Int64 // highest sequence that somebody waits for
	paused  atomic.Bool
	reload  atomic.Bool
	failure atomic.Pointer[string] // of the last attempt, nil when it went well
	// ahead is the worker of the version being built, which is not to be
	// overtaken; behind is the one of the version that serves.
	ahead  atomic.Pointer[worker]
	behind atomic.Pointer[worker]
	wake   chan struct{} // one slot: look again
}

func (w *worker) poke() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// want makes the worker flush at once up to the sequence, if that is there.
func (w *worker) want(seq int64) {
	if _, head, _ := w.source.Committed(seq, 0); seq > head {
		return
	}
	if ahead := w.ahead.Load(); ahead != nil {
		ahead.want(seq)
	}
	for {
		old := w.wanted.Load()
		if old >= seq {
			return
		}
		if w.wanted.CompareAndSwap(old, seq) {
			w.poke()
			return
		}
	}
}

// atFirst is how long a worker waits before it looks at the store, as long as nobody
// waits for it. A shard that has just come to this process has callers who wait for
// their first answers, and a transaction here, on a connection that may have to be
// made, takes processors and the database from them. Callers of the shards of a pod
// that left waited for up to 81 to 116 ms (of a hundred moves the second longest) when
// the workers began at once, and for 53 to 67 since they rest first.
const atFirst = 250 * time.Millisecond

func (w *worker) run(ctx context.Context) {
	w.pause(ctx, min(atFirst, w.env.FlushInterval))
	backoff := w.env.MinBackoff
	for ctx.Err() == nil {
		err := w.step(ctx)
		switch {
		case err == nil:
			backoff = w.env.MinBackoff
			continue
		case ctx.Err() != nil:
			return
		case errors.Is(err, errGone):
			w.log.Debug("the version is retired: its worker ends")
			return
		}
		w.forget()
		if errors.Is(err, errOvertaken) {
			w.log.Info("another worker moved the offset: reading it again")
		} else {
			text := errorText(err)
			w.failure.Store(&text)
			if behind := w.behind.Load(); behind != nil {
				behind.poke() // it need not wait for this one now
			}
			w.log.Warn("projecting failed: trying again", "error", err, "in", backoff)
		}
		w.pause(ctx, backoff)
		backoff = min(backoff*2, w.env.MaxBackoff)
	}
}

func (w *worker) step(ctx context.Context) error {
	if w.reload.Swap(false) {
		w.forget()
	}
	if !w.loaded {
		if err := w.load(ctx); err != nil {
			return err
		}
	}
	if w.paused.Load() {
		w.await(ctx, nil)
		return nil
	}
	for entity, p := range w.entities {
		if p.retry {
			return w.retryEntity(ctx, entity, p)
		}
	}
	changed := w.source.Changed()
	offset := w.offset.Load()
	p, err := w.fetch(ctx, offset)
	if err != nil {
		return err
	}
	if len(p.events) > 0 {
		if early := w.early(&p); early > 0 {
			p.release()
			w.pause(ctx, early)
			return nil
		}
		defer p.release()
		return w.flush(ctx, offset, p.events)
	}
	p.release()
	w.failure.Store(nil)
	w.await(ctx, changed)
	return nil
}

// load reads the offset and the quarantine from the store.
func (w *worker) load(ctx context.Context) error {
	seq, err := readOffset(ctx, &w.env.DB, w.feed)
	if err != nil {
		return err
	}
	w.entities, err = readFeedParked(ctx, w.env.DB.Writer, w.feed)
	if err != nil {
		return err
	}
	w.offset.Store(seq)
	w.parked.Store(int64(len(w.entities)))
	w.loaded = true
	w.env.moved.send()
	return nil
}

// forget drops all memory that a failed transaction may have made wrong.
func (w *worker) forget() {
	w.writer.Forget()
	w.loaded = false
}

// fetch gives what follows the offset, as much as may be flushed at once.
func (w *worker) fetch(ctx context.Context, offset int64) (page, error) {
	limit := w.env.MaxBatch
	if w.single > offset {
		limit = 1
	}
	events, head, ok := w.source.Committed(offset, limit)
	p := w.kept(events, limit)
	if !ok {
		var err error
		p, err = w.stored(ctx, limit, func(ctx context.Context, limit int) ([]eventstore.Event, error) {
			return w.env.Log.ReadShard(ctx, w.feed.shard, offset, limit)
		})
		if err != nil {
			return page{}, err
		}
	}
	w.head.Store(head)
	if ahead := w.ahead.Load(); ahead != nil && ahead.leads(offset) {
		ceiling := ahead.offset.Load()
		for n := len(p.events); n > 0 && p.events[n-1].Seq > ceiling; n-- {
			p.events, p.full = p.events[:n-1], false
		}
	}
	switch {
	case len(p.events) > 0:
		w.oldest.Store(p.events[0].RecordedAt.UnixMicro())
	case offset >= head:
		w.oldest.Store(0)
	}
	return p, nil
}

// leads reports whether the worker of the version being built is well, and so
// near to the old version's offset that the old one should stay behind it.
func (w *worker) leads(old int64) bool {
	return w.failure.Load() == nil && !w.paused.Load() && w.offset.Load() >= max(0, old-near)
}

// early tells for how long a page waits, so that under load a transaction carries
// many events: until a moment has passed since the last flush. After that there may
// be more to fetch.
func (w *worker) early(p *page) time.Duration {
	if p.full || w.wanted.Load() > w.offset.Load() || w.single > w.offset.Load() {
		return 0
	}
	return w.env.FlushInterval - time.Since(w.lastFlush)
}

// pause waits for the duration, a wake or the end.
func (w *worker) pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-w.wake:
	case <-ctx.Done():
	}
}

// await waits for a commit in the shard (nil: none will do), a wake or the end.
func (w *worker) await(ctx context.Context, changed <-chan struct{}) {
	select {
	case <-changed:
	case <-w.wake:
	case <-ctx.Done():
	}
}

// flush applies the events in one transaction.
func (w *worker) flush(ctx context.Context, offset int64, events []eventstore.Event) error {
	to := events[len(events)-1].Seq
	began := time.Now()
	failures, err := w.apply(ctx, offset, to, w.wantedOf(events))
	if w.refused(err) {
		if len(events) > 1 {
			w.single = to
			w.forget()
			w.log.Warn("one of the events cannot be applied: applying the batch event by event", "error", err)
			return nil
		}
		w.writer.Forget()
		failures, err = w.parkOne(ctx, offset, &events[0], err)
	}
	if err != nil {
		return err
	}
	for _, f := range failures {
		w.entities[f.Entity] = parkedEntity{version: f.Version, seq: f.Seq}
		w.log.Error("an event cannot be applied: its entity is parked until a retry",
			"entity", f.Entity, "version", f.Version, "seq", f.Seq, "error", f.Err)
	}
	w.lastFlush = time.Now()
	if seen := w.env.Observer.Flushed; seen != nil {
		seen(w.version.Name, len(events), w.lastFlush.Sub(began)) // before those who wait go on
	}
	w.parked.Store(int64(len(w.entities)))
	w.offset.Store(to)
	if to >= w.head.Load() {
		w.oldest.Store(0)
	}
	w.failure.Store(nil)
	w.env.moved.send()
	if behind := w.behind.Load(); behind != nil {
		behind.poke()
	}
	return nil
}

// wantedOf leaves out what the projection does not read and what is parked.
func (w *worker) wantedOf(events []eventstore.Event) []eventstore.Event {
	out := make([]eventstore.Event, 0, len(events))
	for i := range events {
		e := &events[i]
		if w.events != nil && !w.events[e.Type] {
			continue
		}
		if _, parked := w.entities[e.Entity]; parked {
			continue
		}
		out = append(out, *e)
	}
	return out
}
