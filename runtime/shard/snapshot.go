package shard

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/leftfold/leftfold/runtime/eventstore"
)

// An entity gets at most one snapshot in this time, however fast it changes.
const snapshotPause = time.Second

// One SaveSnapshots takes so many.
const snapshotGroup = 64

// snapshotJob is an entity's committed state on its way to the store. The state
// is immutable, and encoded off the shard's goroutine.
type snapshotJob struct {
	aggregate eventstore.AggregateID
	name      string // the aggregate's
	entity    string
	def       *Definition
	at        fold
	seq       int64
	hash      eventstore.Hash
	window    []byte
	bytes     int64
	done      func() // may be nil
}

// What a key that is remembered for its age takes in an encoded window.
const snapshotKeyBytes = 128

// snapshotIfDue asks for a snapshot of what was just committed. It holds all keys
// that are remembered; those of a busy entity can be many, and are written again
// only when about as many new ones have come.
func (s *Shard) snapshotIfDue(e *entity) {
	every := int64(s.cur.SnapshotEvery)
	if every <= 0 || e.committed.version-e.snapshot < max(every, int64(len(e.window.older))) || s.clock.Sub(e.snapshotAt) < snapshotPause {
		return
	}
	s.snapshot(e, nil)
}

// snapshot queues one; a full queue drops it, since the next commit asks again.
func (s *Shard) snapshot(e *entity, done func()) bool {
	bytes := int64(e.size + snapshotKeyBytes*len(e.window.older))
	if !s.host.snapshots.reserve(s.aggregate, bytes) {
		return false
	}
	at := e.committed
	if removed(snapshotGuard) {
		at.state = e.spec.state
	}
	ok := s.host.snapshots.submit(snapshotJob{
		aggregate: s.id.Aggregate, name: s.aggregate, entity: e.id, def: s.cur, at: at,
		seq: e.seq, hash: e.hash, window: e.window.encode(), bytes: bytes, done: done,
	})
	if ok {
		e.snapshot, e.snapshotAt = e.committed.version, s.clock
	}
	return ok
}

// snapshotHot queues the entities that were used last and have changed since
// their last snapshot, and closes the returned channel when they are written.
func (s *Shard) snapshotHot() <-chan struct{} {
	var pending sync.WaitGroup
	left := s.limits().HotEntities
	for e := s.uses.newest; e != nil && left > 0; e = e.older {
		if e.phase != ready || e.committed.version == e.snapshot || s.cur.SnapshotEvery < 0 {
			continue
		}
		pending.Add(1)
		if !s.snapshot(e, pending.Done) {
			pending.Done()
			break
		}
		left--
	}
	written := make(chan struct{})
	s.aside(func() {
		pending.Wait()
		close(written)
	})
	return written
}

// snapshotWriter writes snapshots off the commit path, one call at a time.
type snapshotWriter struct {
	store   eventstore.Keeper
	timeout time.Duration
	log     *slog.Logger
	told    func(aggregate string, delta int64) // may be nil
	most    int64
	bytes   atomic.Int64 // of the jobs that are not written yet
	jobs    chan snapshotJob
	work    sync.WaitGroup
}

func startSnapshotWriter(ctx context.Context, cfg *Config) *snapshotWriter {
	w := &snapshotWriter{
		store: cfg.Store, timeout: cfg.Limits.CallTimeout, log: cfg.Logger,
		told: cfg.Observer.SnapshotBytes, most: cfg.Limits.SnapshotBytes,
		jobs: make(chan snapshotJob, cfg.Limits.Snapshots),
	}
	w.work.Go(func() { w.run(ctx) })
	return w
}

// reserve books the bytes of a job, unless there are too many.
func (w *snapshotWriter) reserve(aggregate string, bytes int64) bool {
	if total := w.bytes.Add(bytes); total > w.most && total > bytes {
		w.bytes.Add(-bytes)
		return false
	}
	if w.told != nil {
		w.told(aggregate, bytes)
	}
	return true
}

// free gives the bytes of a job back.
func (w *snapshotWriter) free(j *snapshotJob) {
	w.bytes.Add(-j.bytes)
	if w.told != nil {
		w.told(j.name, -j.bytes)
	}
}

// submit queues a job whose bytes were reserved.
func (w *snapshotWriter) submit(j snapshotJob) bool {
	select {
	case w.jobs <- j:
		return true
	default:
		w.free(&j)
		return false
	}
}

func (w *snapshotWriter) run(ctx context.Context) {
	for j := range w.jobs {
		group := []snapshotJob{j}
		for len(group) < snapshotGroup && len(w.jobs) > 0 {
			group = append(group, <-w.jobs)
		}
		w.write(ctx, group)
		for i := range group {
			w.free(&group[i])
			if done := group[i].done; done != nil {
				done()
			}
		}
	}
}

func (w *snapshotWriter) write(ctx context.Context, group []snapshotJob) {
	snapshots := make([]eventstore.Snapshot, 0, len(group))
	for _, j := range group {
		state, err := encodeState(j)
		if err != nil {
			w.log.Error("cannot encode an entity's state; no snapshot of it", slog.Any("error", err))
			continue
		}
		snapshots = append(snapshots, eventstore.Snapshot{
			Aggregate: j.aggregate, Entity: j.entity, Version: j.at.version, Seq: j.seq, Hash: j.hash,
			Time: j.at.time, State: state, Window: j.window, Behavior: j.def.Behavior.Fingerprint(),
		})
	}
	if len(snapshots) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, w.timeout)
	defer cancel()
	if err := w.store.SaveSnapshots(ctx, snapshots); err != nil {
		w.log.Warn("cannot write snapshots; loading will take longer", slog.Int("snapshots", len(snapshots)), slog.Any("error", err))
	}
}

func encodeState(j snapshotJob) (state []byte, err error) {
	defer func() {
		if cause := recover(); cause != nil {
			err = fmt.Errorf("panic: %v\n%s", cause, debug.Stack())
		}
	}()
	return j.def.Behavior.EncodeState(j.at.state)
}

// close writes what was queued. Nothing may be submitted any more.
func (w *snapshotWriter) close() {
	close(w.jobs)
	w.work.Wait()
}
