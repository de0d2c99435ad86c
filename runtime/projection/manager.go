package projection

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/leftfold/leftfold/runtime/eventstore"
)

// Log is what projections read of the store.
type Log interface {
	Shards(ctx context.Context, aggregate eventstore.AggregateID) ([]eventstore.ShardState, error)
	ReadShard(ctx context.Context, id eventstore.ShardID, after int64, limit int) ([]eventstore.Event, error)
	ReadEntity(ctx context.Context, aggregate eventstore.AggregateID, entity string, after int64, limit int) ([]eventstore.Event, error)
	Aggregates(ctx context.Context) ([]eventstore.Aggregate, error)
}

// Config is what a Manager needs. Zero numbers mean their defaults.
type Config struct {
	DB      DB
	Log     Log
	Storage Storage
	// Compile makes a stored Definition.Spec a Definition again. Nil, or an
	// error: an older version than the defined one serves on without new events.
	Compile  func(name string, spec []byte) (Definition, error)
	Observer Observer
	Logger   *slog.Logger

	// Concurrency bounds the transactions in flight. Default: 4 on PostgreSQL,
	// where a transaction mostly waits for the network; 1 on SQLite, which has
	// one writer for projections and commands together.
	Concurrency int
	// MaxBatch bounds the events of a transaction. Default: 1000, past which a
	// batch gains little and holds its locks for longer.
	MaxBatch int
	// MaxBatchBytes bounds their data, which the last of them may pass. Default:
	// 1 MiB, what a thousand events of a usual size have.
	MaxBatchBytes int
	// FlushInterval is the least time between two transactions of a worker while
	// nobody waits for it: the first event after a rest is applied at once, and under
	// load a transaction carries more. Default: 250 ms, which with 16 shards is 64 a
	// second, each of them five statements that commands share the database with, or
	// on SQLite an fsync that they wait for.
	FlushInterval time.Duration
	// PollInterval is how often the store is asked for what other processes
	// changed: versions, pauses, retries. Default: 1 s.
	PollInterval time.Duration
	// MinBackoff and MaxBackoff bound the waits between attempts after an error.
	// Defaults: 50 ms and 1 s, so that rows follow soon after an outage of the
	// store, however long it was.
	MinBackoff, MaxBackoff time.Duration
}

// withDefaults gives the configuration with every number set.
func (c Config) withDefaults() Config {
	concurrency := 4
	if c.DB.Name() == (SQLite{}).Name() {
		concurrency = 1
	}
	setDefault(&c.Concurrency, concurrency)
	setDefault(&c.MaxBatch, 1000)
	setDefault(&c.MaxBatchBytes, 1<<20)
	setDefault(&c.FlushInterval, 250*time.Millisecond)
	setDefault(&c.PollInterval, time.Second)
	setDefault(&c.MinBackoff, 50*time.Millisecond)
	setDefault(&c.MaxBackoff, time.Second)
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	return c
}

func setDefault[T comparable](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
}

// Manager runs the workers of all defined projections on all owned shards, and
// brings versions from building to serving to retired. Its methods are safe for
// concurrent use.
type Manager struct {
	env    *environment
	log    *slog.Logger
	ctx    context.Context //nolint:containedctx // the life of the workers, which outlive any call
	cancel context.CancelFunc
	keeper chan struct{} // one slot: look again
	ended  chan struct{}

	// tidying makes changes to versions and to who works on them happen in turn.
	tidying sync.Mutex
	// work counts workers that run, those that were told to stop among them.
	work sync.WaitGroup

	mu         sync.Mutex
	defined    map[string]*Definition
	owned      map[eventstore.ShardID]ownership
	workers    map[feed]*worker
	records    map[string]*record     // as last read
	compiled   map[string]*Definition // by name and fingerprint
	aggregates map[string]eventstore.AggregateID
}

type ownership struct {
	aggregate string
	source    Source
}

// NewManager makes a Manager that has no projections and no shards.
func NewManager(c Config) *Manager {
	c = c.withDefaults()
	ctx, cancel := context.WithCancel(context.Background())
	m := &Manager{
		env:        newEnvironment(c),
		log:        c.Logger.With("component", "projection"),
		ctx:        ctx,
		cancel:     cancel,
		keeper:     make(chan struct{}, 1),
		ended:      make(chan struct{}),
		defined:    map[string]*Definition{},
		owned:      map[eventstore.ShardID]ownership{},
		workers:    map[feed]*worker{},
		records:    map[string]*record{},
		compiled:   map[string]*Definition{},
		aggregates: map[string]eventstore.AggregateID{},
	}
	go m.keep()
	return m
}

