package projection

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/leftfold/leftfold/runtime/eventstore"
)

// Errors that callers branch on.
var (
	// ErrTableNameTaken: the SQL name belongs to another projection or to
	// something that is no projection.
	ErrTableNameTaken = errors.New("TableNameTaken")
	// ErrUnknownProjection: no projection of that name is defined here.
	ErrUnknownProjection = errors.New("no such projection")
)

// Definition is a projection as its author wrote it, compiled.
type Definition struct {
	Name    string
	Sources []Interest
	// Fingerprint is equal for definitions that lead to the same rows; another
	// one makes a new version. It never is empty.
	Fingerprint string
	// Spec is what Config.Compile makes this Definition from again, after a
	// restart in which an older version still serves.
	Spec   []byte
	Target Target
	// Source is where the definition comes from. One that is older than what the
	// store has does not take its place: then the stored one is in force.
	Source eventstore.Source
}

// Interest is an aggregate whose events a projection reads.
type Interest struct {
	Aggregate string
	// Events are the wanted types; none means all.
	Events []string
}

// wants reports for one aggregate which event types are wanted; nil means all.
// ok is false when the aggregate is no source.
func (d *Definition) wants(aggregate string) (types map[string]bool, ok bool) {
	for _, s := range d.Sources {
		if s.Aggregate != aggregate {
			continue
		}
		if len(s.Events) == 0 {
			return nil, true
		}
		types = make(map[string]bool, len(s.Events))
		for _, e := range s.Events {
			types[e] = true
		}
		return types, true
	}
	return nil, false
}

// Version names one build of a projection.
type Version struct {
	Projection int64
	Number     int
	// Name is the projection's name, Relation the SQL name that readers use.
	Name     string
	Relation string
}

// Target is where a projection's rows go. One Target is made for one compiled
// definition and may serve several versions. All methods but Writer run inside
// a transaction of the caller's.
type Target interface {
	// Relation is the SQL name under which the rows are to be read; a name
	// belongs to one projection.
	Relation() string
	// Layout describes the storage well enough to read it without the Target.
	Layout() string
	// Create makes the version's storage.
	Create(ctx context.Context, tx *sql.Tx, v Version) error
	// Writer gives what writes one shard's events into the version. It is used
	// by one goroutine.
	Writer(v Version, aggregate string) Writer
}

// Storage is what can be done to a version's storage without its definition.
type Storage interface {
	// Show makes the SQL name show the version; replaces is the name to take
	// away first, "" when there is none.
	Show(ctx context.Context, tx *sql.Tx, v Version, layout, replaces string) error
	// Hide takes the SQL name away.
	Hide(ctx context.Context, tx *sql.Tx, relation string) error
	// Drop removes the version's storage.
	Drop(ctx context.Context, tx *sql.Tx, v Version) error
	// Taken reports whether the SQL name belongs to something that is no
	// projection.
	Taken(ctx context.Context, tx *sql.Tx, relation string) (bool, error)
}

// Writer folds the events of one shard into one version.
type Writer interface {
	// Apply writes what the events mean, in order, within tx. An event that
	// cannot be applied changes nothing, is reported, and makes Apply leave the
	// entity's later events alone. An error fails the whole transaction.
	Apply(ctx context.Context, tx *sql.Tx, events []eventstore.Event) ([]Failure, error)
	// Committed tells that the transaction of the last Apply is durable.
	Committed()
	// Forget drops everything remembered from one Apply to the next.
	Forget()
}

// Failure is an event that cannot be applied.
type Failure struct {
	Entity  string
	Version int64
	Seq     int64
	Err     error
}

// Source gives the committed events of a shard that is owned here.
type Source interface {
	// Committed gives up to limit events after the sequence, in order, exactly as
	// the store would return them, and the sequence of the last committed event.
	// ok is false when they are not in memory any more.
	Committed(after int64, limit int) (events []eventstore.Event, head int64, ok bool)
	// Changed is closed when something has been committed after the call.
	Changed() <-chan struct{}
}

// Observer is told what happens, for metrics. Any function may be nil; all are
// called from several goroutines.
type Observer struct {
	// Lag is told about every second and shard, for the version that serves.
	Lag func(projection, aggregate string, shard int32, events int64, age time.Duration)
	// Quarantined is told about every second, for the version that serves.
	Quarantined func(projection string, entities int)
	// Flushed is told after every transaction, with the number of events.
	Flushed func(projection string, events int, took time.Duration)
}
