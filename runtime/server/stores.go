package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"time"

	"github.com/leftfold/leftfold/runtime/eventstore"
	"github.com/leftfold/leftfold/runtime/eventstore/postgres"
	"github.com/leftfold/leftfold/runtime/eventstore/sqlite"
	"github.com/leftfold/leftfold/runtime/projection"
	"github.com/leftfold/leftfold/runtime/routing"
	"github.com/leftfold/leftfold/runtime/shard"
)

// opened is a store with the database that its projections use.
type opened struct {
	eventstore.Store
	db     projection.DB
	shared bool
	// age tells for how long the oldest transaction of the database has run; nil
	// where there can be none but ours.
	age func(context.Context) (time.Duration, error)
}

// open opens a store, migrated, and the host of its shards. Without --store each
// EventStore is an embedded one, in a subfolder with its name.
func (s *Server) open(ctx context.Context, name string) (*workload, error) {
	store, err := s.openStore(ctx, name)
	if err != nil {
		return nil, err
	}
	log := s.log
	if name != "" {
		log = log.With("store", name)
	}
	w := s.newWorkload(name, store, membership{
		address: s.listener.Addr().String(), every: heartbeatEvery, timeout: heartbeatTimeout,
	}, log)
	w.keeper = greedy{w}
	if err := w.join(ctx, store); err != nil {
		return nil, err
	}
	if w.shared {
		w.work.Go(func() { s.follow(w) })
	}
	return w, nil
}

// newWorkload makes what runs on a store, with nothing running yet but the host.
func (s *Server) newWorkload(name string, store opened, member membership, log *slog.Logger) *workload {
	w := &workload{
		name: name, store: store.Store, shared: store.shared, log: log, self: s.self, metrics: s.metrics,
		router: s.router, member: member, aggregates: map[string]*aggregate{}, changed: make(chan struct{}),
	}
	w.tend, w.cancel = context.WithCancel(context.Background())
	w.host = shard.NewHost(shard.Config{
		Store: store.Store, Incarnation: s.self, Address: member.address,
		Logger: log, Observer: s.metrics.Shards(), Slot: routing.Slot, Limits: s.cfg.Limits,
		OnRenewed: func(s *shard.Shard, epoch int64) { w.keeper.renewed(s, epoch) },
	})
	w.projections = newProjections(store, log, s.metrics)
	return w
}

// join makes the process a member of a store that others may share. It is one
// before the first claim: who looks at an owner that is none takes it for dead.
func (w *workload) join(ctx context.Context, store opened) error {
	if !w.shared {
		return nil
	}
	if err := w.heartbeat(ctx); err != nil {
		return errors.Join(fmt.Errorf("become a member of the store: %w", err), w.close(ctx))
	}
	w.work.Go(w.heartbeats)
	if store.age != nil {
		w.work.Go(func() { w.watchAge(store.age, w.metrics) })
	}
	return nil
}

func (s *Server) openStore(ctx context.Context, name string) (opened, error) {
	if s.cfg.Store != "" {
		store, err := postgres.Open(ctx, postgres.Options{URL: s.cfg.Store, Schema: s.cfg.Schema, Logger: s.log})
		if err != nil {
			return opened{}, fmt.Errorf("open the PostgreSQL store: %w", err)
		}
		db := store.ProjectionDB()
		return opened{Store: store, shared: true, age: store.OldestTransaction, db: projection.DB{Writer: db, Reader: db, Dialect: projection.Postgres{}}}, nil
	}
	folder := filepath.Join(s.cfg.Data, name)
	store, err := sqlite.Open(ctx, sqlite.Options{Dir: folder, Logger: s.log})
	if err != nil {
		return opened{}, fmt.Errorf("open the embedded store in %s: %w", folder, err)
	}
	writer, reader := store.ProjectionDB()
	return opened{Store: store, db: projection.DB{Writer: writer, Reader: reader, Dialect: projection.SQLite{}}}, nil
}

// close stops the workload and its store, in order.
func (w *workload) close(ctx context.Context) error {
	w.projections.close()
	err := w.stop(ctx)
	return errors.Join(err, w.store.Close())
}