// Close stops all workers and waits for them. Calling it again does nothing.
func (m *Manager) Close() {
	m.cancel()
	<-m.ended
	m.tidying.Lock()
	defer m.tidying.Unlock()
	m.mu.Lock()
	clear(m.workers) // their context is that of m; and whoever has m.mu next hires none
	m.mu.Unlock()
	m.work.Wait()
}

// DefinitionError says why one projection could not be brought into force.
type DefinitionError struct {
	Projection string
	Err        error
}

func (e *DefinitionError) Error() string {
	return fmt.Sprintf("projection %s: %v", e.Projection, e.Err)
}

// Unwrap gives the cause, such as ErrTableNameTaken.
func (e *DefinitionError) Unwrap() error { return e.Err }

// Apply makes defs the projections that run here. What is not among them stops
// being worked on and keeps its rows. For one that is older than what the store
// has, the stored one is brought into force. One that cannot be brought into force
// leaves the one before it in force, and is among the joined
// *DefinitionErrors.
func (m *Manager) Apply(ctx context.Context, defs []Definition) error {
	var failures []error
	next := make(map[string]*Definition, len(defs))
	for i := range defs {
		def := &defs[i]
		err := define(ctx, &m.env.DB, m.env.Storage, def)
		if errors.Is(err, errOutdated) {
			def, err = m.storedDefinition(ctx, def.Name)
		}
		if err != nil {
			failures = append(failures, &DefinitionError{Projection: defs[i].Name, Err: err})
			m.mu.Lock()
			def = m.defined[defs[i].Name]
			m.mu.Unlock()
			if def == nil {
				continue
			}
		}
		next[def.Name] = def
	}
	m.mu.Lock()
	m.defined = next
	for _, def := range next {
		m.compiled[compiledKey(def.Name, def.Fingerprint)] = def
	}
	m.mu.Unlock()
	if err := m.tidy(ctx); err != nil {
		m.log.Warn("bringing projections into line failed: trying again", "error", err)
		m.poke()
	}
	return errors.Join(failures...)
}

func compiledKey(name, fingerprint string) string { return name + "\x00" + fingerprint }

// Own starts the workers of a shard that this process owns now.
func (m *Manager) Own(aggregate string, id eventstore.ShardID, source Source) {
	m.mu.Lock()
	m.owned[id] = ownership{aggregate: aggregate, source: source}
	m.aggregates[aggregate] = id.Aggregate
	m.mu.Unlock()
	m.poke()
}

// Disown stops the workers of a shard. It does not wait for a transaction that is
// under way, which may hang on a connection in doubt while the shard is claimed
// anew, here or elsewhere. Whichever comes second, it or one of the next owner's,
// finds that the offset has moved and applies nothing again.
func (m *Manager) Disown(id eventstore.ShardID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.owned, id)
	for f, w := range m.workers {
		if f.shard == id {
			m.dismiss(f, w)
		}
	}
}

// dismiss tells a worker to end, which it does in its own time. m.mu is held.
func (m *Manager) dismiss(f feed, w *worker) {
	w.stop()
	delete(m.workers, f)
}

// definition gives the definition in force.
func (m *Manager) definition(name string) (*Definition, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	def := m.defined[name]
	if def == nil {
		return nil, fmt.Errorf("%w: %s", ErrUnknownProjection, name)
	}
	return def, nil
}

// Rebuild makes a new version of the projection from event one, which takes
// over when it has caught up. Readers see the old one until then.
func (m *Manager) Rebuild(ctx context.Context, name string) error {
	def, err := m.definition(name)
	if err != nil {
		return err
	}
	if err := rebuild(ctx, &m.env.DB, m.env.Storage, def); err != nil {
		return err
	}
	return m.tidy(ctx)
}

// Pause makes the projection rest, in all processes, until Resume.
func (m *Manager) Pause(ctx context.Context, name string) error { return m.setPaused(ctx, name, true) }

// Resume ends a Pause.
func (m *Manager) Resume(ctx context.Context, name string) error {
	return m.setPaused(ctx, name, false)
}

func (m *Manager) setPaused(ctx context.Context, name string, paused bool) error {
	if _, err := m.definition(name); err != nil {
		return err
	}
	if err := setPaused(ctx, &m.env.DB, name, paused); err != nil {
		return err
	}
	return m.tidy(ctx)
}

// Retry has the projection's parked entities tried again, wherever their shards
// are owned. It does not wait for the result, which Status tells.
func (m *Manager) Retry(ctx context.Context, name string) error {
	if _, err := m.definition(name); err != nil {
		return err
	}
	if err := requestRetry(ctx, &m.env.DB, name); err != nil {
		return err
	}
	return m.tidy(ctx)
}

func (m *Manager) poke() {
	select {
	case m.keeper <- struct{}{}:
	default:
	}
}
