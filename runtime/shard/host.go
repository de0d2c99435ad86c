package shard

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/leftfold/leftfold/runtime/eventstore"
)

// Host holds the shards of one process on one store, and what they share: the
// committer, the lease checker, the snapshot writer, the pruner and the memory
// budget. Its methods are safe for concurrent use.
type Host struct {
	cfg Config

	ctx    context.Context // of all store calls; ends when Close gives up
	cancel context.CancelFunc

	committer *committer
	checker   *checker
	snapshots *snapshotWriter
	pruner    *pruner
	loads     *loadPool
	memory    atomic.Int64
	held      atomic.Int64 // bytes of all mailboxes
	pending   atomic.Int64 // requests in all mailboxes
	keys      atomic.Int64 // bytes of all keys that are remembered for their age
	feeds     atomic.Int64 // bytes of all feeds
	requests  requestPool

	ticks   sync.WaitGroup
	stop    chan struct{} // ends the ticks
	running sync.WaitGroup
	closed  chan struct{}

	// serving is the set of live shards, replaced as a whole.
	serving atomic.Pointer[[]*Shard]

	mu      sync.Mutex
	closing bool
	opening map[eventstore.ShardID]chan struct{}
	shards  map[eventstore.ShardID]*Shard
	// acked is the last event of each shard that this process has acknowledged
	// or seen at a claim; a store that has less went back.
	acked sync.Map // eventstore.ShardID -> link
}

type link struct {
	seq  int64
	hash eventstore.Hash
}

// NewHost starts the goroutines that shards share. Close ends them.
func NewHost(cfg Config) *Host {
	cfg = cfg.withDefaults()
	h := &Host{
		cfg:     cfg,
		stop:    make(chan struct{}),
		closed:  make(chan struct{}),
		opening: make(map[eventstore.ShardID]chan struct{}),
		shards:  make(map[eventstore.ShardID]*Shard),
	}
	h.ctx, h.cancel = context.WithCancel(context.Background())
	h.serving.Store(&[]*Shard{})
	h.committer = startCommitter(h.ctx, cfg.Store, cfg.Store.AppendConcurrency(), cfg.Limits.AppendTimeout, &h.pending)
	h.checker = startChecker(h.ctx, cfg.Store, cfg.Limits.CallTimeout)
	h.snapshots = startSnapshotWriter(h.ctx, &cfg)
	h.pruner = &pruner{store: cfg.Store, timeout: cfg.Limits.CallTimeout, log: cfg.Logger}
	h.loads = startLoadPool(cfg.Limits.Loads)
	h.ticks.Go(h.tick)
	return h
}

// Open claims a shard and serves it. A shard that this host serves already is
// returned as it is; one that is about to end is opened anew when it has.
// Errors: *ClaimRefusedError when the shard's epoch is not the expected one, or
// another process claimed it at the same time; ErrStoreWentBack, ErrClosed, those
// of eventstore.Log.Claim.
func (h *Host) Open(ctx context.Context, spec Spec) (*Shard, error) {
	s, opened, err := h.reserve(ctx, spec.ID)
	if s != nil || err != nil {
		return s, err
	}
	s, err = h.take(ctx, spec)
	h.mu.Lock()
	delete(h.opening, spec.ID)
	if err == nil {
		h.shards[spec.ID] = s
		h.publish()
		h.cfg.Observer.shardsOwned(spec.Aggregate, 1)
		go s.run()
	}
	h.mu.Unlock()
	close(opened)
	if err != nil {
		h.running.Done()
		return nil, fmt.Errorf("open shard %s: %w", spec.ID, err)
	}
	return s, nil
}

// reserve gives the shard that is open, or the right to open it alone: opened is
// to be closed then.
func (h *Host) reserve(ctx context.Context, id eventstore.ShardID) (s *Shard, opened chan struct{}, err error) {
	for {
		h.mu.Lock()
		var until <-chan struct{}
		switch s, other := h.shards[id], h.opening[id]; {
		case h.closing:
			h.mu.Unlock()
			return nil, nil, ErrClosed
		case s != nil && !s.leaving.Load():
			h.mu.Unlock()
			return s, nil, nil
		case s != nil:
			until = s.done
		case other != nil:
			until = other
		default:
			opened = make(chan struct{})
			h.opening[id] = opened
			h.running.Add(1)
			h.mu.Unlock()
			return nil, opened, nil
		}
		h.mu.Unlock()
		select {
		case <-until:
		case <-ctx.Done():
			return nil, nil, ctx.Err()
		}
	}
}

