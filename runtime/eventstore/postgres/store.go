package postgres

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"

	server "github.com/leftfold/leftfold/api/postgres"
	"github.com/leftfold/leftfold/runtime/eventstore"
)

var _ eventstore.Store = (*Store)(nil)

// Store is an event store in one schema of a PostgreSQL database. Its methods
// may be called from many goroutines at once.
type Store struct {
	options Options
	log     *slog.Logger
	config  *pgxpool.Config

	control    *pgxpool.Pool
	query      *pgxpool.Pool
	projection *pgxpool.Pool
	appends    *appender
	share      *share
	migrated   atomic.Bool
	// claims bounds the claims that may wait in the server, so that one control
	// connection is always left.
	claims chan struct{}

	projectionDB *sql.DB
	ages         ageSamples

	closing sync.Once
	closed  error
}

// Settings of the pools. Everything an owner waits for gives up waiting for
// locks at some time, and nothing sits in an open transaction for long.
const (
	// appendLockTimeout ends an append that waits for a shard's row that somebody
	// holds, with a definite answer. Above what a claim needs to free the row.
	appendLockTimeout = 10 * time.Second
	// projectionIdle ends a projection transaction whose process is gone.
	projectionIdle = 30 * time.Second
	projectionLock = 10 * time.Second
)

// Open connects, checks the server, brings the schema up to date and returns
// the store. The error wraps eventstore.ErrUnsafe when the server cannot keep
// the store's promises; its text names the setting and the fix. No error holds
// the password.
func Open(ctx context.Context, o Options) (*Store, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	config, err := parseURL(o)
	if err != nil {
		return nil, err
	}
	s := &Store{options: o, log: o.Logger, config: config, claims: make(chan struct{}, o.ControlConnections-1),
		share: newShare()}
	if err := s.open(ctx); err != nil {
		return nil, connectError(config, err)
	}
	return s, nil
}

func (s *Store) open(ctx context.Context) (err error) {
	defer func() {
		if err != nil {
			_ = s.Close() // err says what went wrong first
		}
	}()
	control := s.pool(s.options.ControlConnections, neverCancel, map[string]string{
		"lock_timeout": milliseconds(s.options.ClaimTimeout),
	})
	control.ready = func(ctx context.Context, conn *pgx.Conn) error {
		if !s.migrated.Load() {
			return nil // there are no tables yet
		}
		return ofControl.run(ctx, conn)
	}
	control.kept, control.part.least = control.size, 2 // one is left when a claim waits
	if s.control, err = control.open(ctx, s.config); err != nil {
		return err
	}
	if err := s.inspect(ctx); err != nil {
		return err
	}
	if err := s.migrate(ctx); err != nil {
		return err
	}
	s.migrated.Store(true)
	for _, conn := range s.control.AcquireAllIdle(ctx) {
		if err := ofControl.run(ctx, conn.Conn()); err != nil {
			s.log.DebugContext(ctx, "a connection was lost when it was new", "error", err)
		}
		conn.Release()
	}
	query := s.pool(s.options.QueryConnections, mayCancel, nil)
	query.kept, query.ready = query.size, ofQuery.run
	if s.query, err = query.open(ctx, s.config); err != nil {
		return err
	}
	if s.projection, err = s.pool(s.options.ProjectionConnections, mayCancel, map[string]string{
		"idle_in_transaction_session_timeout": milliseconds(projectionIdle),
		"lock_timeout":                        milliseconds(projectionLock),
	}).open(ctx, s.config); err != nil {
		return err
	}
	s.projectionDB = stdlib.OpenDBFromPool(s.projection)
	s.appends, err = s.openAppender(ctx)
	return err
}

// pool describes a pool whose connections see this store's schema.
func (s *Store) pool(size int, cancel cancelPolicy, settings map[string]string) poolSpec {
	all := map[string]string{"search_path": s.quotedSchema()}
	for k, v := range settings {
		all[k] = v
	}
	return poolSpec{size: size, part: s.share.join(1), cancel: cancel, settings: all}
}

// quotedSchema is the schema as an SQL identifier.
func (s *Store) quotedSchema() string { return pgx.Identifier{s.options.Schema}.Sanitize() }

// Schema is the name of the schema that holds the store's tables.
func (s *Store) Schema() string { return s.options.Schema }

// ProjectionDB is a handle of its own pool (Options.ProjectionConnections), for
// projections: the search path is the store's schema, the isolation READ
// COMMITTED; a transaction that does nothing for 30 s is ended by the server,
// and a wait for a lock fails after 10 s. The store closes it.
func (s *Store) ProjectionDB() *sql.DB { return s.projectionDB }

// AppendConcurrency is Options.AppendConnections.
func (s *Store) AppendConcurrency() int { return s.options.AppendConnections }

// Connections is how many connections to the server this store uses at most.
// Multiplied by the pods that run at once, a surge of an update included, it
// must stay below ServerConnections.
func (s *Store) Connections() int {
	o := s.options
	return o.AppendConnections + o.AbandonedConnections + o.ControlConnections + o.QueryConnections + o.ProjectionConnections
}

// ServerConnections is how many connections the server allows to all ordinary
// roles together.
func (s *Store) ServerConnections(ctx context.Context) (int, error) {
	return server.ServerConnections(ctx, s.control)
}

// Close waits for calls in flight and closes every connection. Statements that
// were abandoned lose their connection; the server finishes them by itself.
func (s *Store) Close() error {
	s.closing.Do(func() {
		s.share.close()
		if s.appends != nil {
			s.appends.close()
		}
		if s.projectionDB != nil {
			s.closed = s.projectionDB.Close()
		}
		for _, pool := range []*pgxpool.Pool{s.projection, s.query, s.control} {
			if pool != nil {
				pool.Close()
			}
		}
	})
	return s.closed
}

func milliseconds(d time.Duration) string { return fmt.Sprintf("%dms", d.Milliseconds()) }
