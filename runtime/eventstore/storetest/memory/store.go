package memory

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/leftfold/leftfold/runtime/eventstore"
)

// Options are the settings of a Store.
type Options struct {
	// Now is the database's clock. Default: time.Now, which testing/synctest
	// makes virtual.
	Now func() time.Time
	// AppendConcurrency is what the store reports. Default 4, as PostgreSQL's.
	AppendConcurrency int
	// Without leaves a guard out, to show that a test finds it missing.
	Without Guard
}

// Guard is a comparison that the log's safety rests on.
type Guard uint8

const (
	// Fence is an append's comparison of its lease with the shard's row.
	Fence Guard = iota + 1
	// Token is the comparison of tokens beside that of epochs, everywhere.
	Token
)

// Store is the model. It is safe for concurrent use.
type Store struct {
	options Options
	data    *database

	closing sync.Mutex
	closed  bool
}

var _ eventstore.Store = (*Store)(nil)

// New returns an empty store.
func New(o Options) *Store {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.AppendConcurrency == 0 {
		o.AppendConcurrency = 4
	}
	return &Store{options: o, data: newDatabase()}
}

// Connect returns another handle on the same data, as another process would
// have; it stays open when s is closed.
func (s *Store) Connect() *Store { return &Store{options: s.options, data: s.data} }

// Backup returns a store with a copy of the data as it is now: what a restore,
// or a failover to a replica that lags, would serve later.
func (s *Store) Backup() *Store {
	s.data.Lock()
	defer s.data.Unlock()
	return &Store{options: s.options, data: s.data.copy()}
}

// Restore puts what a backup has in the place of all that is there, under whoever uses
// the store.
func (s *Store) Restore(backup *Store) {
	restored := backup.Backup()
	s.data.Lock()
	defer s.data.Unlock()
	s.data.tables = restored.data.tables
}

// ForgetClaim undoes the shard's last claim, if nothing was written under it:
// what a failover to a replica does that lags by so much. It loses nothing that
// anyone was told, but the next claim gives an epoch that was given before. It
// reports whether there was such a claim.
func (s *Store) ForgetClaim(id eventstore.ShardID) bool {
	s.data.Lock()
	defer s.data.Unlock()
	row := s.data.shards[id]
	if row == nil || row.before == nil {
		return false
	}
	row.ShardState, row.before = *row.before, nil
	return true
}

// begin locks the data for a call, unless the store is closed or ctx has ended.
func (s *Store) begin(ctx context.Context) error {
	s.closing.Lock()
	defer s.closing.Unlock()
	if s.closed {
		return fmt.Errorf("%w: the store is closed", eventstore.ErrNotAttempted)
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%w: %w", eventstore.ErrNotAttempted, err)
	}
	s.data.Lock()
	return nil
}

// AppendConcurrency is what the options say.
func (s *Store) AppendConcurrency() int { return s.options.AppendConcurrency }

// Close makes every later call of this handle fail.
func (s *Store) Close() error {
	s.closing.Lock()
	defer s.closing.Unlock()
	s.closed = true
	return nil
}

// database is the data, and the lock that every call holds from begin to end.
type database struct {
	sync.Mutex
	tables
}

type tables struct {
	aggregates []eventstore.Aggregate // by ID-1
	shards     map[eventstore.ShardID]*shard
	entities   map[entity][]eventstore.Event
	outcomes   map[entity]map[string]eventstore.Outcome
	snapshots  map[entity]eventstore.Snapshot
	members    map[eventstore.Incarnation]member
}

type shard struct {
	eventstore.ShardState
	floor int64
	log   []eventstore.Event
	// before is the row before the last claim, while nothing was written since.
	before *eventstore.ShardState
}

type entity struct {
	aggregate eventstore.AggregateID
	id        string
}

type member struct {
	eventstore.Member
	seen time.Time
}

func newDatabase() *database {
	return &database{tables: tables{
		shards:    map[eventstore.ShardID]*shard{},
		entities:  map[entity][]eventstore.Event{},
		outcomes:  map[entity]map[string]eventstore.Outcome{},
		snapshots: map[entity]eventstore.Snapshot{},
		members:   map[eventstore.Incarnation]member{},
	}}
}

// copy copies the containers; what is in them is never changed in place, but
// for the shards' rows.
func (d *database) copy() *database {
	c := newDatabase()
	c.aggregates = slices.Clone(d.aggregates)
	for id, s := range d.shards {
		c.shards[id] = &shard{ShardState: s.ShardState, floor: s.floor, log: slices.Clone(s.log)}
	}
	for k, v := range d.entities {
		c.entities[k] = slices.Clone(v)
	}
	for k, rows := range d.outcomes {
		c.outcomes[k] = map[string]eventstore.Outcome{}
		for id, o := range rows {
			c.outcomes[k][id] = o
		}
	}
	for k, v := range d.snapshots {
		c.snapshots[k] = v
	}
	for k, v := range d.members {
		c.members[k] = v
	}
	return c
}