// take claims the shard and makes it, ready to run.
func (h *Host) take(ctx context.Context, spec Spec) (*Shard, error) {
	expected := spec.Expected
	if expected == nil {
		row, err := h.readRow(ctx, spec.ID)
		if err != nil {
			return nil, err
		}
		expected = &row.Epoch
	}
	c := h.claim(ctx, spec.ID, *expected, openClaims)
	switch {
	case c.err != nil:
		return nil, c.err
	case c.lost:
		return nil, &ClaimRefusedError{Row: c.row}
	}
	if known, ok := h.known(spec.ID); ok {
		err := h.compare(ctx, c.row, known)
		if errors.Is(err, ErrStoreWentBack) {
			h.cfg.Logger.Error("THE STORE WENT BACK: it has lost what it acknowledged; the shard stays closed",
				slog.String("shard", spec.ID.String()), slog.Any("error", err))
		}
		if err != nil {
			return nil, err
		}
	}
	return h.newShard(spec, c.row), nil
}

// compare tells whether the store still has what was acknowledged, which is
// ErrStoreWentBack if not.
func (h *Host) compare(ctx context.Context, row eventstore.ShardState, known link) error {
	hash := row.HeadHash
	if row.Head > known.seq && known.seq > 0 {
		ctx, cancel := context.WithTimeout(ctx, h.cfg.Limits.CallTimeout)
		defer cancel()
		events, err := h.cfg.Store.ReadShard(ctx, row.Shard, known.seq-1, 1)
		if err != nil {
			return fmt.Errorf("compare with what was acknowledged: %w", err)
		}
		if len(events) == 1 {
			hash = events[0].Hash
		}
	}
	if row.Head < known.seq || known.seq > 0 && hash != known.hash {
		return wentBack(known, row)
	}
	return nil
}

func (h *Host) newShard(spec Spec, row eventstore.ShardState) *Shard {
	l := &h.cfg.Limits
	s := &Shard{
		host: h, id: spec.ID, aggregate: spec.Aggregate, slots: row.Slots,
		log:  h.cfg.Logger.With(slog.String("aggregate", spec.Aggregate), slog.Int("shard", int(spec.ID.Number))),
		done: make(chan struct{}), caughtUp: make(chan struct{}),
		box: mailbox{
			maxCount: int64(l.MailboxCommands), maxBytes: l.MailboxBytes, wake: make(chan struct{}, 1),
			maxHeld: l.HeldBytes, held: &h.held, pending: &h.pending,
		},
		feed: feed{maxEvents: l.FeedEvents, maxBytes: l.FeedBytes, head: row.Head, host: h, aggregate: spec.Aggregate},
	}
	s.ctx, s.cancel = context.WithCancel(h.ctx)
	s.cur = spec.Definition.withDefaults()
	s.def.Store(s.cur)
	s.holdUntil = row.Generation // one that was given an older definition waits for this one
	s.renew(row)
	s.head, s.headHash, s.headTime = row.Head, row.HeadHash, row.HeadTime
	s.entities = make(map[string]*entity)
	s.loads = make(map[*entity]struct{})
	s.gather = newBatch(1, nil)
	s.showState()
	h.acknowledged(s.id, row.Head, row.HeadHash)
	return s
}

// finish is the end of a shard's goroutine.
func (s *Shard) finish() {
	defer func() { s.stopped(s.why) }()
	defer s.survive("cleaning up")
	s.cancel()
	s.arrived, s.calls = s.box.take(s.arrived[:0], s.calls[:0])
	for _, r := range s.arrived {
		s.answer(r, reply{err: notOwner("it has stopped")})
	}
	s.work.Wait()
	if s.lost != nil {
		s.why = s.lost
	}
	for _, e := range s.entities {
		s.remove(e)
	}
	s.lastUse.Store(0)
	s.feed.drop()
	s.observe()
}

// stopped makes the end of a shard known, once.
func (s *Shard) stopped(err error) {
	s.stop.Do(func() {
		h := s.host
		s.err = err
		h.mu.Lock()
		delete(h.shards, s.id)
		h.publish()
		h.mu.Unlock()
		h.cfg.Observer.shardsOwned(s.aggregate, -1)
		s.setState(Stopped)
		close(s.done)
		if err != nil && !errors.Is(err, ErrClosed) && h.cfg.OnLost != nil {
			h.cfg.OnLost(s, err)
		}
		h.running.Done()
	})
}

func (h *Host) publish() {
	all := slices.Collect(maps.Values(h.shards))
	h.serving.Store(&all)
}

func (h *Host) acknowledged(id eventstore.ShardID, seq int64, hash eventstore.Hash) {
	h.acked.Store(id, link{seq, hash})
}

// known is what this process knows of a shard that it has, or had.
func (h *Host) known(id eventstore.ShardID) (link, bool) {
	v, ok := h.acked.Load(id)
	if !ok {
		return link{}, false
	}
	return v.(link), true
}

// Shards are those that the host serves, in no order.
func (h *Host) Shards() []*Shard { return slices.Clone(*h.serving.Load()) }

// Shard is the one that the host serves under this id, or nil.
func (h *Host) Shard(id eventstore.ShardID) *Shard {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.shards[id]
}

// tick rechecks all leases and lets every shard look after its memory.
func (h *Host) tick() {
	ticker := time.NewTicker(h.cfg.Limits.RecheckEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-h.stop:
			return
		}
		shards := h.Shards()
		h.recheck(shards)
		for _, s := range shards {
			s.post(s.tick)
			s.measure(time.Now())
			h.giveUpIfStuck(s)
		}
		h.pruner.prune(h.ctx)
	}
}

// recheck stops the shards whose lease does not hold any more, or whose log the store
// has lost, also idle ones.
func (h *Host) recheck(shards []*Shard) {
	if len(shards) == 0 {
		return
	}
	tenures := make([]eventstore.Tenure, len(shards))
	for i, s := range shards {
		tenures[i].Lease = s.Lease()
		if known, ok := h.known(s.id); ok {
			tenures[i].Head, tenures[i].HeadHash = known.seq, known.hash
		}
	}
	holds, err := h.checker.ask(h.ctx, tenures)
	if err != nil {
		h.cfg.Logger.Warn("cannot recheck the leases; going on, since every append proves its own", slog.Any("error", err))
		return
	}
	for i, s := range shards {
		if !holds[i] {
			s.post(func() { s.revoke(tenures[i].Lease) })
		}
	}
}

// Close drains all shards and ends the host's goroutines. When ctx ends first,
// shards stop as they are; see Shard.Drain. It is idempotent.
func (h *Host) Close(ctx context.Context) error {
	h.mu.Lock()
	first := !h.closing
	h.closing = true
	h.mu.Unlock()
	if !first {
		select {
		case <-h.closed:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	defer close(h.closed)
	abandon := context.AfterFunc(ctx, h.cancel)
	defer abandon()

	close(h.stop)
	h.ticks.Wait()
	var failed []error
	var mu sync.Mutex
	var drains sync.WaitGroup
	for _, s := range h.afterOpening() {
		drains.Go(func() {
			if err := s.Drain(ctx); err != nil && !errors.Is(err, ErrNotOwner) {
				mu.Lock()
				failed = append(failed, err)
				mu.Unlock()
			}
		})
	}
	drains.Wait()
	h.running.Wait()
	h.loads.close()
	h.checker.close()
	h.committer.close()
	h.snapshots.close()
	h.pruner.prune(h.ctx)
	h.cancel()
	return errors.Join(failed...)
}

// afterOpening waits for the shards that are being opened, and gives all.
func (h *Host) afterOpening() []*Shard {
	h.mu.Lock()
	opening := slices.Collect(maps.Values(h.opening))
	h.mu.Unlock()
	for _, o := range opening {
		<-o
	}
	return h.Shards()
}

func (o *Observer) entitiesLoaded(aggregate string, delta int) {
	if o.EntitiesLoaded != nil {
		o.EntitiesLoaded(aggregate, delta)
	}
}

func (o *Observer) shardsOwned(aggregate string, delta int) {
	if o.ShardsOwned != nil {
		o.ShardsOwned(aggregate, delta)
	}
}
